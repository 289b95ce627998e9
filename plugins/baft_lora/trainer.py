"""Trainer ``lora``: a LoRA adapter by transformers and PEFT, resumable, on CPU or GPU."""

from __future__ import annotations

import dataclasses
import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import baft

from . import checkpoints, loading, memory, preflight, quantizing, recording, sources
from .adapters import base_name, copy_adapter, write_adapter, write_json
from .lessons import Lesson, lesson, lessons
from .options import Options
from .recording import INFO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Log = Callable[[Mapping[str, Any]], None]

INDIFFERENT = frozenset(
    {"allow_download", "base_model", "resume", "save_quantized"}
    | {"train_dataset", "val_dataset", "train_sha256", "val_sha256"}
)
"""Options that may change when a run goes on; what comes of them is compared instead."""


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
        loading.tame_four_bits()  # what is imported next would import it
        from . import workers
        from .distributed import Group
        from .run import run

        asked = Options.read(options)
        device = loading.choose_device(asked.device)
        group = Group.join(device)
        with group.together():
            if (output / INFO).is_file() and not asked.resume:
                raise baft.UsageError(
                    f"{str(output)!r} already holds a training run.",
                    "Go on with --resume, or choose another --output.",
                )
            asked, base = _base(asked, device, group.is_writer, log)
            tokenizer = _tokenizer(base)
            sets = _sets(role, tokenizer, train, val, asked)
            plan = preflight.plan(
                asked,
                base,
                sets,
                output=output,
                device=device,
                free=group.least(_share_of_memory(device, group.size)),
                begun=_begun(output),
            )
            for line in plan.lines():
                log({"message": line})
            info = recording.begin(asked, role, base, plan, device, tokenizer, sets)
            size = group.size if group.size > 1 else _processes(asked, base, device, sets)
            if size > group.size:
                log({"message": f"processes: {size}, each on a core of its own"})
            info["processes"] = size
            checkpoint = _checkpoint(output, info)
        if group.is_writer:
            with checkpoints.on_disk(INFO):
                output.mkdir(parents=True, exist_ok=True)
                checkpoints.remove_broken(output)
                write_json(output / INFO, info)
        if checkpoint is not None:
            log({"message": f"going on from {checkpoint.name}"})
        started = time.perf_counter()
        task: dict[str, Any] = {"options": asked, "base": base, "sets": sets, "output": output}
        task |= {"checkpoint": checkpoint, "plan": plan, "device": device}
        with nullcontext(group) if size == group.size else workers.started(size, task) as everyone:
            weights, model, found = run(**task, group=everyone, log=log)
        info |= found
        info["wall_s"] = time.perf_counter() - started
        info["peak_memory_bytes"] = recording.peak_memory(device)
        info["ended"] = recording.now()
        with group.together():
            if group.is_writer:
                with checkpoints.on_disk("The adapter"):
                    config = model.peft_config["default"].to_dict()
                    config["base_model_name_or_path"] = base_name(asked.base_model, base, output)
                    write_adapter(weights, config, tokenizer, output)
                    info["adapter_sha256"] = sources.adapter_digest(output)
                    info["finished"] = True
                    write_json(output / INFO, info)
        group.leave()
        return info

    def preflight(
        self,
        role: baft.Role,
        train: Sequence[baft.Example],
        val: Sequence[baft.Example],
        output: Path,
        options: Mapping[str, Any],
        log: Log,
    ) -> Mapping[str, Any]:
        """What ``train`` would need and how long it would take; see ``baft.Preflight``."""
        loading.tame_four_bits()
        from .run import rehearse

        asked = Options.read(options)
        device = loading.choose_device(asked.device)
        base = sources.find_model(
            asked.base_model,
            allow_download=asked.allow_download,
            point="give --base-model FOLDER",
        )
        sets = _sets(role, _tokenizer(base), train, val, asked)
        if asked.save_quantized:
            kept = Path(asked.save_quantized).expanduser()
            base = kept if kept.is_dir() else base
            asked = dataclasses.replace(asked, quantization="bnb4")
        free = _share_of_memory(device, 1)
        plan = preflight.plan(asked, base, sets, output=output, device=device, free=free)
        for line in plan.lines():
            log({"message": line})
        pace = rehearse(asked, base, sets, plan, device).shared(
            _processes(asked, base, device, sets)
        )
        log({"message": str(pace)})
        return {**plan.record(), "reason": plan.reason, **dataclasses.asdict(pace)}

    def copy_model(self, source: Path, target: Path) -> None:
        """Copy an adapter to another folder; see ``baft.ModelCopier``.

        Raises:
            DataError: its base is not found.
        """
        copy_adapter(source, target)

    def token_counter(self, role: baft.Role, base_model: str) -> Callable[[baft.Example], int]:
        """Counts the tokens of an example as training would see it; only the tokenizer is loaded.

        Raises:
            DataError: there is no tokenizer, or one without an end token.
        """
        base = Path(base_model).expanduser()
        if not base.is_dir():
            base = sources.find_model(base_model, allow_download=False, point="name its folder")
        tokenizer = _tokenizer(base)
        return lambda example: len(lesson(role, tokenizer, example).ids)


