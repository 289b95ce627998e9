"""``baft train``: the training hook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import state


def train(
    ctx: typer.Context,
    train: Annotated[Path, typer.Option(help="Training examples, JSONL.")],
    val: Annotated[Path, typer.Option(help="Validation examples, JSONL.")],
    output: Annotated[Path, typer.Option(help="Folder of the adapter.")],
    base_model: Annotated[str, typer.Option(help="Folder, or hub id in the local cache.")] = (
        "mistralai/Mistral-7B-Instruct-v0.1"
    ),
    role: Annotated[str, typer.Option(help="Role to train for.")] = "ba",
    trainer: Annotated[str, typer.Option(help="Trainer, as `baft plugins` lists them.")] = "lora",
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
    quantization: Annotated[str, typer.Option(help="bnb4, bf16, fp32 or auto.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option()] = 42,
    early_stopping: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many epochs without gain.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    truncate: Annotated[bool, typer.Option("--truncate", help="Cut examples too long.")] = False,
    allow_download: Annotated[bool, typer.Option(help="Model hubs may be asked.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print training_info.json.")] = False,
) -> None:
    """Fine-tune a model on a role's examples; works offline, on CPU or GPU."""
    from ..loader import listeners
    from ..store import read_dataset
    from .making import StepProgress, flags

    here = state(ctx)
    player = here.plugins.role(role)
    data, held_out = read_dataset(train, player), read_dataset(val, player)
    options = {
        **flags(ctx, "ctx", "train", "val", "output", "role", "trainer", "json"),
        "target_modules": [name.strip() for name in target_modules.split(",") if name.strip()],
        "train_dataset": str(train),
        "val_dataset": str(val),
        "train_sha256": data.sha256,
        "val_sha256": held_out.sha256,
    }
    told = listeners(here.plugins, "baft_training_logged", here.warn)
    maker = here.plugins.make("trainers", trainer)
    with (
        StepProgress(here, "train", told, output) as log,
        here.plugins.calling("trainers", trainer),
    ):
        info = maker.train(player, data.examples, held_out.examples, output, options, log)
    if json:
        here.emit(dict(info), True)
    else:
        print(f"adapter {output}\nNext: baft eval --role {role} --model {trainer}:{output}")
