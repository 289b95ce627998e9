"""A run opened for reading only."""

from __future__ import annotations

import sqlite3

import pytest

from baft.errors import DataError
from baft.store import RunReader, RunStore, read_manifest
from baft.store.runs import Sittings

from .reports import sample


def listing(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_reading_a_finished_run_leaves_every_file_as_it_was(tmp_path):
    sample.write_run(tmp_path / "run").close()
    before = listing(tmp_path / "run")
    with RunReader.reading(tmp_path / "run") as store:
        assert len(list(store.results("baseline"))) == 22
        assert set(store.tallies()) == set(sample.ARMS)
    assert listing(tmp_path / "run") == before


def test_tallies_agree_with_the_report(tmp_path):
    for repeats in (1, 2):
        writing = sample.write_run(tmp_path / f"run{repeats}", repeats=repeats)
        rows = {arm: list(writing.score_rows(arm)) for arm in sample.ARMS}
        writing.close()
        with RunReader.reading(tmp_path / f"run{repeats}") as store:
            tallies = store.tallies()
            scores = {arm: store.example_scores(arm, repeats) for arm in sample.ARMS}
        assert (tallies["finetuned"].scored, tallies["finetuned"].failed) == (21, 1)
        for arm in sample.ARMS:
            values = [row.value for row in rows[arm] if row.value is not None]
            assert tallies[arm].done == 22 * repeats
            assert tallies[arm].mean == pytest.approx(sum(values) / len(values))
            assert list(scores[arm]) == list(dict.fromkeys(r.example_id for r in rows[arm]))
        assert [key for key, value in scores["finetuned"].items() if value is None] == ["ba-005"]


def test_a_repeat_that_is_missing_leaves_an_example_without_a_score(tmp_path):
    sample.write_run(tmp_path / "run", repeats=1).close()
    with RunReader.reading(tmp_path / "run") as store:
        assert set(store.example_scores("baseline", repeats=2).values()) == {None}


def test_a_run_is_read_while_it_is_written(tmp_path):
    writing = RunStore.create(tmp_path / "run", sample.manifest(22, ("baseline",)))
    examples = [sample.example(i) for i in range(22)]
    with RunReader.reading(tmp_path / "run") as store:
        assert store.tallies() == {}
        writing.add_results("baseline", [sample.result(e, i, 0) for i, e in enumerate(examples)])
        assert store.tallies()["baseline"].done == 22
    writing.close()


def test_reading_cannot_write(tmp_path):
    sample.write_run(tmp_path / "run").close()
    with RunReader.reading(tmp_path / "run") as store, pytest.raises(DataError, match="readonly"):
        store.add_sitting("baseline", Sittings(wall_s=1.0))


def test_broken_stores_are_clear_errors(tmp_path):
    with pytest.raises(DataError, match="holds no run"), RunReader.reading(tmp_path):
        pass
    (tmp_path / "run.db").write_bytes(b"no database " * 100)
    with pytest.raises(DataError, match="cannot be read"), RunReader.reading(tmp_path) as store:
        store.tallies()
    with pytest.raises(DataError, match=r"no run at"):
        read_manifest(tmp_path)


def test_bytes_that_are_no_utf_8_are_replaced(tmp_path):
    sample.write_run(tmp_path / "run", n=2).close()
    db = sqlite3.connect(tmp_path / "run" / "run.db")
    db.execute("UPDATE generations SET text = CAST(x'41ff42' AS TEXT)")
    db.commit()
    db.close()
    with RunReader.reading(tmp_path / "run") as store:
        (first, *_) = store.results("baseline")
        assert first.generation.text == "A\ufffdB"
        assert store.example(first.example_id)[0].id == first.example_id
        assert store.example("nowhere") is None
        assert store.titles(1, 5) == [("ba-001", sample.example(1).inputs["concept"])]
