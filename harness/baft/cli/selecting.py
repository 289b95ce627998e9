"""What an optimizer learns from and what it selects on: never what a benchmark measures on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ..protocols import Role
    from ..records import Example
    from .common import State

SHARE = 0.2
"""Of the training examples, to select on where no others are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The two sets of examples, with the hashes of the files that they are from."""

    train: tuple[Example, ...]
    val: tuple[Example, ...]
    train_sha256: str
    val_sha256: str
    how: str
    """Where the examples to select on come from, as a part of a sentence."""


def selection(
    here: State, role: Role, train: Path, val: Path | None, *, seed: int, insists: bool
) -> Selection:
    """The examples of ``val``, or a fifth of ``train``: seeded, by tags in proportion.

    Raises:
        UsageError: a file is a benchmark's dataset and the user does not insist, or there are
            too few examples to split.
        DataError: a file is broken.
    """
    from ..store import read_dataset
    from ..store.benchmarks import frozen_datasets

    data = read_dataset(train, role)
    held_out = None if val is None else read_dataset(val, role)
    frozen = frozen_datasets(here.project, role.name)
    for found in (data, *((held_out,) if held_out else ())):
        if found.sha256 in frozen and not insists:
            raise UsageError(
                f"{found.path} is what the benchmark {frozen[found.sha256]!r} measures on; "
                "a program that was chosen on it would be measured on what it has seen.",
                "Leave out --val to select on a part of --train; or add --select-on-val, which is "
                "recorded and marked in every report.",
            )
    if held_out is not None:
        return Selection(
            train=data.examples,
            val=held_out.examples,
            train_sha256=data.sha256,
            val_sha256=held_out.sha256,
            how=f"the {len(held_out.examples)} examples of {val}",
        )
    fit, select, tags = _split(train, role, seed)
    by = f", {' and '.join(tags)} in proportion" if tags else ""
    return Selection(
        train=fit,
        val=select,
        train_sha256=data.sha256,
        val_sha256=data.sha256,
        how=f"{len(select)} of the {len(data.examples)} training examples, drawn with seed "
        f"{seed}{by}",
    )


def _split(
    path: Path, role: Role, seed: int
) -> tuple[tuple[Example, ...], tuple[Example, ...], list[str]]:
    from .. import data

    lines = tuple(data.read(path, role))
    if len(lines) < 2:
        raise UsageError(
            f"{path} holds one example, which cannot be split.", "Name others with --val."
        )
    tags = list(data.describe(lines, role).tags)
    count = max(1, round(SHARE * len(lines)))
    held_out = data.split(lines, count, seed=seed, stratify=tags).held_out
    fit, select = (
        tuple(
            line.example
            for line, part in zip(lines, held_out, strict=True)
            if part == which and line.example is not None
        )
        for which in (0, 1)
    )
    return fit, select, tags
