"""Lines repaired by their role, what cannot be repaired left as it is."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..protocols import Fixer
from ..store.codec import plain
from ..store.datasets import parse_row
from .lines import Line, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ..protocols import Role

    Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One line before and after its repair."""

    before: Line
    after: Line
    """Byte for byte as it was where nothing was to be repaired."""

    @property
    def is_changed(self) -> bool:
        """Something was repaired."""
        return self.before.raw != self.after.raw

    @property
    def is_invalid(self) -> bool:
        """It could not be made valid."""
        return self.after.example is None


def repair(lines: Iterable[Line], role: Role) -> Iterator[Repair]:
    """Let the role repair the lines, one by one.

    Raises:
        UsageError: the role repairs nothing.
    """
    if not isinstance(role, Fixer):
        raise UsageError(f"The role {role.name!r} does not repair its lines.", "Mend them by hand.")
    return (Repair(before=line, after=_repaired(line, role, role.fix)) for line in lines)


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
