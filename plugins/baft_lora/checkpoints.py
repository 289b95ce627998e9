"""Checkpoints that are whole or not there, and the room on disk that they need."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from safetensors import SafetensorError

import baft

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARK = "whole.json"
"""Written last into a checkpoint: the size of each of its files."""

KEPT = 2
"""Checkpoints that stay; while a third is written, there are three."""

BESIDE = 1 << 20
"""Bytes of a checkpoint besides weights and moments: random states, schedule, history."""


def expected_bytes(parameters: int, width: int) -> int:
    """Bytes of one checkpoint: the adapter and the two moments of Adam.

    Args:
        parameters: how many are trained.
        width: bytes of each.
    """
    return 3 * parameters * width + BESIDE


def check_room(folder: Path, needed: int) -> None:
    """Make sure that so many bytes can be written.

    Raises:
        DataError: they cannot; both figures are named.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise baft.DataError(
            f"{_megabytes(needed)} must be written to {str(folder)!r}, and {_megabytes(free)} are "
            "free.",
            "Make room, then go on with --resume.",
        )


@contextmanager
def writing(checkpoint: Path) -> Iterator[None]:
    """Write a checkpoint; when the block ends it is marked as whole, when it fails it is removed.

    Raises:
        DataError: the disk took no more.
    """
    with on_disk(f"The checkpoint {checkpoint.name}"):
        try:
            yield
            sizes = {path.name: path.stat().st_size for path in _files(checkpoint)}
            partial = checkpoint / (MARK + ".partial")
            partial.write_text(json.dumps(sizes), encoding="utf-8")
            partial.replace(checkpoint / MARK)
        except BaseException:
            shutil.rmtree(checkpoint, ignore_errors=True)
            raise


@contextmanager
def on_disk(what: str) -> Iterator[None]:
    """Say in one sentence that something could not be written.

    Raises:
        DataError: it could not.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise baft.DataError(
            f"{what} could not be written: {reason}.",
            "What was written before is whole; make room, then go on with --resume.",
        ) from error


def is_whole(checkpoint: Path) -> bool:
    """Whether every file has the size that the mark tells."""
    try:
        sizes = json.loads((checkpoint / MARK).read_text(encoding="utf-8"))
        found = {path.name: path.stat().st_size for path in _files(checkpoint)}
        return bool(sizes) and sizes == found
    except (OSError, ValueError):
        return False


def last_whole(output: Path) -> Path | None:
    """The newest checkpoint that is whole; None without one."""
    whole = {step: path for step, path in _found(output).items() if is_whole(path)}
    return whole[max(whole)] if whole else None


def remove_broken(output: Path) -> None:
    """Remove what a killed process left half-written."""
    for path in _found(output).values():
        if not is_whole(path):
            shutil.rmtree(path)


def _found(output: Path) -> dict[int, Path]:
    """The folders named as checkpoints, by step."""
    names = ((re.fullmatch(r"checkpoint-(\d+)", path.name), path) for path in output.glob("*"))
    return {int(name[1]): path for name, path in names if name and path.is_dir()}


def _files(checkpoint: Path) -> list[Path]:
    return [path for path in sorted(checkpoint.iterdir()) if path.is_file() and path.name != MARK]


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
