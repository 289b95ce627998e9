"""The files that ``baft init`` puts into a user's own project."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from ..errors import DataError
from .benchmarks import bundled_folder
from .files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
# Which model plays which role; `baft compare --apply` changes only the entries of the winner.
providers:
  ollama:
    type: ollama
    base_url: http://127.0.0.1:11434
roles:
  ba:
    provider: ollama
    model: mistral:7b-instruct
    temperature: 0.7
    max_tokens: 2048
"""

FOLDERS = (
    "benchmarks",
    "artifacts/synthetic",
    "artifacts/models",
    "artifacts/dspy",
    "artifacts/finetuning",
)
"""What comes with baft and is copied; benchmarks only by their ``*.toml``."""


def scaffold(folder: Path) -> tuple[list[Path], list[Path]]:
    """Copy what came with baft to ``folder``; files that exist stay as they are.

    Returns:
        The files made, and those kept.

    Raises:
        DataError: this installation came without its data.
    """
    source = bundled_folder()
    if source is None:
        raise DataError(
            "This installation of baft came without its benchmarks and data.",
            "Install it from its wheel, or clone the project.",
        )
    made: list[Path] = []
    kept: list[Path] = []
    for name in FOLDERS:
        pattern = "*.toml" if name == "benchmarks" else "**/*"
        for path in sorted((source / name).glob(pattern)):
            relative = path.relative_to(source)
            if path.is_dir() or any(
                part.startswith((".", "__")) or part == "parts" for part in relative.parts
            ):
                continue
            target = folder / relative
            (kept if target.exists() else made).append(target)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
    config = folder / "config.yaml"
    (kept if config.exists() else made).append(config)
    if not config.exists():
        write_atomic(config, CONFIG)
    return made, kept
