"""The ledger counts every candidate once a run, and survives whoever is killed while writing."""

from __future__ import annotations

import json
import multiprocessing

import pytest

from baft.errors import DataError
from baft.reports.auditing import at_least_once, looks_line
from baft.store.looks import Look, LookLedger


def look(fingerprint="f", run="r1", kind="look", data="d", **given):
    return Look(
        kind=kind,
        dataset_sha256=data,
        fingerprint=fingerprint,
        run=run,
        date="2026-01-01T00:00:00+00:00",
        arm="optimized",
        spec="dspy:x",
        **given,
    )


def test_a_candidate_counts_once_however_often_it_is_tried(tmp_path):
    ledger = LookLedger(tmp_path)
    ledger.record([look("a"), look("b")])
    ledger.record([look("a"), look("b")])  # the same run, resumed
    ledger.record([look("a", "r2"), look("served", "r2"), look("x", "r2", data="other")])
    ledger.record([look("c", "r3", limit=3)])
    found = ledger.count("d", "served", "r3")
    assert (found.candidates, found.runs, found.smoke_runs) == (2, 2, 1)
    assert len(ledger.read()) == 6


def test_a_report_written_again_counts_only_what_was_tried_by_then(tmp_path):
    ledger = LookLedger(tmp_path)
    for number in range(3):
        ledger.record([look(f"f{number}", f"r{number}")])
    assert [ledger.count("d", "", f"r{n}").candidates for n in range(3)] == [1, 2, 3]


def test_a_torn_line_is_not_counted_and_the_next_writer_removes_it(tmp_path):
    ledger = LookLedger(tmp_path)
    ledger.record([look("a")])
    with ledger.path.open("ab") as stream:
        stream.write(b'{"kind": "look", "dataset_sh')
    assert ledger.count("d", "", "r1").candidates == 1
    ledger.record([look("b", "r2")])
    assert ledger.count("d", "", "r2").candidates == 2
    assert [json.loads(line)["fingerprint"] for line in ledger.path.read_text().splitlines()] == [
        *"ab"
    ]


def test_a_broken_line_is_named(tmp_path):
    ledger = LookLedger(tmp_path)
    ledger.record([look("a")])
    ledger.path.write_text("nonsense\n")
    with pytest.raises(DataError, match=r"looks\.jsonl, line 1: not valid JSON"):
        ledger.read()


def write(folder, number):
    for i in range(10):
        LookLedger(folder).record([look(f"{number}-{i}", f"r{number}")])


def test_many_processes_lose_no_line(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write, args=(tmp_path, n)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert LookLedger(tmp_path).count("d", "", "none").candidates == 30


def test_a_lucky_pass_grows_likelier_with_every_look():
    # field figure: a model at a true 0.83 passes 18 % of the time; 3 tries make that 45 %
    assert at_least_once(0.18, 3) == pytest.approx(0.4486, abs=1e-4)
    assert at_least_once(0.5, 1) == 0.5
    assert at_least_once(0.5, 0) == 0.0


def test_nothing_is_said_where_nobody_counted(tmp_path):
    from types import SimpleNamespace

    assert looks_line(SimpleNamespace(looks=None), None) == ""
