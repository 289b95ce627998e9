"""The lines of a dataset as a role reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DataError
from ..store.datasets import parse_row, raw_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..protocols import Role
    from ..records import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a dataset as the role reads it."""

    file: str
    number: int
    """From 1."""
    raw: bytes
    """As it stands in the file, line end included."""
    example: Example | None
    """None where the role cannot read it."""
    problem: str = ""
    """The reason then, as one clause."""


def read(path: Path, role: Role) -> Iterator[Line]:
    """The lines of a file that are not blank, valid or not, one by one.

    Raises:
        DataError: the file is missing, cannot be read, or held no line.
    """
    empty = True
    for number, raw in raw_lines(path):
        empty = False
        yield judge(str(path), number, raw, role)
    if empty:
        raise DataError(f"{path} holds no line.", "A dataset has one JSON object a line.")


def judge(file: str, number: int, raw: bytes, role: Role) -> Line:
    """One line with the role's verdict."""
    try:
        example = role.example(parse_row(raw.decode()))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        problem = str(error).rstrip(".") or type(error).__name__
        return Line(file=file, number=number, raw=raw, example=None, problem=problem)
    return Line(file=file, number=number, raw=raw, example=example)
