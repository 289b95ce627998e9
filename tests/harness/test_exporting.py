"""What an exported model is measured against."""

from __future__ import annotations

import pytest

from baft import DataError, Decision, Example, Message, Prompt, Score, UsageError
from baft.exporting import EXPORTED, source_of_run
from baft.records import ArmManifest, Scored
from baft.reports.served import served_text
from baft.stats import compare
from baft.store import RunStore
from baft.store.codec import to_json
from baft.summary import build_report

ARMS = (
    ArmManifest(name="baseline", spec="ollama:granite4", fingerprint="b"),
    ArmManifest(name="finetuned", spec="lora:tuned", fingerprint="f"),
    ArmManifest(name="elsewhere", spec="replay:x.jsonl", fingerprint="r"),
)


@pytest.fixture
def make_run(tmp_path, make_manifest):
    """A run of three examples; ``scores`` by arm, None where an example failed."""

    def make(scores, *, name="r1", arms=ARMS, **changes):
        manifest = make_manifest(arms=arms, run_id=name, options={"cwd": "else/where"}, **changes)
        store = RunStore.create(tmp_path / name, manifest)
        examples = [Example(id=f"e{n}", inputs={"text": str(n)}) for n in range(3)]
        message = (Message(role="user", content="x"),)
        store.add_examples(
            examples, lambda e: Prompt(example_id=e.id, inputs=e.inputs, messages=message)
        )
        for arm, values in scores.items():
            scored = [
                Scored(example_id=f"e{i % 3}", repeat=i // 3, score=Score(value=v))
                for i, v in enumerate(values)
                if v is not None
            ]
            store.add_results(arm, scored)
        store.close()
        return tmp_path / name

    return make


def decided(folder, candidate):
    decision = Decision(
        verdict="keep",
        conclusive=True,
        strength="clear",
        candidate=candidate,
        incumbent="baseline",
        rules=(),
        next_steps=(),
        run="r1",
    )
    (folder / "decision.json").write_text(to_json(decision))
    return folder


def test_the_candidate_is_meant_where_no_arm_is_named(make_run):
    folder = decided(make_run({"finetuned": [0.9, 0.8, 0.7]}, limit=3), "finetuned")
    source = source_of_run(folder, None)
    assert (source.arm, source.fingerprint, source.limit) == ("finetuned", "f", 3)
    assert source.scores == {"e0": 0.9, "e1": 0.8, "e2": 0.7}
    assert source.benchmark.root == "else/where"
    assert source.benchmark.dataset_sha256 == "0"


def test_scores_are_means_over_repeats_of_what_was_scored(make_run):
    folder = make_run({"finetuned": [0.5, None, 0.7, 1.0, None, 0.7]}, repeats=2)
    assert source_of_run(folder, "finetuned").scores == {"e0": 0.75, "e2": 0.7}


def test_the_served_model_stands_beside_the_runs_incumbent(make_run):
    folder = make_run({"finetuned": [0.9, 0.8, 0.7], "baseline": [0.5, 0.5, 0.5]})
    beside = source_of_run(folder, "finetuned").beside("ollama:x", 0.02)
    assert dict(beside.models) == {"baseline": "ollama:granite4", EXPORTED: "ollama:x"}
    assert beside.incumbent == "baseline"
    assert beside.policy.threshold == 0.8535  # 0.8 - 0.02 would be less


def test_the_incumbent_itself_stands_beside_its_export(make_run):
    folder = make_run({"baseline": [0.5, 0.5, 0.5]})
    beside = source_of_run(folder, "baseline").beside("ollama:x", 0.02)
    assert dict(beside.models) == {"baseline": "ollama:granite4", EXPORTED: "ollama:x"}


def test_the_decision_on_the_served_model_holds_the_loss_too(make_run):
    folder = make_run({"finetuned": [0.9, 1.0, 0.95], "baseline": [0.5, 0.5, 0.5]})
    policy = source_of_run(folder, "finetuned").beside("ollama:x", 0.02).policy
    assert policy.threshold == pytest.approx(0.93)
    policy = source_of_run(folder, "baseline").beside("ollama:x", 0.02).policy
    assert (policy.threshold, policy.min_gain) == (0.8535, -0.02)


def test_the_loss_is_paired_over_examples_that_both_have(make_run, metric):
    source = source_of_run(make_run({"finetuned": [0.9, 0.8, None]}), "finetuned")
    arms = (ArmManifest(name=EXPORTED, spec="ollama:x", fingerprint="x"),)
    folder = make_run({EXPORTED: [0.6, 0.8, 0.1]}, name="r2", arms=arms, incumbent=EXPORTED)
    store = RunStore.open(folder)
    test = source.loss(build_report(store, store.manifest(), metric))
    store.close()
    assert test.n == 2
    assert test.mean_difference == pytest.approx(0.15)


def test_an_arm_that_cannot_be_exported_is_named(make_run):
    folder = make_run({"elsewhere": [1.0, 1.0, 1.0]})
    with pytest.raises(UsageError, match="is a replay"):
        source_of_run(folder, "elsewhere")
    with pytest.raises(UsageError, match="no arm 'finetune'") as caught:
        source_of_run(folder, "finetune")
    assert "'finetuned'" in caught.value.hint
    with pytest.raises(DataError, match="finetuned has no score"):
        source_of_run(folder, "finetuned")
    with pytest.raises(DataError, match="holds no run"):
        source_of_run(folder / "none", None)


@pytest.mark.parametrize(
    ("served", "words"),
    [
        ([0.9, 0.9], "may be lost."),
        ([0.89, 0.89], "within the 0.02"),
        ([1.0, 1.0], "+0.1000 against"),
        ([0.9, 0.7], "more than the 0.02"),
    ],
)
def test_the_loss_in_words(served, words):
    scores = {"finetuned": {"a": 0.9, "b": 0.9}, EXPORTED: dict(zip("ab", served, strict=True))}
    test = compare("finetuned", EXPORTED, scores)
    text = served_text(test, sum(served) / 2, 0.02)
    assert words in text
    assert "n 2" in text


def test_nothing_in_common_is_no_small_loss():
    test = compare("finetuned", EXPORTED, {"finetuned": {"a": 0.9}, EXPORTED: {"b": 0.9}})
    assert "more than" in served_text(test, 0.9, 0.02)
