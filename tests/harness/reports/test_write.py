from __future__ import annotations

import pytest

import baft.reports
from baft.errors import DataError
from baft.reports import read_report, write_decision, write_reports


def test_all_files_are_written_into_the_run(store, report, decision):
    paths = write_reports(store, report, decision)
    assert list(paths) == ["report.html", "report.md", "report.json", "decision.json"]
    assert all(path == store.folder / name and path.is_file() for name, path in paths.items())
    assert read_report(paths["report.json"]) == report
    assert store.decision() == decision


def test_writing_again_writes_the_same(store, report, decision):
    before = {p: p.read_bytes() for p in write_reports(store, report, decision).values()}
    assert before == {p: p.read_bytes() for p in write_reports(store, report, decision).values()}


def test_without_a_decision_there_is_no_decision_file(store, report):
    assert "decision.json" not in write_reports(store, report, None)


def test_a_decision_can_be_written_alone(store, decision):
    assert write_decision(store, decision) == store.folder / "decision.json"
    assert store.decision() == decision


def test_what_cannot_be_written_leaves_the_old_file(store, report, decision):
    paths = write_reports(store, report, decision)
    paths["report.json"].unlink()
    paths["report.json"].mkdir()
    before = paths["decision.json"].read_bytes()
    with pytest.raises(DataError, match=r"report\.json"):
        write_reports(store, report, decision)
    assert paths["decision.json"].read_bytes() == before
    assert not list(store.folder.glob(".report*"))


def test_all_is_sorted_and_complete():
    assert baft.reports.__all__ == sorted(baft.reports.__all__)
    assert all(hasattr(baft.reports, name) for name in baft.reports.__all__)
