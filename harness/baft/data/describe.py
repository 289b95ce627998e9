"""One file in numbers: counts, balance of tags, lengths."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping  # cattrs reads the annotations
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..store.codec import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..protocols import Role
    from ..records import Example, Field
    from .lines import Line

TAG_VALUES = range(2, 13)
"""Numbers of distinct values with which a tag says something of the balance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Lengths of one field."""

    unit: Literal["characters", "entries"]
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
    """Examples by value, for each tag that has 2 to 12 values."""
    lengths: Mapping[str, Spread]
    """By input and output field."""


def describe(lines: Sequence[Line], role: Role) -> Description:
    """Counts, balance of tags and lengths of one file, which has at least one line."""
    examples = [line.example for line in lines if line.example is not None]
    references = [example.reference for example in examples if example.reference is not None]
    inputs = [example.inputs for example in examples]
    spreads = {field.name: _spread(field, inputs) for field in role.inputs}
    spreads |= {field.name: _spread(field, references) for field in role.outputs}
    return Description(
        file=lines[0].file,
        lines=len(lines),
        valid=len(examples),
        with_reference=len(references),
        tags=_balance(examples),
        lengths={name: spread for name, spread in spreads.items() if spread is not None},
    )


def word(value: Any) -> str:
    """A tag's value as text: JSON where it is not text already."""
    return value if isinstance(value, str) else json.dumps(value, default=plain, sort_keys=True)


def _spread(field: Field, holders: Sequence[Mapping[str, Any]]) -> Spread | None:
    kind = list if field.kind == "list" else str
    values = [holder.get(field.name) for holder in holders]
    sizes = [len(value) for value in values if isinstance(value, kind)]
    if not sizes:
        return None
    return Spread(
        unit="entries" if field.kind == "list" else "characters",
        n=len(sizes),
        min=min(sizes),
        median=statistics.median(sizes),
        max=max(sizes),
    )


def _balance(examples: Sequence[Example]) -> dict[str, dict[str, int]]:
    """Examples by value of each tag that is scalar and has a few values; most frequent first."""
    counts: dict[str, Counter[str]] = {}
    for example in examples:
        for tag, value in example.tags.items():
            if value is None or isinstance(value, (str, int, float)):
                counts.setdefault(tag, Counter())[word(value)] += 1
    return {tag: dict(c.most_common()) for tag, c in counts.items() if len(c) in TAG_VALUES}
