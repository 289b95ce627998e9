"""Replay files: outputs that were generated elsewhere, one JSON object a line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from ..records import digest
from .datasets import read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRow:
    """One line: which example it answers, and with what."""

    line: int
    key: tuple[str, str]
    """``("id", id)``, ``("inputs", digest)`` or ``("text", concept)``."""
    inputs: Mapping[str, Any]
    """The inputs, where the line gives them."""
    output: str | Mapping[str, Any]
    """Text to be parsed, or fields taken as they are."""

    @property
    def example_id(self) -> str:
        """The id it names, else one made of its inputs or concept."""
        return self.key[1] if self.key[0] == "id" else digest(self.key[1])[:12]


def replay_rows(path: Path) -> Iterator[ReplayRow]:
    """Every line of a replay file, in order.

    Raises:
        DataError: the file is missing or a line is broken; file and line are named.
    """
    for number, line in read_lines(path):
        try:
            yield _row(number, json.loads(line))
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, line {number}: not valid JSON: {error.msg} at column {error.colno}.",
                "Mend the line.",
            ) from error
        except KeyError as error:
            raise DataError(
                f"{path}, line {number}: the key {error} is missing.",
                'Lines are {"id" or "concept" or "inputs", "output"}.',
            ) from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number}: {error}.", "Mend the line.") from error


def _row(number: int, row: Any) -> ReplayRow:
    if not isinstance(row, dict):
        raise ValueError(f"a {type(row).__name__}, not a JSON object")
    inputs = row.get("inputs", {})
    if not isinstance(inputs, dict):
        raise ValueError("inputs is not an object")
    output = row["output"]
    if not isinstance(output, (str, dict)):
        raise ValueError(f"output is a {type(output).__name__}, not text or an object")
    if "id" in row:
        key = ("id", str(row["id"]))
    elif inputs:
        key = ("inputs", digest(inputs))
    else:
        key = ("text", str(row["concept"]).strip())
        inputs = {"concept": row["concept"]}
    return ReplayRow(line=number, key=key, inputs=inputs, output=output)
