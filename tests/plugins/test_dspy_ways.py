"""Every optimizer of DSPy's over toy models: same door, same judge, nothing asked twice."""

from __future__ import annotations

import logging
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from baft import BackendError, Example, Prediction, Prompt, Score, UsageError

pytest.importorskip("dspy")

from baft_dspy import program
from baft_dspy.optimizer import DspyOptimizer
from baft_dspy.reading import find, load
from baft_dspy.ways import WAYS
from cook import MAGIC, METRIC, ROLE, Model, answer, examples

SMALL: dict[str, Any] = {
    "num_candidates": 3,
    "num_trials": 2,
    "demo_threshold": 0.1,
    "minibatch_size": 4,
    "seed": 1,
}


def learns(prompt: Prompt) -> str:
    """More steps for demonstrations and for the word; advice and instructions give the word."""
    asked = prompt.messages[-1].content + prompt.messages[0].content
    if "new_instruction" in asked:
        return f'{{"new_instruction": "Cook. {MAGIC}"}}'
    if "module_advice" in asked:
        advice = f'{{"generate": "{MAGIC}"}}'
        return f"[[ ## discussion ## ]]\nwell\n\n[[ ## module_advice ## ]]\n{advice}"
    if "proposed_instruction" in asked:
        names = ("observations", "summary", "program_description", "module_description")
        texts = "\n\n".join(f"[[ ## {name} ## ]]\nsome text" for name in names)
        return f"{texts}\n\n[[ ## proposed_instruction ## ]]\nBe good. {MAGIC}"
    return answer(prompt)


class Drawing(Model):
    """Steps are also a matter of the seed, so that SIMBA's rollouts differ."""

    def __init__(self, answer: Any = learns) -> None:
        super().__init__(answer)

    async def generate(self, prompts: Any, decoding: Any) -> Any:
        more = "- \n" * (decoding.seed % 3)
        return [
            replace(one, text=one.text.replace("\n\n[[ ## completed", f"{more}\n[[ ## completed"))
            for one in await super().generate(prompts, decoding)
        ]


def optimize(way: str, folder: Path, model: Any, **options: Any) -> tuple[Any, list[Any]]:
    logged: list[Any] = []
    info = DspyOptimizer(way).optimize(
        ROLE,
        options.pop("metric", METRIC),
        options.pop("train", examples(8)),
        options.pop("val", examples(5, 98)),
        model,
        folder,
        {**SMALL, **options},
        logged.append,
    )
    return info, logged


@pytest.mark.parametrize("way", WAYS)
def test_every_optimizer_improves_saves_and_says_what_it_did(way: str, tmp_path: Path, capsys: Any):
    model = Drawing()
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        info, logged = optimize(way, tmp_path / "out", model)
    assert info["improved"], info["result"]
    assert (info["optimizer"], info["dspy_optimizer"]) == (way, WAYS[way].dspy_class)
    assert info["trials"][0]["program_sha256"] == program.program_sha256(program.build(ROLE))
    assert info["trials"][0]["full"]
    loaded = load(find(tmp_path / "out"), ROLE)
    assert program.program_sha256(loaded) == info["program_sha256"]
    assert not info["failures"]
    assert info["calls"] == len(model.prompts)
    assert info["estimate"]["calls"] >= info["calls"]
    assert info["estimate"]["trials"] >= len(info["trials"])
    assert capsys.readouterr() == ("", "")
    assert logging.getLogger("dspy").level != logging.CRITICAL
    assert logged[0]["message"].startswith("estimate: at most")
    steps = [step for step in logged if "score" in step]
    assert [step["trial"] for step in steps] == list(range(1, len(info["trials"]) + 1))
    assert all(step["trial"] <= step["total"] for step in steps)


@pytest.mark.parametrize("way", WAYS)
def test_no_question_is_asked_twice(way: str, tmp_path: Path):
    model = Drawing()
    asked: list[Any] = []
    generate = model.generate

    async def noting(prompts: Any, decoding: Any) -> Any:
        asked.extend((prompt.messages, decoding) for prompt in prompts)
        return await generate(prompts, decoding)

    model.generate = noting  # type: ignore[method-assign]
    optimize(way, tmp_path / "out", model)
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("way", WAYS)
def test_the_same_seed_searches_the_same(way: str, tmp_path: Path):
    tables = [
        [(t["score"], t["program_sha256"]) for t in info["trials"]]
        for info, _ in (optimize(way, tmp_path / name, Drawing(), seed=5) for name in "ab")
    ]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("way", WAYS)
