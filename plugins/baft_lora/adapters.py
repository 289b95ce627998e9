"""Adapters on disk: written whole, named so that their base is found, copied to other folders."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import loading, sources

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG = "adapter_config.json"

PROJECT_MARKS = (".git", "benchmarks", "config.yaml")
"""What the root of a project holds; inside one, an adapter names its base by a relative path."""


def write_adapter(
    weights: Mapping[str, Any], config: Mapping[str, Any], tokenizer: Any, output: Path
) -> None:
    """Write the adapter; the file that it is recognised by comes last."""
    from safetensors.torch import save_file

    partial = output / "adapter_model.partial"
    save_file(
        {name: value.detach().cpu().contiguous() for name, value in weights.items()},
        partial,
        metadata={"format": "pt"},
    )
    partial.replace(output / "adapter_model.safetensors")
    with loading.quiet():
        tokenizer.save_pretrained(output)
    ordered = {
        key: sorted(value) if isinstance(value, set) else value for key, value in config.items()
    }
    write_json(output / CONFIG, ordered | {"inference_mode": True})


def copy_adapter(source: Path, target: Path) -> None:
    """Copy an adapter's files, not its checkpoints; what it is recognised by comes last.

    Args:
        source: the folder of the adapter.
        target: another folder; made where it is not there.

    Raises:
        DataError: the base is not found.
    """
    config = sources.adapter_config(source)
    name = config["base_model_name_or_path"]
    if (source / name).is_dir():  # a relative name, or an absolute one
        base = sources.find_base(source, None, allow_download=False)
        name = base_name(str(base), base, target)
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name != CONFIG:
            shutil.copyfile(path, target / path.name)
    write_json(target / CONFIG, config | {"base_model_name_or_path": name})


def base_name(name: str, base: Path, output: Path) -> str:
    """How the adapter names its base, so that it is found again after a move of the project."""
    if not Path(name).expanduser().is_dir():
        return name
    inside, target = output.resolve(), base.resolve()
    for folder in inside.parents:
        if any((folder / mark).exists() for mark in PROJECT_MARKS):
            is_near = target.is_relative_to(folder)
            return Path(os.path.relpath(target, inside)).as_posix() if is_near else str(target)
    return str(target)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
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
