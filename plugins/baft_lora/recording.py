"""What ``training_info.json`` holds: all that it takes to repeat a run, and what came of it."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import os
import platform
import sys
from typing import TYPE_CHECKING, Any

import baft

from . import sources
from .backend import versions
from .rendering import template_sha256

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .lessons import Lesson
    from .options import Options
    from .preflight import Plan

INFO = "training_info.json"


def begin(
    options: Options,
    role: baft.Role,
    base: Path,
    plan: Plan,
    device: str,
    tokenizer: Any,
    sets: Sequence[Sequence[Lesson]],
) -> dict[str, Any]:
    """What is known before the first step; times are UTC, counts of tokens are by epoch."""
    train, val = sets
    both = (*train, *val)
    cut = [row.example_id for row in both if row.ids[-1] != tokenizer.eos_token_id]
    return {
        "finished": False,
        "started": now(),
        "role": role.name,
        "base_model": options.base_model,
        "base_revision": base.name if base.parent.name == "snapshots" else None,
        "base_sha256": sources.model_digest(base),
        "train_dataset": options.train_dataset,
        "val_dataset": options.val_dataset,
        "train_sha256": options.train_sha256,
        "val_sha256": options.val_sha256,
        "train_examples": len(train),
        "val_examples": len(val),
        "train_tokens": _tokens(train),
        "val_tokens": _tokens(val),
        "train_answer_tokens": _answer_tokens(train),
        "val_answer_tokens": _answer_tokens(val),
        "longest_example": max(len(row.ids) for row in both),
        "truncated": len(cut),
        "truncated_examples": cut,
        "lessons_sha256": baft.digest([row.ids for row in both]),
        "prompts_sha256": baft.digest([row.ids[: row.prompt_tokens] for row in both]),
        "chat_template_sha256": template_sha256(tokenizer),
        "epochs": options.epochs,
        "learning_rate": options.lr,
        "batch_size": options.batch_size,
        "grad_accum_steps": options.grad_accum,
        "effective_batch_size": options.batch_size * options.grad_accum,
        "lora_r": options.lora_r,
        "lora_alpha": options.lora_alpha,
        "lora_dropout": options.lora_dropout,
        "max_length": options.max_length,
        "seed": options.seed,
        "train_limit": options.train_limit,
        "val_limit": options.val_limit,
        "max_steps": options.max_steps,
        "is_smoke_run": any((options.train_limit, options.val_limit, options.max_steps)),
        "quantization": plan.need.precision,
        "quantization_reason": plan.reason,
        "preflight": plan.record(),
        "device": device,
        "options": dataclasses.asdict(options),
        "versions": {
            "baft": importlib.metadata.version("baft"),
            "accelerate": importlib.metadata.version("accelerate"),
            **versions(),
            "python": platform.python_version(),
        },
        "platform": platform.platform(),
        "hardware": hardware(device),
    }


def hardware(device: str) -> dict[str, Any]:
    """What the run computes on; None for what the system does not tell."""
    import psutil  # type: ignore[import-untyped]  # comes with peft
    import torch

    found = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": int(psutil.virtual_memory().total),
    }
    if device == "cuda":
        gpu = torch.cuda.get_device_properties(0)
        found |= {"gpu": gpu.name, "gpu_memory_bytes": int(gpu.total_memory)}
        found |= {"gpus": torch.cuda.device_count(), "cuda": torch.version.cuda}
    return found


def now() -> str:
    """This moment, in UTC and whole seconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def peak_memory(device: str) -> int | None:
    """Bytes, on the device that trained; None where the system does not tell."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cpu() -> str | None:
    """The processor's name; Linux tells it in a file."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = (line.partition(":")[2].strip() for line in lines if line.startswith("model n"))
            return next(names, None) or platform.machine()
    except OSError:
        return platform.processor() or None


def _tokens(lessons: Sequence[Lesson]) -> int:
    return sum(len(row.ids) for row in lessons)


def _answer_tokens(lessons: Sequence[Lesson]) -> int:
    return sum(len(row.ids) - row.prompt_tokens for row in lessons)
