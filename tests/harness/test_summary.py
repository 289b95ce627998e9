"""From a run store to a report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from baft import Failure, Generation, Prediction, Score, Scored
from baft.records import ArmManifest
from baft.store import RunStore
from baft.summary import build_report


@pytest.fixture
def build(tmp_path, role, metric, make_manifest):
    """A report of results given as {arm: [(example, repeat, value or None)]}."""

    def build(results, n=3, tags=None, tokens=10, **changes):
        manifest = make_manifest(**{"arms": tuple(results), "n": n, **changes})
        store = RunStore.create(tmp_path / manifest.run_id, manifest)
        examples = [
            replace(role.example({"word": f"w{i}"}), tags=(tags or {}).get(f"w{i}", {}))
            for i in range(n)
        ]
        store.add_examples(examples, role.prompt)
        for arm, rows in results.items():
            for example, repeat, value in rows:
                generation = Generation(
                    example_id=example,
                    text="x",
                    finish_reason="length" if value == 0.0 else "stop",
                    completion_tokens=tokens,
                    latency_s=0.5,
                )
                store.add_generations(arm, repeat, [generation])
                given = (
                    {"failure": Failure(example_id=example, stage="score", reason="crash")}
                    if value is None
                    else {
                        "score": Score(value=value, components={"answer": value}),
                        "prediction": Prediction(fields={"answer": "x"}, validity="as_is"),
                        "other_score": value,
                    }
                )
                store.add_results(arm, [Scored(example_id=example, repeat=repeat, **given)])
        return build_report(store, manifest, metric)

    return build


def test_failures_are_counted_and_never_averaged(build):
    report = build({"a": [("w0", 0, 1.0), ("w1", 0, None), ("w2", 0, 0.5)]})
    arm = report.arm("a")
    assert (arm.summary.mean, arm.summary.n, arm.summary.failures) == (0.75, 2, 1)
    assert arm.failed == {"w1": "score: crash"}


def test_examples_that_were_never_answered_count_as_failures(build):
    assert build({"a": [("w0", 0, 1.0)]}).arm("a").summary.failures == 2


def test_repeats_are_averaged_by_example_first(build):
    rows = [("w0", 0, 1.0), ("w0", 1, 0.0), ("w1", 0, 1.0), ("w1", 1, 1.0)]
    arm = build({"a": rows}, n=2, repeats=2).arm("a")
    assert arm.scores == {"w0": 0.5, "w1": 1.0}
    assert arm.summary.n == 2


def test_an_example_that_failed_in_one_repeat_has_no_score(build):
    rows = [("w0", 0, 1.0), ("w0", 1, None), ("w1", 0, 1.0), ("w1", 1, 1.0)]
    assert build({"a": rows}, n=2, repeats=2).arm("a").scores == {"w1": 1.0}


def test_cut_off_answers_are_noted(build):
    report = build({"a": [("w0", 0, 0.0), ("w1", 0, 1.0), ("w2", 0, 1.0)]})
    assert any("1 of 3 outputs were cut off" in note for note in report.notes)


def test_a_limited_run_is_noted(build):
    rows = [("w0", 0, 1.0), ("w1", 0, 1.0), ("w2", 0, 1.0)]
    assert any("Smoke run" in note for note in build({"a": rows}, limit=3).notes)


def test_two_names_of_one_model_are_noted(build):
    rows = [("w0", 0, 1.0), ("w1", 0, 1.0), ("w2", 0, 1.0)]
    arms = tuple(ArmManifest(name=n, spec=n, fingerprint="same") for n in "ab")
    report = build({"a": rows, "b": rows}, **{"arms": arms})
    assert any("a and b are the same model" in note for note in report.notes)


def test_arms_that_draw_differently_are_noted(build):
    rows = [("w0", 0, 1.0), ("w1", 0, 1.0), ("w2", 0, 1.0)]
    arms = (
        ArmManifest(name="a", spec="a", fingerprint="1", config={"sampling": "x"}),
        ArmManifest(name="b", spec="b", fingerprint="2", config={"lm": {"sampling": "y"}}),
    )
    report = build({"a": rows, "b": rows}, **{"arms": arms})
    assert "The arms do not draw tokens alike. a: x; b: y." in report.notes


def test_every_pair_is_tested_later_minus_earlier(build):
    low = [("w0", 0, 0.1), ("w1", 0, 0.2), ("w2", 0, 0.1)]
    high = [("w0", 0, 0.9), ("w1", 0, 0.8), ("w2", 0, 0.9)]
    report = build({"a": low, "b": high, "c": high})
    assert [(t.a, t.b) for t in report.tests] == [("b", "a"), ("c", "a"), ("c", "b")]
    assert report.tests[0].mean_difference == pytest.approx(2.2 / 3)
    assert all(t.holm_p >= t.sign_flip_p for t in report.tests)


def test_repeats_say_how_much_varies_between_examples_and_within_them(build):
    rows = [("w0", 0, 1.0), ("w0", 1, 0.5), ("w1", 0, 0.25), ("w1", 1, 0.25)]
    found = build({"a": rows}, n=2, repeats=2).arm("a").summary
    assert found.variance_within == pytest.approx((0.125 + 0.0) / 2)
    assert found.variance_between == pytest.approx(0.125 - 0.0625 / 2)
    assert build({"b": [("w0", 0, 1.0)]}, n=1, run_id="r2").arm("b").summary.variance_within is None


def test_short_tags_of_the_examples_are_in_the_report(build):
    tags = {
        "w0": {"tier": "simple", "size": 3, "story": "x" * 81, "nested": {"a": 1}},
        "w1": {"tier": " very\nlarge "},
    }
    report = build({"a": [("w0", 0, 1.0), ("w1", 0, 1.0), ("w2", 0, 1.0)]}, tags=tags)
    assert report.tags == {"w0": {"tier": "simple", "size": "3"}, "w1": {"tier": "very large"}}


def test_tokens_by_answer_are_known_only_where_all_were_counted(build):
    rows = [("w0", 0, 1.0), ("w1", 0, 1.0), ("w2", 0, None)]
    assert build({"a": rows}).arm("a").usage.tokens_per_example == 10
    assert build({"b": rows}, tokens=None, run_id="r2").arm("b").usage.tokens_per_example is None


def test_the_number_of_outputs_stands_beside_their_shares(build):
    rows = [("w0", 0, 1.0), ("w1", 0, 1.0), ("w2", 0, None)]
    assert build({"a": rows}).arm("a").validity.n == 2
