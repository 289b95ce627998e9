"""``baft cache`` and ``--no-cache``: what earlier runs were answered is not asked again."""

from __future__ import annotations

import json

import pytest

from baft.testing import FakeModel, FakeOllama

ANSWER = "title: A shop\ndescription: Sells bread."
NAME = "mistral:7b-instruct"


@pytest.fixture
def server():
    with FakeOllama(ANSWER) as server:
        yield server


@pytest.fixture
def evaluate(project, baft, server):
    def run(*more, code=0):
        spec = f"ollama:{NAME}@{server.url}"
        before = len(server.requests)
        got, _, err = baft("eval", "--model", spec, "--dataset", "val.jsonl", *more)
        assert got == code, err
        report = json.loads((project / "eval_report.json").read_text())
        return len(server.requests) - before, report, err

    return run


def test_the_same_arm_never_generates_twice(evaluate):
    asked, first, _ = evaluate()
    again, second, _ = evaluate()
    assert (asked, again) == (22, 0)
    assert first["models"]["model"]["scores"] == second["models"]["model"]["scores"]
    assert second["models"]["model"]["usage"]["cached"] == 22
    assert any("22 of 22 answers came from the cache" in note for note in second["notes"])
    assert not any("cache" in note for note in first["notes"])


@pytest.mark.parametrize(
    "change", [["--no-cache"], ["--seed", "7"], ["--temperature", "0"], ["--max-tokens", "99"]]
)
def test_another_decoding_or_no_cache_asks_again(evaluate, change):
    evaluate()
    assert evaluate(*change)[0] == 22


def test_deterministic_is_greedy_kept_in_the_report_and_asks_again(evaluate):
    evaluate("--temperature", "0")
    asked, report, _ = evaluate("--deterministic")
    assert asked == 22
    assert report["metadata"]["decoding"]["deterministic"] is True
    assert report["metadata"]["decoding"]["temperature"] == 0
    assert evaluate("--deterministic")[0] == 0


def test_deterministic_bears_no_temperature_and_a_batch_holds_a_prompt(project, baft):
    flags = ("eval", "--model", "good.jsonl", "--dataset", "val.jsonl")
    code, _, err = baft(*flags, "--deterministic", "--temperature", "0.5")
    assert code == 2
    assert "deterministic needs temperature 0" in err
    assert baft(*flags, "--batch-size", "0")[0] == 2


def test_only_what_is_missing_is_asked(evaluate):
    assert evaluate("--limit", "5")[0] == 5
    asked, report, _ = evaluate()
    assert asked == 17
    assert report["models"]["model"]["usage"]["cached"] == 5


@pytest.mark.parametrize(
    "model", [FakeModel(weights="new"), FakeModel(template="other"), FakeModel(parameters=())]
)
def test_a_tag_pulled_again_with_other_content_misses(evaluate, server, model):
    evaluate()
    server.models[NAME] = model
    assert evaluate()[0] == 22


def test_a_model_replaced_within_a_run_voids_its_scores_and_leaves_no_answer(evaluate, server):
    def answer(asked):
        if len(server.requests) == 11:
            server.models[NAME] = FakeModel(weights="pulled meanwhile")
        return ANSWER

    server.answers = answer
    _, report, err = evaluate(code=5)
    assert "is not the model it was when the run began" in err
    failures = report["models"]["model"]["scores"]["failures"]
    assert failures == 22
    server.models[NAME] = FakeModel()
    server.answers = ANSWER
    assert evaluate()[0] == 22


def test_stats_and_prune(evaluate, baft):
    evaluate()
    code, out, _ = baft("cache", "stats", "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["answers"], len(found["models"])) == (22, 1)
    code, out, _ = baft("cache", "stats")
    assert "22 answers" in out
    assert baft("cache", "prune")[0] == 2
    assert baft("cache", "prune", "--to", "lots")[0] == 2
    assert "22 answers forgotten" in baft("cache", "prune", "--all")[2]
    assert json.loads(baft("cache", "stats", "--json")[1])["answers"] == 0


def test_replays_are_not_kept(project, baft):
    assert baft("compare", "small")[0] == 0
    assert json.loads(baft("cache", "stats", "--json")[1])["answers"] == 0


def test_the_run_s_log_says_what_happened(project, baft, server):
    spec = f"ollama:{NAME}@{server.url}"
    arguments = ("eval", "--model", spec, "--dataset", "val.jsonl", "--log-level", "debug")
    assert baft(*arguments)[0] == 0
    (log,) = (project / "artifacts" / "runs").glob("*/run.log")
    text = log.read_text()
    assert text.count(" DEBUG ") == 22
    assert "22 of 22 done, 0 failed, 0 tries again, 0 from the cache" in text
    assert baft(*arguments[:-1], "loud")[0] == 2
