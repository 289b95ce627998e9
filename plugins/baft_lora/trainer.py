"""Trainer ``lora``: a LoRA adapter by transformers and PEFT, resumable, on CPU or GPU."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import baft

from . import loading, sources
from .backend import versions
from .options import Options
from .rendering import answer_ids, prompt_ids, template_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Log = Callable[[Mapping[str, Any]], None]

PROJECT_MARKS = (".git", "benchmarks", "config.yaml")
"""What the root of a project holds; inside one, an adapter names its base by a relative path."""

INFO = "training_info.json"

INDIFFERENT = frozenset(
    {"allow_download", "base_model", "resume"}
    | {"train_dataset", "val_dataset", "train_sha256", "val_sha256"}
)
"""Options that may change when a run goes on; what comes of them is compared instead."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One example as the model sees it."""

    example_id: str
    ids: tuple[int, ...]
    """Prompt, answer and end token."""
    prompt_tokens: int
    """How many of them are not to be learnt."""


class LoraTrainer:
    """Teaches a base the role's targets; the text is rendered as the backend renders it."""

    def train(
        self,
        role: baft.Role,
        train: Sequence[baft.Example],
        val: Sequence[baft.Example],
        output: Path,
        options: Mapping[str, Any],
        log: Log,
    ) -> Mapping[str, Any]:
        """Write the best adapter, its tokenizer and ``training_info.json`` to ``output``.

        Raises:
            UsageError: options that cannot be, or ``output`` is taken.
            DataError: the base is not there, an example is too long, or the loss is not finite.
        """
        from .run import run

        asked = Options.read(options)
        if (output / INFO).is_file() and not asked.resume:
            raise baft.UsageError(
                f"{str(output)!r} already holds a training run.",
                "Go on with --resume, or choose another --output.",
            )
        base = sources.find_model(
            asked.base_model,
            allow_download=asked.allow_download,
            point="give --base-model FOLDER",
        )
        device = loading.choose_device(asked.device)
        precision = _precision(asked, base, device)
        tokenizer = _tokenizer(base)
        sets = [
            lessons(role, tokenizer, examples[:limit], asked)
            for examples, limit in ((train, asked.train_limit), (val, asked.val_limit))
        ]
        if not sets[0]:
            raise baft.DataError("There is no example to train on.")
        info = _asked_info(asked, base, precision, device, tokenizer, sets)
        checkpoint = _checkpoint(output, info)
        output.mkdir(parents=True, exist_ok=True)
        _write_json(output / INFO, info)
        started = time.perf_counter()
        model, found = run(
            asked,
            base,
            *sets,
            output=output,
            checkpoint=checkpoint,
            precision=precision,
            device=device,
            log=log,
        )
        info |= found
        info["wall_s"] = time.perf_counter() - started
        info["peak_memory_bytes"] = _peak_memory(device)
        _write_adapter(model, tokenizer, output, _base_name(asked.base_model, base, output))
        info["adapter_sha256"] = sources.adapter_digest(output)
        info["finished"] = True
        _write_json(output / INFO, info)
        return info

    def token_counter(self, role: baft.Role, base_model: str) -> Callable[[baft.Example], int]:
        """Counts the tokens of an example as training would see it; only the tokenizer is loaded.

        Raises:
            DataError: there is no tokenizer, or one without an end token.
        """
        base = Path(base_model).expanduser()
        if not base.is_dir():
            base = sources.find_model(base_model, allow_download=False, point="name its folder")
        tokenizer = _tokenizer(base)
        return lambda example: len(_lesson(role, tokenizer, example).ids)


def lessons(
    role: baft.Role, tokenizer: Any, examples: Sequence[baft.Example], options: Options
) -> list[Lesson]:
    """Examples as token ids: the prompt as it is asked, then the target and the end token.

    Raises:
        DataError: examples have no reference, or are too long and may not be cut.
    """
    made, unusable = [], []
    for example in examples:
        try:
            made.append(_lesson(role, tokenizer, example))
        except ValueError:
            unusable.append(example.id)
    if unusable:
        raise baft.DataError(
            f"{len(unusable)} of {len(examples)} examples have no reference to learn from: "
            f"{_some(unusable)}.",
            "Remove them, or add the reference.",
        )
    size = options.max_length
    long = [lesson.example_id for lesson in made if len(lesson.ids) > size]
    if long and not options.truncate:
        longest = max(len(lesson.ids) for lesson in made)
        raise baft.DataError(
            f"{len(long)} of {len(made)} examples are longer than {size} tokens "
            f"(the longest has {longest}): {_some(long)}.",
            f"Give --max-length {longest}, or --truncate to cut their answers.",
        )
    cut = [dataclasses.replace(lesson, ids=lesson.ids[:size]) for lesson in made]
    empty = [lesson.example_id for lesson in cut if lesson.prompt_tokens >= len(lesson.ids)]
    if empty:
        raise baft.DataError(
            f"Cut to {size} tokens, nothing is left to learn of {_some(empty)}.",
            "Give a greater --max-length.",
        )
    return cut