def test_a_failure_is_no_score_for_any_of_them(way: str, tmp_path: Path):
    def now_and_then(prompt: Prompt) -> str:
        better = MAGIC in prompt.messages[0].content or len(prompt.messages) > 2
        if better and prompt.messages[-1].content.find("dish 100") >= 0:
            raise BackendError("Odd.")
        return learns(prompt)

    info, _ = optimize(way, tmp_path / "out", Drawing(now_and_then), max_errors=200)
    failed = [trial for trial in info["trials"] if trial["failures"]]
    assert failed
    assert all(trial["score"] > info["baseline_score"] for trial in failed)
    assert not info["improved"]
    assert info["result"].startswith("No improvement found")
    assert program.program_sha256(load(find(tmp_path / "out"), ROLE)) == program.program_sha256(
        program.build(ROLE)
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_goes_away_ends_any_of_them(way: str, tmp_path: Path):
    model = Drawing()

    def dying(prompt: Prompt) -> str:
        if len(model.prompts) > 9:
            raise BackendError("Server down.", "Start it.", gone=True)
        return learns(prompt)

    model.answer = dying
    with pytest.raises(BackendError, match=r"Server down\.") as error:
        optimize(way, tmp_path / "out", model)
    assert error.value.gone
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["search.jsonl"]
    whole, _ = optimize(way, tmp_path / "whole", Drawing())
    again = Drawing()
    resumed, _ = optimize(way, tmp_path / "out", again, resume=True)
    assert resumed["program_sha256"] == whole["program_sha256"]
    assert len(again.prompts) == whole["calls"] - resumed["resumed_answers"]
    assert resumed["resumed_answers"] > 0


@pytest.mark.parametrize("way", WAYS)
def test_a_metric_that_raises_ends_any_of_them(way: str, tmp_path: Path):
    class Late:
        """Works for the selection set, not for what is learnt from."""

        name, version, higher_is_better, attainable_max = "late", 1, True, 1.0
        components: dict[str, float] = {}  # noqa: RUF012 - as plugins write it

        def score(self, example: Example, prediction: Prediction) -> Score:
            if int(example.id[1:]) < 98:
                raise ZeroDivisionError("no steps")
            return METRIC.score(example, prediction)  # type: ignore[no-any-return]

    with pytest.raises(BackendError, match="ZeroDivisionError: no steps"):
        optimize(way, tmp_path / "out", Drawing(), metric=Late(), max_errors=1)


def test_feedback_names_the_points_that_were_lost(tmp_path: Path):
    class Parts:
        name, version, higher_is_better, attainable_max = "parts", 1, True, 1.0
        components = {"steps": 0.5, "title": 0.5}  # noqa: RUF012 - as plugins write it

        def score(self, example: Example, prediction: Prediction) -> Score:
            value = METRIC.score(example, prediction).value / 2
            return Score(value=value + 0.5, components={"steps": value, "title": 0.5})

    model = Drawing()
    optimize("gepa", tmp_path / "out", model, metric=Parts())
    reflected = [p for p in model.prompts if "new_instruction" in p.messages[-1].content]
    assert reflected
    assert "Points lost: steps 0." in reflected[0].messages[-1].content
    assert "title 0.5" not in reflected[0].messages[-1].content


def test_rollouts_of_simba_have_seeds_of_their_own(tmp_path: Path):
    model = Drawing()
    optimize("simba", tmp_path / "out", model)
    drawn = {one.seed for one in model.decodings if one.temperature == 1.0}
    assert len(drawn) >= 3


@pytest.mark.parametrize(("way", "package"), [("mipro", "optuna"), ("gepa", "gepa")])
def test_a_missing_package_is_named(
    way: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=f"needs the package {package}.*pip install {package}"):
        optimize(way, tmp_path / "out", Drawing())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_tiny_training_sets(way: str, count: int, tmp_path: Path):
    info, _ = optimize(way, tmp_path / "out", Drawing(), train=examples(count), val=examples(1, 98))
    assert info["data"]["train"]["n"] == count
    assert load(find(tmp_path / "out"), ROLE)
