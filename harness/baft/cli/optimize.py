"""``baft optimize``: the optimizer hook (DSPy's optimizers, MIPROv2 unless another is named)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import state
from .completing import metrics, optimizers, roles, specs

if TYPE_CHECKING:
    from .common import State


def optimize(
    ctx: typer.Context,
    train: Annotated[Path | None, typer.Option(help="Training examples, JSONL.")] = None,
    lm: Annotated[
        str | None, typer.Option(metavar="SPEC", help="The model to prompt.", autocompletion=specs)
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the program.")] = None,
    show: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Show what was found, and do no more.")
    ] = None,
    val: Annotated[
        Path | None, typer.Option(help="Examples to select on; default: a fifth of --train.")
    ] = None,
    prompt_lm: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC", help="Writes instructions; default: --lm.", autocompletion=specs
        ),
    ] = None,
    role: Annotated[str, typer.Option(help="Role to optimize for.", autocompletion=roles)] = "ba",
    metric: Annotated[
        str | None, typer.Option(help="Default: the role's own.", autocompletion=metrics)
    ] = None,
    optimizer: Annotated[
        str,
        typer.Option(
            help="mipro, bootstrap, random, gepa, simba, or a plugin's.", autocompletion=optimizers
        ),
    ] = "mipro",
    num_candidates: Annotated[int, typer.Option(min=1)] = 8,
    num_trials: Annotated[
        int | None, typer.Option(min=1, help="Default: DSPy's rule for the candidates.")
    ] = None,
    propose: Annotated[bool, typer.Option(help="Let --prompt-lm write instructions.")] = True,
    hints: Annotated[bool, typer.Option(help="Try instructions made of the role's fields.")] = True,
    instructions_file: Annotated[
        Path | None, typer.Option(help="Further instructions to try, between lines of ---.")
    ] = None,
    demo_threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the best score a demo needs.")
    ] = 0.8,
    auto: Annotated[str | None, typer.Option(help="light, medium or heavy.")] = None,
    max_bootstrapped_demos: Annotated[int, typer.Option(min=0)] = 2,
    max_labeled_demos: Annotated[int, typer.Option(min=0)] = 2,
    minibatch: Annotated[bool, typer.Option(help="Score trials on part of the set.")] = True,
    minibatch_size: Annotated[int, typer.Option(min=1)] = 35,
    max_calls: Annotated[
        int | None, typer.Option(min=1, help="Budget: prompts sent; then the best so far.")
    ] = None,
    max_tokens_total: Annotated[
        int | None, typer.Option(min=1, help="Budget: tokens of all prompts and answers.")
    ] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Budget: minutes in all.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the search begun in --output.")
    ] = False,
    select_on_val: Annotated[
        bool, typer.Option("--select-on-val", help="Select on a benchmark's own examples.")
    ] = False,
    threads: Annotated[int | None, typer.Option(min=1)] = None,
    max_errors: Annotated[int, typer.Option(min=0)] = 10,
    temperature: Annotated[float, typer.Option()] = 0.7,
    max_tokens: Annotated[int, typer.Option(min=1)] = 2048,
    num_ctx: Annotated[int, typer.Option(min=1)] = 8192,
    batch_size: Annotated[int | None, typer.Option(help="Batch size of local models.")] = None,
    seed: Annotated[int, typer.Option()] = 42,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    allow_download: Annotated[bool, typer.Option(help="Model hubs may be asked.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print optimization_info.json.")] = False,
) -> None:
    """Optimize the prompt of a role for a model."""
    from ..errors import UsageError
    from .making import StepProgress, command_given, flags
    from .selecting import selection

    here = state(ctx)
    if show is not None:
        return show_found(here, show, json)
    if train is None or lm is None or output is None:
        raise UsageError("--train, --lm and --output are needed.", "See baft optimize --help.")
    player = here.plugins.role(role)
    measure = here.plugins.metric(metric or player.metric)
    chosen = selection(here, player, train, val, seed=seed, insists=select_on_val)
    maker = here.plugins.make("optimizers", optimizer)
    context = here.plugins.context(
        env=here.env,
        role=player,
        device=device,
        batch_size=batch_size,
        allow_download=allow_download,
    )
    model = context.open(lm)
    options = {
        **flags(
            ctx, "ctx", "train", "val", "output", "show", "role", "optimizer", "json", "prompt_lm"
        ),
        "prompt_lm": context.open(prompt_lm) if prompt_lm is not None else None,
        "prompt_lm_spec": prompt_lm or lm,
        "train_dataset": str(train),
        "val_dataset": str(val or train),
        "train_sha256": chosen.train_sha256,
        "val_sha256": chosen.val_sha256,
        "selected_on": chosen.how,
        "command": command_given(ctx),
    }
    here.say(f"selecting on {chosen.how}")
    with (
        StepProgress(here, "optimize", None, output) as log,
        here.plugins.calling("optimizers", optimizer),
    ):
        info = maker.optimize(
            player, measure, chosen.train, chosen.val, model, output, options, log
        )
    if json:
        here.emit(dict(info), True)
    else:
        print(f"program {output}")
        if "result" in info:
            print(info["result"])
        print(f"Next: baft eval --role {role} --model dspy:{output}")


def show_found(here: State, folder: Path, as_json: bool) -> None:
    """Print what an optimization left in a folder."""
    from ..reports.optimized import read_optimized, render_optimized

    found = read_optimized(folder)
    if as_json:
        here.emit({"folder": found.folder, "info": found.info, "modules": found.modules}, True)
    else:
        render_optimized(found, here.console())
