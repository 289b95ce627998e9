"""Outputs that exist already, scored line by line; no model is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .engine import score_one
from .errors import DataError
from .loader import off_stdout
from .records import Example, Generation
from .replay import keys
from .store.replays import replay_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from .protocols import Metric, Role
    from .records import Extraction, Scored


def score_lines(
    path: Path,
    role: Role,
    metric: Metric,
    extraction: Extraction,
    examples: Iterable[Example] | None = None,
) -> Iterator[tuple[Example, Scored]]:
    """One result for each line of a replay file, in order, with the example it answers.

    Args:
        path: the file.
        role: what reads the outputs.
        metric: what scores them.
        extraction: how the outputs are read.
        examples: those that are answered. Without them an example holds what its line says, which
            is the id where it names that alone.

    Raises:
        DataError: the file is missing, a line is broken, or it answers none of the examples.
    """
    known = {key: one for one in examples or () for key in keys(one.id, one.inputs)}
    for row in replay_rows(path):
        example = Example(id=row.example_id, inputs=row.inputs or {"id": row.example_id})
        if examples is not None:
            if row.key not in known:
                raise DataError(
                    f"{path}, line {row.line}: no example has {row.key[0]} {row.key[1][:60]!r}.",
                    "Name the dataset that was answered, or leave the line out.",
                )
            example = known[row.key]
        generation = Generation(
            example_id=example.id,
            text=row.output if isinstance(row.output, str) else "",
            fields=None if isinstance(row.output, str) else row.output,
        )
        with off_stdout():
            scored = score_one(role, metric, example, generation, 0, extraction)
        yield example, scored
