from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace

import pytest

from baft.errors import DataError
from baft.reports import json_report, read_report
from baft.store.files import write_atomic

from . import sample


def written(store, report, decision):
    return json.loads("".join(json_report(store, report, decision)))


def test_older_readers_find_their_keys(store, report, decision):
    data = written(store, report, decision)
    assert {"date", "dataset", "num_examples", "metric", "seed"} <= set(data["metadata"])
    assert {name: model["id"] for name, model in data["models"].items()} == {
        "baseline": "M1",
        "optimized": "M2",
        "finetuned": "M3",
    }
    model = data["models"]["finetuned"]
    assert {"id", "name", "spec", "config", "component_scores", "usage", "predictions"} < set(model)
    assert set(model["scores"]) == {
        *("mean", "median", "std", "min", "max", "n", "failures", "ci95", "t95"),
        *("variance_between", "variance_within"),
        *("pass_rate_0.8", "pass_rate_0.9", "perfect_rate_1.0"),
    }
    assert {"validity", "audit"} < set(model)
    assert set(data["comparison"]["statistical_tests"]) == {
        "optimized_vs_baseline",
        "finetuned_vs_baseline",
        "finetuned_vs_optimized",
    }
    assert set(data["comparison"]["effect_sizes"]) == set(data["comparison"]["statistical_tests"])
    assert data["decision"]["verdict"] == "keep"
    assert data["notes"] == list(report.notes)


def test_every_result_is_there_word_for_word(store, report, decision):
    predictions = written(store, report, decision)["models"]["finetuned"]["predictions"]
    stored = list(store.results("finetuned"))
    assert [p["id"] for p in predictions] == [s.example_id for s in stored]
    for prediction, scored in zip(predictions, stored, strict=True):
        assert prediction["score"] == (scored.score.value if scored.score else None)
        assert prediction["text"] == (scored.generation.text if scored.generation else None)
    assert predictions[3]["concept"] == sample.HOSTILE
    assert predictions[5]["failure"]["stage"] == "generate"
    assert predictions[5]["score"] is predictions[5]["prediction"] is None


def test_the_ranking_is_by_mean_and_the_winner_by_the_decision(store, report, decision):
    found = written(store, report, decision)["comparison"]
    assert [(r["model"], r["name"]) for r in found["ranking"]] == [
        ("M3", "finetuned"),
        ("M2", "optimized"),
        ("M1", "baseline"),
    ]
    assert found["ranking"][-1]["delta_vs_baseline"] == 0
    assert found["winner"] == "baseline"
    promoted = sample.decision_of(report, "promote")
    assert written(store, report, promoted)["comparison"]["winner"] == "finetuned"
    assert written(store, report, None)["comparison"]["winner"] == "finetuned"


def test_tests_are_named_later_arm_first_whichever_way_they_were_made(store, report, decision):
    turned = replace(report, tests=tuple(_turn(test) for test in report.tests))
    ours, theirs = (
        written(store, r, decision)["comparison"]["statistical_tests"] for r in (report, turned)
    )
    assert ours == theirs


def _turn(test):
    from baft.reports.wording import flipped

    return flipped(test)


def test_a_report_survives_the_round_trip(store, report, decision, tmp_path):
    path = tmp_path / "report.json"
    write_atomic(path, json_report(store, report, decision))
    assert read_report(path) == report


def test_lone_surrogates_survive_the_round_trip(store, report, tmp_path):
    odd = replace(report, notes=("lone \ud800 surrogate",))
    path = tmp_path / "report.json"
    write_atomic(path, json_report(store, odd, None))
    assert read_report(path) == odd


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.pop("record"), "no report of baft"),
        (lambda data: data["record"].update(surprise=1), "surprise"),
        (lambda data: data["record"].pop("arms"), "arms"),
    ],
)
def test_reading_is_strict(store, report, tmp_path, change, said):
    data = written(store, report, None)
    change(data)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(DataError, match=said):
        read_report(path)


def test_nan_is_refused(store, report):
    broken = replace(report, attainable_max=float("nan"))
    with pytest.raises(ValueError, match="JSON compliant"):
        written(store, broken, None)


def test_memory_does_not_grow_with_the_texts(run):
    store, report, decision = run(n=600)
    tracemalloc.start()
    size = sum(len(piece) for piece in json_report(store, report, decision))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 5_000_000
    assert peak < size / 5


def test_repeats_are_told_apart(run):
    store, report, decision = run(n=3, repeats=2)
    predictions = written(store, report, decision)["models"]["baseline"]["predictions"]
    assert [p["repeat"] for p in predictions] == [0, 1] * 3
