"""Files of JSON lines only grow, whole line by whole line."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from baft import DataError
from baft.store.appending import append_record, locked, read_records


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    text: str


@pytest.fixture
def path(tmp_path):
    return tmp_path / "notes.jsonl"


def test_what_was_appended_is_read_back_in_order(path):
    notes = [Note(text="ünï\n"), Note(text="\ud800"), Note(text="")]
    for note in notes:
        append_record(path, note)

    assert [note.text for note in read_records(path, Note)] == ["ünï\n", "\ud800", ""]


def test_no_file_holds_no_records(path):
    assert read_records(path, Note) == []


def test_a_torn_end_is_not_read_and_goes_with_the_next_line(path):
    append_record(path, Note(text="a"))
    path.write_bytes(path.read_bytes() + b'{"text": "b')

    assert read_records(path, Note) == [Note(text="a")]
    append_record(path, Note(text="c"))
    assert read_records(path, Note) == [Note(text="a"), Note(text="c")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "line 2: not valid JSON"),
        (b"[" * 100_000, "line 2: not valid JSON"),
        (b'{"text": "a", "more": 1}', "line 2 does not hold a Note"),
        (b"\xff", "line 2: not valid JSON"),
    ],
    ids=["broken", "deep", "unknown key", "no text"],
)
def test_a_broken_line_is_named(path, line, message):
    append_record(path, Note(text="a"))
    path.write_bytes(path.read_bytes() + line + b"\n")

    with pytest.raises(DataError, match=message):
        read_records(path, Note)


def test_a_folder_in_its_place_is_named(path):
    path.mkdir()

    with pytest.raises(DataError, match="cannot be read"):
        read_records(path, Note)


def test_who_waits_in_vain_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("baft.store.appending.LOCK_TIMEOUT_S", 0.01)
    lock = tmp_path / "deep" / "lock"

    with locked(lock, "Somebody writes."), pytest.raises(DataError, match="Somebody writes"):
        with locked(lock, "Somebody writes."):
            pass
    with locked(lock, "Somebody writes."):
        pass


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError, match="could not be written"):
        with locked(tmp_path / "file" / "lock", ""):
            pass