def _tokenizer(base: Path) -> Any:
    tokenizer = loading.load_tokenizer(base)
    if tokenizer.eos_token_id is None:
        raise baft.DataError(
            f"The tokenizer of {str(base)!r} has no end token, so no answer could be ended.",
            "Choose another base model.",
        )
    return tokenizer


def _base(options: Options, device: str, is_writer: bool, log: Log) -> tuple[Options, Path]:
    """The folder of the base; with ``save_quantized`` that one, and options that name it."""
    base = sources.find_model(
        options.base_model,
        allow_download=options.allow_download,
        point="give --base-model FOLDER",
    )
    if options.save_quantized is None:
        return options, base
    kept = Path(options.save_quantized).expanduser()
    if is_writer:
        quantizing.save(base, kept, name=options.base_model, device=device, log=log)
    return dataclasses.replace(options, base_model=str(kept)), kept


def _sets(
    role: baft.Role,
    tokenizer: Any,
    train: Sequence[baft.Example],
    val: Sequence[baft.Example],
    options: Options,
) -> list[list[Lesson]]:
    """Training and validation lessons.

    Raises:
        DataError: there is nothing to train on, or as ``lessons``.
    """
    sets = [
        lessons(role, tokenizer, examples[:limit], options)
        for examples, limit in ((train, options.train_limit), (val, options.val_limit))
    ]
    if not sets[0]:
        raise baft.DataError("There is no example to train on.")
    return sets


def _share_of_memory(device: str, processes: int) -> int:
    """Bytes free for each of the processes; GPUs have their own memory."""
    return memory.free_memory(device) // (processes if device == "cpu" else 1)


def _processes(options: Options, base: Path, device: str, sets: Sequence[Sequence[Lesson]]) -> int:
    """How many processes a training starts by itself."""
    from . import workers

    return workers.worthwhile(
        options,
        device=device,
        parameters=sources.parameter_count(sources.weight_files(base)),
        tokens=sum(len(row.ids) for row in sets[0]) * options.epochs,
        free=memory.free_memory(device),
    )


def _begun(output: Path) -> str | None:
    """The precision of the run that is there."""
    info = sources.read_json(output / INFO) if (output / INFO).is_file() else {}
    return info.get("quantization")


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
    return checkpoints.last_whole(output)


def _decisive(info: Mapping[str, Any]) -> dict[str, Any]:
    """What a run that goes on must have in common with its beginning."""
    options = info.get("options", {}).items()
    made = {name: info.get(name) for name in ("base_sha256", "lessons_sha256", "quantization")}
    return {name: value for name, value in options if name not in INDIFFERENT} | made
