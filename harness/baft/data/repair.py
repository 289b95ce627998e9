"""Lines repaired by their role, what cannot be repaired left as it is or left out."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import DataError, UsageError
from ..protocols import Fixer
from ..store.codec import plain
from ..store.datasets import parse_row
from .lines import Line, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..protocols import Role

    Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """A dataset after its repair."""

    lines: tuple[Line, ...]
    """In the order of the file; byte for byte as they were where nothing was to be repaired."""
    changed: tuple[tuple[Line, Line], ...]
    """Before and after."""
    invalid: tuple[Line, ...]
    """What could not be repaired; left out of ``lines`` where that was asked."""


def repair(lines: Sequence[Line], role: Role, *, drop_invalid: bool = False) -> Repaired:
    """Let the role repair the lines.

    Raises:
        UsageError: the role repairs nothing.
        DataError: no line would be left.
    """
    if not isinstance(role, Fixer):
        raise UsageError(f"The role {role.name!r} does not repair its lines.", "Mend them by hand.")
    fixed = [_repaired(line, role, role.fix) for line in lines]
    left = tuple(line for line in fixed if line.example is not None or not drop_invalid)
    if not left:
        raise DataError(
            "No line is valid, so none would be left.", "See the reasons without --drop-invalid."
        )
    return Repaired(
        lines=left,
        changed=tuple((a, b) for a, b in zip(lines, fixed, strict=True) if a.raw != b.raw),
        invalid=tuple(line for line in fixed if line.example is None),
    )


def _repaired(line: Line, role: Role, fix: Callable[[Row], Row]) -> Line:
    """The line as the role repairs it; what is wrong even then is the old line's problem."""
    try:
        row = parse_row(line.raw.decode())
        fixed = fix(row)
        if fixed == row:
            return line
        end = line.raw[len(line.raw.rstrip(b"\r\n")) :]
        again = judge(line.file, line.number, _encoded(fixed) + end, role)
    except (TypeError, ValueError, RecursionError):  # not JSON before, or not after
        return line
    if again.example is not None:
        return again
    return line if line.example is not None else replace(line, problem=again.problem)


def _encoded(row: Row) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False, default=plain).encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return json.dumps(row, default=plain).encode()