def _lesson(role: baft.Role, tokenizer: Any, example: baft.Example) -> Lesson:
    """One example as token ids, uncut.

    Raises:
        ValueError: it has no reference.
    """
    target = role.target(example)
    prompt = prompt_ids(tokenizer, role.prompt(example).messages)
    ids = (*prompt, *answer_ids(tokenizer, target))
    return Lesson(example_id=example.id, ids=ids, prompt_tokens=len(prompt))


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:10]) + (f" and {len(ids) - 10} more" if len(ids) > 10 else "")


def _tokenizer(base: Path) -> Any:
    tokenizer = loading.load_tokenizer(base)
    if tokenizer.eos_token_id is None:
        raise baft.DataError(
            f"The tokenizer of {str(base)!r} has no end token, so no answer could be ended.",
            "Choose another base model.",
        )
    return tokenizer


def _precision(options: Options, base: Path, device: str) -> str:
    """``fp32``, ``bf16`` or ``bnb4``."""
    import importlib.util

    if options.quantization == "bnb4" and importlib.util.find_spec("bitsandbytes") is None:
        raise baft.UsageError(
            "Quantization bnb4 needs the package 'bitsandbytes', which is not installed.",
            'Install it: pip install "bitsandbytes>=0.50", or use --quantization bf16.',
        )
    if options.quantization != "auto":
        return options.quantization
    parameters = sources.parameter_count(sources.weight_files(base))
    return "fp32" if loading.choose_dtype(device, parameters) == "float32" else "bf16"


def _checkpoint(output: Path, info: Mapping[str, Any]) -> Path | None:
    """The checkpoint to go on from; None starts from the beginning.

    Raises:
        UsageError: the run there was begun with other options or other data.
    """
    if not (output / INFO).is_file():
        return None
    before = _decisive(sources.read_json(output / INFO))
    different = [
        f"{name} was {before.get(name)!r} and is {value!r}"
        for name, value in _decisive(json.loads(json.dumps(info))).items()
        if before.get(name) != value
    ]
    if different:
        raise baft.UsageError(
            f"{str(output)!r} was begun differently: {'; '.join(different[:3])}.",
            "Give the same options, or choose another --output.",
        )
    found = {int(path.name.split("-")[1]): path for path in output.glob("checkpoint-*")}
    whole = [step for step, path in found.items() if (path / "trainer_state.json").is_file()]
    return found[max(whole)] if whole else None


def _decisive(info: Mapping[str, Any]) -> dict[str, Any]:
    """What a run that goes on must have in common with its beginning."""
    options = info.get("options", {}).items()
    made = {name: info.get(name) for name in ("base_sha256", "lessons_sha256", "quantization")}
    return {name: value for name, value in options if name not in INDIFFERENT} | made


def _asked_info(
    options: Options,
    base: Path,
    precision: str,
    device: str,
    tokenizer: Any,
    sets: Sequence[Sequence[Lesson]],
) -> dict[str, Any]:
    """What ``training_info.json`` knows before the first step."""
    train, val = sets
    return {
        "finished": False,
        "base_model": options.base_model,
        "base_sha256": sources.model_digest(base),
        "train_dataset": options.train_dataset,
        "val_dataset": options.val_dataset,
        "train_sha256": options.train_sha256,
        "val_sha256": options.val_sha256,
        "train_examples": len(train),
        "val_examples": len(val),
        "train_tokens": sum(len(lesson.ids) for lesson in train),
        "train_answer_tokens": sum(len(lesson.ids) - lesson.prompt_tokens for lesson in train),
        "longest_example": max(len(lesson.ids) for lesson in (*train, *val)),
        "truncated": sum(lesson.ids[-1] != tokenizer.eos_token_id for lesson in (*train, *val)),
        "lessons_sha256": baft.digest([lesson.ids for lesson in (*train, *val)]),
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
        "quantization": precision,
        "device": device,
        "options": dataclasses.asdict(options),
        "versions": {**versions(), "python": platform.python_version()},
        "platform": platform.platform(),
    }


def _write_adapter(model: Any, tokenizer: Any, output: Path, base_name: str) -> None:
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    weights = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    save_file(weights, output / "adapter_model.safetensors", metadata={"format": "pt"})
    config = model.peft_config["default"].to_dict()
    config |= {"base_model_name_or_path": base_name, "inference_mode": True}
    ordered = {
        key: sorted(value) if isinstance(value, set) else value for key, value in config.items()
    }
    _write_json(output / "adapter_config.json", ordered)
    with loading.quiet():
        tokenizer.save_pretrained(output)


def _base_name(name: str, base: Path, output: Path) -> str:
    """How the adapter names its base, so that it is found again after a move of the project."""
    if not Path(name).expanduser().is_dir():
        return name
    inside, target = output.resolve(), base.resolve()
    for folder in inside.parents:
        if any((folder / mark).exists() for mark in PROJECT_MARKS):
            is_near = target.is_relative_to(folder)
            return Path(os.path.relpath(target, inside)).as_posix() if is_near else str(target)
    return str(target)


def _peak_memory(device: str) -> int | None:
    """Bytes, on the device that trained."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(".partial")
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value)
