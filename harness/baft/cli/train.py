"""``baft train``: the training hook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import state
from .compare import compare
from .completing import roles, trainers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..sweeping import Axis
    from .common import State
    from .training import Lessons

OTHERS = (
    *("ctx", "train", "val", "output", "role", "trainer", "then_compare", "json"),
    *("sweep", "sweep_metric", "sweep_trials", "sweep_prune"),
)
"""Flags that are none of the trainer's."""

TRAINED = "trained"
"""The name of the new model among a benchmark's arms."""


def train(
    ctx: typer.Context,
    train: Annotated[Path, typer.Option(help="Training examples, JSONL.")],
    val: Annotated[Path, typer.Option(help="Validation examples, JSONL.")],
    output: Annotated[Path, typer.Option(help="Folder of the adapter.")],
    base_model: Annotated[str, typer.Option(help="Folder, or hub id in the local cache.")] = (
        "mistralai/Mistral-7B-Instruct-v0.1"
    ),
    role: Annotated[str, typer.Option(help="Role to train for.", autocompletion=roles)] = "ba",
    trainer: Annotated[
        str, typer.Option(help="Trainer, as `baft plugins` lists them.", autocompletion=trainers)
    ] = "lora",
    epochs: Annotated[int, typer.Option(min=1)] = 3,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-4,
    batch_size: Annotated[int, typer.Option(min=1)] = 1,
    grad_accum: Annotated[int, typer.Option(min=1, help="Batches by optimizer step.")] = 8,
    lora_r: Annotated[int, typer.Option(min=1)] = 8,
    lora_alpha: Annotated[int, typer.Option(min=1)] = 32,
    lora_dropout: Annotated[float, typer.Option(min=0.0, max=1.0)] = 0.1,
    target_modules: Annotated[str, typer.Option()] = "q_proj,k_proj,v_proj,o_proj",
    max_length: Annotated[int, typer.Option(min=2, help="Longest example in tokens.")] = 2048,
    train_limit: Annotated[int | None, typer.Option(min=1, help="Smoke run.")] = None,
    val_limit: Annotated[int | None, typer.Option(min=1, help="Smoke run.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Smoke run.")] = None,
    loss: Annotated[str, typer.Option(help="What is learnt: answer, or full: prompts too.")] = (
        "answer"
    ),
    quantization: Annotated[str, typer.Option(help="bnb4, bf16, fp32 or auto.")] = "auto",
    save_quantized: Annotated[
        Path | None, typer.Option(help="Keep the base in 4 bits here, and train on that.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option()] = 42,
    early_stopping: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many epochs without gain.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    truncate: Annotated[bool, typer.Option("--truncate", help="Cut examples too long.")] = False,
    allow_download: Annotated[bool, typer.Option(help="Model hubs may be asked.")] = False,
    sweep: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=V1,V2", help="Try these values: r=8,16, lr=1e-5..1e-3, …"),
    ] = None,
    sweep_metric: Annotated[
        str | None,
        typer.Option(help="Judge trials by this metric, or by the role's: `role`; else by loss."),
    ] = None,
    sweep_trials: Annotated[
        int | None, typer.Option(min=1, help="So many, chosen by Optuna; default: the whole grid.")
    ] = None,
    sweep_prune: Annotated[bool, typer.Option(help="Break off trials worse than most.")] = True,
    then_compare: Annotated[
        str | None,
        typer.Option(metavar="BENCHMARK", help="Then compare with the arms of this benchmark."),
    ] = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print training_info.json, sweep.json or the decision."),
    ] = False,
) -> None:
    """Fine-tune a model on a role's examples; works offline, on CPU or GPU."""
    from ..reports.sweeps import render_sweep
    from .sweep import read_axes, sweep_training
    from .training import CURVE, one_voice, rank, train_once

    here = state(ctx)
    here.quiet = here.quiet or rank(here) > 0
    with one_voice(here):
        lessons, options = asked(ctx)
        then = _arms(here, then_compare, role, f"{trainer}:{output}") if then_compare else []
        axes = read_axes(ctx, sweep or (), frozenset(OTHERS))
        judge = _judge(here, sweep_metric, role, axes)
    if axes:
        info = sweep_training(
            here, lessons, output, options, axes,
            metric=judge, trials=sweep_trials, prune=sweep_prune,
        )  # fmt: skip
        if not json:
            render_sweep(info, here.console())
    else:
        info = train_once(here, lessons, output, options)
    if rank(here):
        return
    spec = f"{trainer}:{output}"
    if json and not then_compare:
        here.emit(info, True)
    elif not json:
        curve = f"curve   {output / CURVE}\n" if (output / CURVE).is_file() else ""
        print(f"adapter {output}\n{curve}Next: baft eval --role {role} --model {spec}", flush=True)
    if then_compare:
        compare(ctx, benchmark=then_compare, candidate=then, device=device, json=json)


def asked(ctx: typer.Context) -> tuple[Lessons, dict[str, Any]]:
    """What a line of ``baft train`` asks for: what to train, and the trainer's options.

    Raises:
        BaftError: a role or trainer is not known, or a file holds no examples.
    """
    from ..store import read_dataset
    from .making import command_given, flags
    from .training import Lessons

    here, given = state(ctx), ctx.params
    role = here.plugins.role(given["role"])
    here.plugins.offer("trainers", given["trainer"])
    lessons = Lessons(
        role=role,
        train=read_dataset(given["train"], role),
        val=read_dataset(given["val"], role),
        trainer=given["trainer"],
        command=command_given(ctx),
    )
    modules = given["target_modules"].split(",")
    return lessons, {
        **flags(ctx, *OTHERS),
        "target_modules": [name.strip() for name in modules if name.strip()],
        "train_dataset": str(given["train"]),
        "val_dataset": str(given["val"]),
        "train_sha256": lessons.train.sha256,
        "val_sha256": lessons.val.sha256,
    }


def _judge(here: State, name: str | None, role: str, axes: Sequence[Axis]) -> str | None:
    """The metric that trials are judged by; None is the validation loss.

    Raises:
        UsageError: no such metric, nothing to judge, or several processes that would all sweep.
    """
    from ..errors import UsageError
    from .training import processes

    if axes and processes(here) > 1:
        raise UsageError(
            "A sweep runs in one process.", "Start it without torchrun or accelerate launch."
        )
    if name is None:
        return None
    if not axes:
        raise UsageError("--sweep-metric judges the trials of a sweep.", "Give --sweep r=8,16.")
    return here.plugins.metric(here.plugins.role(role).metric if name == "role" else name).name


def _arms(here: State, name: str, role: str, spec: str) -> list[str]:
    """The arms of a benchmark and the model that is to be trained, as ``--candidate`` has them.

    Raises:
        UsageError: there is no such benchmark, or it is of another role.
    """
    from ..errors import UsageError
    from ..store import find_benchmark
    from .running import anchored

    benchmark = anchored(find_benchmark(name, here.project))
    if benchmark.role != role:
        raise UsageError(
            f"The benchmark {name!r} is of the role {benchmark.role!r}, and {role!r} is trained.",
            f"Name a benchmark of the role {role!r}.",
        )
    arms = {**benchmark.models, TRAINED: spec}
    return [f"{arm}={model}" for arm, model in arms.items()]
