"""Four bits for a weight (NF4 with doubly quantized scales) by bitsandbytes, on CPU and CUDA.

Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs" (2023), sections 3 and 4.
Quantizing 14 GB takes minutes at every load, so a base can be quantized once and kept.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import baft

from . import loading, memory, sources
from .backend import versions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

BLOCK = 64
"""Weights that share a scale of one byte."""

OUTER = 256
"""Scales that share a scale of four bytes."""

BYTES_PER_WEIGHT = 0.5 + 1 / BLOCK + 4 / (BLOCK * OUTER)

INFO = "quantized_info.json"


def save(
    base: Path,
    output: Path,
    *,
    name: str,
    device: str,
    log: Callable[[Mapping[str, Any]], None],
) -> None:
    """Quantize a base and keep it with its tokenizer in ``output``, whole or not at all.

    Nothing is done where ``output`` holds this very base already.

    Args:
        base: folder of a model that is not quantized.
        output: folder to be made.
        name: of the base, for the record.
        device: ``cpu`` or ``cuda``.
        log: told ``{"message"}``.

    Raises:
        UsageError: bitsandbytes is missing, or ``output`` holds something else.
        DataError: the base is quantized or cannot be read, or the disk is full.
    """
    loading.require_four_bits()
    if sources.quantization(base):
        raise baft.DataError(f"{str(base)!r} is quantized already.", f"Give --base-model {base}.")
    digest = sources.model_digest(base)
    if (output / INFO).is_file() and sources.read_json(output / INFO).get("sha256") == digest:
        log({"message": f"{output} holds this base in 4 bits already"})
        return
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise baft.UsageError(
            f"{str(output)!r} is not empty and holds something else.", "Name another folder."
        )
    _check_room(base, output)
    log({"message": f"quantizing {base} to 4 bits; later, --base-model {output} loads in seconds"})
    part = output.with_name(output.name + ".part")
    info = {"source": name, "sha256": digest, "method": "bnb4", "versions": versions()}
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        model = loading.load_weights(base, dtype="bnb4", device=device)
        with loading.quiet():
            model.save_pretrained(part, max_shard_size="4GB")
        for file in (base / name for name in sources.TOKENIZER_FILES):
            if file.is_file():
                shutil.copyfile(file, part / file.name)
        (part / INFO).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
        if output.is_dir():
            output.rmdir()
        part.replace(output)
    except OSError as error:
        raise baft.DataError(
            f"The quantized base could not be written to {output}: {error}.",
            "Free some space or name another folder.",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_room(base: Path, output: Path) -> None:
    """Raises: DataError: four bits for every weight are more than the disk has."""
    size = sources.parameter_count(sources.weight_files(base)) * BYTES_PER_WEIGHT
    free = memory.free_disk(output)
    if free < size * 1.1:
        raise baft.DataError(
            f"{output.parent} has {free / 1e9:.1f} GB free; the quantized base needs about "
            f"{size / 1e9:.1f} GB.",
            "Free some space or name a folder on another disk.",
        )
