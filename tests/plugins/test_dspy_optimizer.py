"""MIPROv2 over toy models whose answers depend on the prompt."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from baft import (
    BackendError,
    Context,
    Decoding,
    Example,
    Field,
    Generation,
    Prediction,
    Prompt,
    Score,
    UsageError,
)

dspy = pytest.importorskip("dspy")
pytest.importorskip("optuna")

from baft_dspy import instructions, program, reading  # noqa: E402
from baft_dspy.backend import open_backend  # noqa: E402
from baft_dspy.optimizer import DspyOptimizer  # noqa: E402
from baft_dspy.ways import WAYS  # noqa: E402
from cook import MAGIC, METRIC, ROLE, Model, Steps, answer, examples  # noqa: E402

if TYPE_CHECKING:
    pass

ZERO_SHOT = {"max_bootstrapped_demos": 0, "max_labeled_demos": 0, "propose": False}


def optimize(tmp_path: Path, model: Model, **options: Any) -> tuple[Any, list[Any]]:
    logged: list[Any] = []
    info = DspyOptimizer("mipro").optimize(
        ROLE,
        METRIC,
        examples(20),
        options.pop("val", examples(6, 100)),
        model,  # type: ignore[arg-type]
        tmp_path / "out",
        {"num_trials": 6, "seed": 1, **options},
        logged.append,
    )
    return info, [step for step in logged if "score" in step]


def test_a_better_instruction_is_found_and_saved(tmp_path: Path):
    model = Model()
    info, logged = optimize(tmp_path, model, instructions=[f"Cook. {MAGIC}"], **ZERO_SHOT)
    assert info["improved"]
    assert (info["baseline_score"], info["best_score"]) == (3 / 16, 0.5)
    assert info["best_instructions"] == f"Cook. {MAGIC}"
    first = {"trial": 1, "total": 7, "score": 3 / 16, "best": 3 / 16, "calls": 6, "tokens": 18}
    assert logged[0] == first
    assert [entry["trial"] for entry in logged] == [1, 2, 3, 4, 5, 6, 7]
    assert logged[-1]["best"] == 0.5
    loaded = reading.load(reading.find(tmp_path / "out"), ROLE)
    assert loaded.generate.signature.instructions == f"Cook. {MAGIC}"
    assert program.program_sha256(loaded) == info["program_sha256"]
    assert model.closed == 1


def test_what_was_found_runs_as_a_model(tmp_path: Path):
    optimize(tmp_path, Model(), instructions=[MAGIC], **ZERO_SHOT)
    model: Any = Model()
    context = Context(open=lambda spec: model, role=ROLE)
    backend = open_backend(str(tmp_path / "out"), context)
    prompt = Prompt(example_id="a", inputs={"dish": "soup"}, messages=())

    async def ask() -> list[Generation]:
        try:
            return await backend.generate([prompt], Decoding())
        finally:
            await backend.close()

    (generation,) = asyncio.run(ask())
    assert generation.fields is not None
    assert generation.fields["steps"].count("-") == 8


def test_no_improvement_is_a_result(tmp_path: Path):
    info, _ = optimize(tmp_path, Model(), hints=True, **ZERO_SHOT)
    assert not info["improved"]
    assert info["result"].startswith("No improvement found")
    assert (info["best_trial"], info["best_score"], info["best_demos"]) == (1, 3 / 16, 0)
    loaded = reading.load(reading.find(tmp_path / "out"), ROLE)
    assert program.program_sha256(loaded) == program.program_sha256(program.build(ROLE))


def test_demonstrations_help_and_survive_saving(tmp_path: Path):
    info, _ = optimize(
        tmp_path,
        Model(),
        instructions=[MAGIC],
        propose=False,
        max_bootstrapped_demos=2,
        max_labeled_demos=3,
        num_trials=12,
        demo_threshold=0.1,
    )
    assert info["improved"]
    assert info["best_demos"] >= 2
    assert info["demo_sets"][0] == 0
    made = reading.load(tmp_path / "out" / "program_components.json", ROLE)
    other = reading.load(tmp_path / "out" / "program.json", ROLE)
    assert program.state_of(made) == program.state_of(other)
    assert len(made.generate.demos) == info["best_demos"]
    assert {"dish", "title", "steps"} <= set(made.generate.demos[0])


def test_answers_below_the_threshold_are_not_shown(tmp_path: Path):
    info, _ = optimize(
        tmp_path, Model(), max_bootstrapped_demos=2, max_labeled_demos=0, propose=False
    )
    assert info["demo_sets"] == [0]


def test_everything_is_written_down(tmp_path: Path):
    options = {"train_sha256": "abc", "selected_on": "six examples", "train": Path("t.jsonl")}
    info, _ = optimize(tmp_path, Model(), instructions=[MAGIC], **ZERO_SHOT, **options)
    assert json.loads((tmp_path / "out" / "optimization_info.json").read_text()) == info
    assert (info["role"], info["metric"], info["lm"], info["seed"]) == (
        "cook",
        "steps",
        "fake:model",
        1,
    )
    assert info["arguments"]["train_sha256"] == "abc"
    assert info["arguments"]["train"] == "t.jsonl"
    assert info["arguments"]["num_trials"] == 6
    assert info["arguments"]["threads"] == 8
    assert len(info["trials"]) == 7
    asked = {trial["program_sha256"] for trial in info["trials"]}
    assert info["calls"] == 6 * len(asked)
    assert (info["prompt_tokens"], info["completion_tokens"]) == (2 * info["calls"], info["calls"])
    assert sum(trial["calls"] for trial in info["trials"]) == info["calls"]
    assert {one["instructions"] for one in info["candidates"].values()} >= {MAGIC, ROLE.task}
    assert set(info["candidates"]) == asked
    assert set(info["versions"]) == {"baft", "dspy", "optuna"}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "optimization_info.json",
        "program.json",
        "program_components.json",
    ]


def test_nothing_is_asked_twice(tmp_path: Path):
    model = Model()
    info, _ = optimize(tmp_path, model, hints=False, **ZERO_SHOT)
    assert [trial["repeated"] for trial in info["trials"]] == [False] + [True] * 6
    assert len(model.prompts) == 6


def test_decoding_and_seed_reach_the_model(tmp_path: Path):
    model = Model()
    options = {"temperature": 0.1, "max_tokens": 77, "seed": 9}
    optimize(tmp_path, model, **ZERO_SHOT, **options)
    assert model.decodings == {Decoding(temperature=0.1, max_tokens=77, seed=9)}


@pytest.mark.parametrize("seed", [0, 5])
def test_the_same_seed_searches_the_same(tmp_path: Path, seed: int):
    options = {"instructions": [MAGIC], "propose": False, "demo_threshold": 0.1, "seed": seed}
    tables = []
    for name in "ab":
        info, _ = optimize(tmp_path / name, Model(), **options)
        tables.append([(t["score"], t["program_sha256"]) for t in info["trials"]])
    assert tables[0] == tables[1]


def test_requests_of_a_trial_share_calls(tmp_path: Path):
    model = Model(batch_size=6)
    optimize(tmp_path, model, instructions=[MAGIC], **ZERO_SHOT)
    assert max(model.sizes) == 6
    assert len(model.sizes) <= 2 * sum(model.sizes) / 6


def test_a_minibatch_larger_than_the_set_is_left_out(tmp_path: Path):
    info, _ = optimize(tmp_path, Model(), minibatch=True, minibatch_size=6, **ZERO_SHOT)
    assert not info["minibatch"]


@pytest.mark.parametrize("trials", [1, 5, 7])
def test_minibatches_end_in_full_trials(tmp_path: Path, trials: int):
    info, logged = optimize(
        tmp_path,
        Model(),
        instructions=[MAGIC],
        minibatch=True,
        minibatch_size=3,
        **{**ZERO_SHOT, "num_trials": trials, "hints": False},
    )
    assert info["minibatch"]
    assert {trial["examples"] for trial in info["trials"]} == {3, 6}
    assert logged[-1]["trial"] <= logged[-1]["total"]
    assert info["best_trial"] in [t["trial"] for t in info["trials"] if t["full"]]


def test_dspys_presets_are_possible(tmp_path: Path):
    info, _ = optimize(tmp_path, Model(), auto="light", instructions=[MAGIC], **ZERO_SHOT)
    assert info["improved"]


def test_proposals_that_cannot_be_read_are_left_out(tmp_path: Path):
    info, _ = optimize(
        tmp_path,
        Model(),
        instructions=[MAGIC],
        max_bootstrapped_demos=0,
        max_labeled_demos=0,
        num_candidates=6,
    )
    assert info["proposals_dropped"] == 2
    assert len(info["instructions"]) == 4
    assert info["improved"]


def test_another_model_can_propose(tmp_path: Path, capsys: Any):
    def proposes(prompt: Prompt) -> str:
        fields = ("observations", "summary", "program_description", "module_description")
        texts = "\n\n".join(f"[[ ## {name} ## ]]\nsome text" for name in fields)
        return f"{texts}\n\n[[ ## proposed_instruction ## ]]\nBe good. {MAGIC}"

    prompter = Model(proposes)
    info, _ = optimize(tmp_path, Model(), prompt_lm=prompter, hints=False)
    assert info["improved"]
    assert MAGIC in info["best_instructions"]
    assert {decoding.temperature for decoding in prompter.decodings} >= {1.0}
    seeds = [decoding.seed for decoding in prompter.decodings]
    assert len(set(seeds)) == len(seeds) == len(prompter.prompts)
    assert prompter.closed == 1
    assert capsys.readouterr() == ("", "")


def now_and_then(prompt: Prompt) -> str:
    if prompt.inputs.get("dish") == "dish 100" and MAGIC in prompt.messages[0].content:
        raise BackendError("Odd.")
    return answer(prompt)


def test_a_failure_is_counted_and_its_program_cannot_win(tmp_path: Path):
    info, _ = optimize(tmp_path, Model(now_and_then), instructions=[MAGIC], **ZERO_SHOT)
    failed = [trial for trial in info["trials"] if trial["failures"]]
    assert failed
    assert {trial["score"] for trial in failed} == {0.5}
    assert not info["improved"]
    assert info["failures"] == ["x100: BackendError: Odd."]


def test_a_metric_that_raises_is_a_failure(tmp_path: Path):
    class Broken(Steps):
        def score(self, example: Example, prediction: Prediction) -> Score:
            raise ZeroDivisionError("no steps")

    with pytest.raises(BackendError, match=r"x10\d: ZeroDivisionError: no steps") as error:
        DspyOptimizer("mipro").optimize(
            ROLE,
            Broken(),  # type: ignore[arg-type]
            examples(3),
            examples(6, 100),
            Model(),  # type: ignore[arg-type]
            tmp_path,
            {**ZERO_SHOT, "max_errors": 2},
            lambda step: None,
        )
    assert "--max-errors" in error.value.message


def test_a_dead_server_ends_the_search(tmp_path: Path):
    def dead(prompt: Prompt) -> str:
        raise BackendError("Server down.", "Start it.", gone=True)

    model = Model(dead)
    with pytest.raises(BackendError, match=r"Server down\.") as error:
        optimize(tmp_path, model)
    assert error.value.gone
    assert model.closed == 1
    assert not (tmp_path / "out").exists()


def test_retryable_failures_are_tried_again(tmp_path: Path):
    failed: list[str] = []

    def hiccup(prompt: Prompt) -> str:
        if prompt.example_id not in failed:
            failed.append(prompt.example_id)
            raise BackendError("Busy.", retryable=True, retry_after_s=0.01)
        return answer(prompt)

    info, _ = optimize(tmp_path, Model(hiccup), **ZERO_SHOT)
    assert info["failures"] == []
    assert len(failed) == 6


def test_options_out_of_range_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="num_trials"):
        optimize(tmp_path, Model(), num_trials=0)
    with pytest.raises(UsageError, match="0 to select on"):
        optimize(tmp_path, Model(), val=[])


def test_instructions_are_read_from_a_file(tmp_path: Path):
    path = tmp_path / "more.txt"
    path.write_text("First.\nStill first.\n---\n\nSecond.\n---\n", encoding="utf-8")
    assert instructions.read(path) == ["First.\nStill first.", "Second."]
    path.write_text(f"Cook. {MAGIC}", encoding="utf-8")
    info, _ = optimize(tmp_path, Model(), instructions_file=path, **ZERO_SHOT)
    assert info["best_instructions"] == f"Cook. {MAGIC}"


def test_hints_restate_the_roles_fields():
    texts = instructions.candidates(ROLE)
    assert len(texts) == len(set(texts)) == 7
    assert all(text.startswith("Write a recipe.\n") for text in texts)
    assert "- steps: YAML list of steps\n" in texts[0]
    assert "Write steps as plain YAML lists" in texts[0]
    assert "title and steps" in texts[0]


def test_no_hint_speaks_of_lists_where_there_are_none():
    role: Any = SimpleNamespace(task="Go.", outputs=(Field(name="title", description="x"),))
    assert not any("YAML" in text for text in instructions.candidates(role))


def test_values_become_text_a_model_would_write():
    assert program.as_text("as it is ") == "as it is "
    items = [{"id": "FR1", "description": "año: x"}]
    assert program.as_text(items) == "- id: FR1\n  description: 'año: x'"


def test_hook_register_optimizers():
    import baft_dspy

    offered: dict[str, Any] = {}
    baft_dspy.baft_register_optimizers(lambda name, factory: offered.update({name: factory}))
    assert tuple(offered) == baft_dspy.OPTIMIZERS == tuple(WAYS)
    assert all(factory().name == name for name, factory in offered.items())
