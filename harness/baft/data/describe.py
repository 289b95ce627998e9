"""One file in numbers: counts, balance of tags, lengths."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping  # cattrs reads the annotations
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..store.codec import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..protocols import Role
    from ..records import Example, Field
    from .lines import Line

TAG_VALUES = range(2, 13)
"""Numbers of distinct values with which a tag says something of the balance."""
TAGS = 1_000
"""So many tags are counted, the first ones met: their names may come from anywhere."""

Unit = Literal["characters", "entries", "tokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Lengths of one field, or of whole examples."""

    unit: Unit
    n: int
    """Examples that have the field."""
    min: int
    median: float
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One file in numbers."""

    file: str
    lines: int
    valid: int
    with_reference: int
    tags: Mapping[str, Mapping[str, int]]
    """Examples by value, for each tag that has 2 to 12 values; most frequent first."""
    lengths: Mapping[str, Spread]
    """By input and output field."""


def describe(lines: Iterable[Line], role: Role) -> Description:
    """Counts, balance of tags and lengths of one file, which has at least one line."""
    tally = Tally(role)
    for line in lines:
        tally.add(line)
    return tally.description()


class Tally:
    """Counts lines one by one; what it holds does not grow with their number."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self._file = ""
        self._lines = self._valid = self._with_reference = 0
        self._sizes = {field.name: Sizes() for field in (*role.inputs, *role.outputs)}
        self._tags: dict[str, Counter[str] | None] = {}  # None: too many values

    def add(self, line: Line) -> None:
        """Count one line, valid or not."""
        self._file = line.file
        self._lines += 1
        if line.example is None:
            return
        self._valid += 1
        self._count_tags(line.example)
        for field in self._role.inputs:
            self._measure(field, line.example.inputs)
        if line.example.reference is not None:
            self._with_reference += 1
            for field in self._role.outputs:
                self._measure(field, line.example.reference)

    def description(self) -> Description:
        """The numbers so far."""
        units = {f.name: _unit(f) for f in (*self._role.inputs, *self._role.outputs)}
        spreads = {name: sizes.spread(units[name]) for name, sizes in self._sizes.items()}
        return Description(
            file=self._file,
            lines=self._lines,
            valid=self._valid,
            with_reference=self._with_reference,
            tags={
                tag: dict(values.most_common())
                for tag, values in self._tags.items()
                if values is not None and len(values) in TAG_VALUES
            },
            lengths={name: spread for name, spread in spreads.items() if spread is not None},
        )

    def _measure(self, field: Field, holder: Mapping[str, Any]) -> None:
        value = holder.get(field.name)
        if isinstance(value, list if field.kind == "list" else str):
            self._sizes[field.name].add(len(value))

    def _count_tags(self, example: Example) -> None:
        for tag, value in example.tags.items():
            if not (value is None or isinstance(value, (str, int, float))):
                continue
            if tag not in self._tags and len(self._tags) < TAGS:
                self._tags[tag] = Counter()
            values = self._tags.get(tag)
            if values is not None:
                values[word(value)] += 1
                if len(values) >= TAG_VALUES.stop:
                    self._tags[tag] = None


class Sizes:
    """Sizes counted by value: n different ones take at least n²/2 characters, so they stay few."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, size: int) -> None:
        """Count one size."""
        self._counts[size] += 1

    def spread(self, unit: Unit) -> Spread | None:
        """Least, median and most; None where nothing was counted.

        >>> sizes = Sizes()
        >>> for size in (5, 1, 2, 2): sizes.add(size)
        >>> sizes.spread("tokens")
        Spread(unit='tokens', n=4, min=1, median=2.0, max=5)
        """
        n = self._counts.total()
        if not n:
            return None
        middle = self._at((n - 1) // 2), self._at(n // 2)
        low, high = min(self._counts), max(self._counts)
        return Spread(unit=unit, n=n, min=low, median=sum(middle) / 2, max=high)

    def _at(self, place: int) -> int:
        """The size at a place, from 0, of all sizes in order."""
        for size in sorted(self._counts):
            place -= self._counts[size]
            if place < 0:
                return size
        raise IndexError(place)


def word(value: Any) -> str:
    """A tag's value as text: JSON where it is not text already."""
    return value if isinstance(value, str) else json.dumps(value, default=plain, sort_keys=True)


def _unit(field: Field) -> Unit:
    return "entries" if field.kind == "list" else "characters"
