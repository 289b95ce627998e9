"""The note of a running server, and `baft ask` that finds it."""

from __future__ import annotations

import json
import os
import socket
import stat
from dataclasses import replace

import pytest

from baft import BackendError, DataError
from baft.serving import ask
from baft.serving.running import Running, files_of, leave, note_of, read, take_away

from . import Talker, listening

pytest.importorskip("starlette")

NOTED = Running(
    role="ba",
    pid=4,
    machine=socket.gethostname(),
    port=1,
    key="k",
    spec="hf:x",
    fingerprint="f",
    files={},
)


@pytest.fixture
def note(project):
    return note_of(project, "ba")


@pytest.fixture
def said():
    return []


@pytest.fixture
def asks(plugins, adopted, project, said):
    def asks(text="A shop", **more):
        given = {"config": adopted, "role": "ba", "text": text, "env": {}, "options": {}}
        return ask(plugins, **{**given, "project": project, "say": said.append, **more})

    return asks


@pytest.fixture
def served(running, note):
    """The running server, noted as ``baft serve`` does."""
    found = replace(running, machine=socket.gethostname(), key="own-key")
    leave(note, found)
    return found


def test_only_its_owner_can_read_the_note(note):
    old = os.umask(0)
    try:
        leave(note, NOTED)
    finally:
        os.umask(old)
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    assert read(note) == NOTED
    assert [path.name for path in note.parent.iterdir()] == ["ba.json"]


def test_a_note_is_taken_away_by_its_own_server_only(note):
    leave(note, NOTED)
    take_away(note, replace(NOTED, port=2))
    assert read(note) == NOTED
    take_away(note, NOTED)
    assert read(note) is None
    take_away(note, NOTED)


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o602])
def test_a_note_that_others_can_open_is_not_believed(note, asks, said, served, talker, mode):
    note.chmod(mode)

    assert asks().prediction.fields["title"] == "A shop"
    assert "open to other users" in said[0]
    assert talker.asked == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": "x"}', "[" * 10_000, "\xff"])
def test_a_broken_note_does_not_keep_the_answer_away(note, asks, said, content):
    leave(note, NOTED)
    note.write_bytes(content.encode("latin-1"))

    assert asks().prediction.fields["title"] == "A shop"
    assert "No server is used" in said[0]


def test_a_note_of_another_machine_is_left_alone(note, asks, said, served):
    leave(note, replace(served, machine="elsewhere"))

    asks()
    assert "of the machine elsewhere" in said[0]
    assert note.exists()


def test_ask_uses_a_server_that_has_the_model_loaded(asks, served, said, talker):
    found = asks(temperature=0.1)

    assert found.generation.text == "Concept: A shop ."
    assert talker.asked[0][1].temperature == 0.1
    assert said == [f"Asking the server at {served.url}, which has {served.spec} loaded."]


def test_ask_can_leave_the_server_alone(asks, served, talker, said):
    assert asks(project=None).prediction.fields["title"] == "A shop"
    assert (talker.asked, said) == ([], [])


def test_without_a_server_nothing_is_said(asks, said):
    asks()
    assert said == []


def test_a_server_that_is_gone_is_forgotten(asks, note, said):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spec = f"hf:{note.parents[2]}/artifacts/models/talker"
    leave(note, replace(NOTED, port=port, spec=spec))

    assert asks().prediction.fields["title"] == "A shop"
    assert said == [f"The server of process 4 at http://127.0.0.1:{port} is gone."]
    assert not note.exists()


def test_another_server_at_the_port_is_not_asked(asks, note, said, served, talker):
    leave(note, replace(served, fingerprint="other"))

    asks()
    assert "another one is there" in said[0]
    assert talker.asked == []
    assert not note.exists()


def test_something_that_speaks_no_http_is_not_waited_for(asks, note, said, served):
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        leave(note, replace(served, port=mute.getsockname()[1]))
        import threading

        def answer():
            connection, _ = mute.accept()
            connection.sendall(b"220 ready\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        assert asks().prediction.fields["title"] == "A shop"
        thread.join()
    assert "does not answer" in said[0]


def test_a_server_with_another_model_is_not_asked(asks, served, said, adopted, make_model, talker):
    make_model("other", kind="config.json", answer="title: Other")
    adopted.write_text(adopted.read_text().replace("models/talker", "models/other"))

    assert asks().prediction.fields["title"] == "Other"
    assert "is not used: it has" in said[0]
    assert talker.asked == []


def test_a_server_whose_model_was_trained_again_is_not_asked(asks, served, said, make_model):
    make_model("talker", kind="config.json", answer="title: Trained again")

    assert asks().prediction.fields["title"] == "Trained again"
    assert "has changed since it was loaded" in said[0]


def test_a_server_that_renders_another_prompt_is_not_asked(asks, served, said, talker, monkeypatch):
    from harness.promotion.conftest import Analyst

    theirs = Analyst.prompt
    calls = []

    def prompt(self, example):  # the client is of a newer version, as after an upgrade
        calls.append(example)
        found = theirs(self, example)
        return found if len(calls) > 1 else replace(found, messages=found.messages * 2)

    monkeypatch.setattr(Analyst, "prompt", prompt)
    asks()
    assert "renders another prompt" in said[1]
    assert talker.asked == []


def test_a_model_that_fails_on_the_server_is_not_loaded_once_more(asks, served):
    with pytest.raises(BackendError, match="The model is down"):
        asks("DOWN")


def test_the_note_says_what_the_model_was_read_from(tmp_path, monkeypatch):
    adapter, base, program = (tmp_path / name for name in ("adapter", "base", "program.json"))
    adapter.mkdir()
    base.mkdir()
    program.write_text("{}")
    (tmp_path / "cpu").mkdir()
    monkeypatch.chdir(tmp_path)

    lora = files_of(
        f"lora:{adapter}", {"adapter": f"{adapter}", "base": "../base", "device": "cpu"}
    )
    assert set(lora) == {str(adapter), str(base)}
    dspy = files_of(f"dspy:{program}?lm=lora:{adapter}?base={base}", {"lm": {"base": "ollama:x"}})
    assert set(dspy) == {str(adapter), str(base), str(program)}
    assert files_of("ollama:mistral:7b", {"base": "\0", "adapter": None}) == {}
    before = replace(NOTED, spec="s", files=lora)
    assert before.outdated("s") == ""
    (base / "model.safetensors").write_text("x")
    assert before.outdated("s") == f"{base} has changed since it was loaded"


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "artifacts").write_text("a file")

    with pytest.raises(DataError, match="will not find the server"):
        leave(note_of(tmp_path, "ba"), NOTED)


def test_a_server_without_a_note_of_ours_needs_the_key(plugins, adopted, project, asks, said):
    with listening(plugins, adopted, Talker()) as found:
        leave(note_of(project, "ba"), replace(found, machine=socket.gethostname(), key="guess"))
        assert asks().prediction.fields["title"] == "A shop"
    assert "refused (401)" in said[-1]


def test_the_note_holds_no_key_of_the_user(note, served):
    assert json.loads(note.read_text())["key"] == "own-key"
    assert "secret" not in note.read_text()
