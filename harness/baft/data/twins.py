"""Lines that say again what an earlier one says: the same, or nearly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..audit import NEAR_COPY, near_pairs, words_of
from ..records import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .lines import Line

NEAR_INPUTS = 0.5
"""Jaccard similarity of word triples from which inputs count as the same: two words of twenty."""

Kind = Literal["same inputs", "same id", "near inputs", "near reference"]
KINDS: tuple[Kind, ...] = ("same inputs", "same id", "near inputs", "near reference")
"""From the gravest to the mildest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A line that says again what an earlier one says."""

    kind: Kind
    file: str
    line: int
    earlier_file: str
    earlier_line: int
    similarity: float
    """From 0 to 1; 1 where they are the same."""


def twins(lines: Sequence[Line], *, known: int = 0) -> tuple[Twin, ...]:
    """For each line the gravest pair with an earlier line of each file.

    Pairs within the first ``known`` lines are left aside.
    """
    gravest: dict[tuple[int, str], tuple[int, float, int]] = {}
    for kind, later, earlier, similarity in pairs(lines):
        if later >= known:
            place = later, lines[earlier].file
            found = KINDS.index(kind), -similarity, earlier
            gravest[place] = min(found, gravest.get(place, found))
    return tuple(
        Twin(
            kind=KINDS[kind],
            file=lines[later].file,
            line=lines[later].number,
            earlier_file=lines[earlier].file,
            earlier_line=lines[earlier].number,
            similarity=-similarity,
        )
        for (later, _), (kind, similarity, earlier) in sorted(gravest.items())
    )


def groups(lines: Sequence[Line]) -> list[list[int]]:
    """The indices of the lines, together where a chain of pairs joins them."""
    parent = list(range(len(lines)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for _, later, earlier, _ in pairs(lines):
        parent[root(later)] = root(earlier)
    found: dict[int, list[int]] = {}
    for i in range(len(lines)):
        found.setdefault(root(i), []).append(i)
    return list(found.values())


def pairs(lines: Sequence[Line]) -> Iterator[tuple[Kind, int, int, float]]:
    """Kind, index of the later and of the earlier line, similarity; what is the same only once."""
    examples = [(i, line.example) for i, line in enumerate(lines) if line.example is not None]
    inputs = {i: digest(dict(example.inputs)) for i, example in examples}
    by_inputs: dict[str, int] = {}
    by_id: dict[str, int] = {}
    for i, example in examples:
        same = by_inputs.setdefault(inputs[i], i)
        if same != i:
            yield "same inputs", i, same, 1.0
        same = by_id.setdefault(example.id, i)
        if same != i and inputs[same] != inputs[i]:
            yield "same id", i, same, 1.0
    told = [(i, words_of(example.inputs)) for i, example in examples]
    answered = [(i, words_of(e.reference)) for i, e in examples if e.reference is not None]
    yield from _near("near inputs", told, inputs, NEAR_INPUTS)
    yield from _near("near reference", answered, inputs, NEAR_COPY)


def _near(
    kind: Kind, texts: Sequence[tuple[int, list[str]]], inputs: Mapping[int, str], at_least: float
) -> Iterator[tuple[Kind, int, int, float]]:
    """Pairs of similar texts, by index of their lines, whose inputs are not the same."""
    for i, j, similarity in near_pairs([words for _, words in texts], at_least=at_least):
        later, earlier = texts[i][0], texts[j][0]
        if inputs[later] != inputs[earlier]:
            yield kind, later, earlier, similarity
