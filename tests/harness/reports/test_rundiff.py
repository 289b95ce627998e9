"""Two runs set against each other, where some examples have no score."""

from __future__ import annotations

from dataclasses import replace

from baft.records import Failure, Scored
from baft.reports.rundiff import diff_runs, diff_text
from baft.store import RunReader

from . import sample


def diff(first, second, **options):
    with RunReader.reading(first) as a, RunReader.reading(second) as b:
        return diff_runs(a, b, **options)


def failing(store, arm, ids):
    store.add_results(
        arm,
        [
            Scored(example_id=i, failure=Failure(example_id=i, stage="generate", reason="gone"))
            for i in ids
        ],
    )


def test_a_score_on_one_side_only_is_fixed_or_broken_and_never_averaged(tmp_path):
    first, second = (sample.write_run(tmp_path / name, arms=("a",)) for name in ("1", "2"))
    failing(first, "a", ["ba-000", "ba-001"])
    failing(second, "a", ["ba-001", "ba-002"])
    first.close()
    second.close()
    (arm,) = diff(tmp_path / "1", tmp_path / "2").arms
    assert [(c.id, c.before) for c in arm.fixed] == [("ba-000", None)]
    assert [(c.id, c.after) for c in arm.broken] == [("ba-002", None)]
    assert len(arm.unchanged) == 20
    assert (arm.test.n, arm.test.ties, arm.test.mean_difference) == (19, 19, 0.0)


def test_the_largest_changes_come_first_and_text_is_harmless(tmp_path):
    sample.write_run(tmp_path / "1").close()
    second = sample.write_run(tmp_path / "2")
    manifest = second.manifest()
    second.write_manifest(
        replace(
            manifest,
            run_id="x\x1b[31m\u202e",
            benchmark="other",
            decoding=replace(manifest.decoding, temperature=0.0),
        )
    )
    second.close()
    found = diff(tmp_path / "1", tmp_path / "2", pairs={"baseline": "finetuned"})
    (arm,) = found.arms
    gains = [c.after - c.before for c in arm.fixed if c.before is not None and c.after is not None]
    assert gains == sorted(gains, reverse=True)
    assert len(gains) > 3
    text = "\n".join(diff_text(found))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "decoding.temperature: 0.7 → 0.0" in text
    assert "benchmark: pocket → other" in text
    assert "Only in the first run: optimized, finetuned" in text
    assert "n/a" in text


def test_long_lists_are_cut_in_the_terminal_only(tmp_path):
    for name, arm in (("1", 0), ("2", 2)):
        store = sample.write_run(tmp_path / name, n=90, arms=("a",))
        examples = [sample.example(i) for i in range(90)]
        store.add_results("a", [sample.result(e, i, arm) for i, e in enumerate(examples)])
        store.close()
    found = diff(tmp_path / "1", tmp_path / "2")
    assert len(found.arms[0].fixed) > 20
    assert "more; --json lists them all" in "\n".join(diff_text(found))
