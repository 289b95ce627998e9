"""A seeded split that keeps tags in proportion and near-duplicates together."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DataError, UsageError, did_you_mean
from .describe import TAGS, word
from .index import LineIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .lines import Line

STRATA = 10_000
"""Combinations of tag values that may be kept in proportion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Which lines are held out for validation."""

    held_out: bytes
    """One byte for each line in order, 1 where it is."""
    wanted: int
    """Lines that were asked for."""

    @property
    def n(self) -> int:
        """Lines held out: no more than wanted, fewer where near-duplicates leave no other way."""
        return self.held_out.count(1)


def split(
    lines: Iterable[Line],
    val: int | float,
    *,
    seed: int = 42,
    stratify: Sequence[str] = (),
    observe: Callable[[float], None] = lambda share: None,
) -> Split:
    """Choose a seeded validation part of some lines, or of a share of them.

    Near-duplicates stay together, and the shares of the tags in ``stratify`` stay the same as far
    as whole numbers allow. Kept of a line is its place, some 40 bytes; the rest is on disk.

    Args:
        lines: read once.
        val: a number of lines, or as a float a share of them.
        seed: of the choice.
        stratify: tags.
        observe: told what share of the search for near-duplicates is done.

    Raises:
        DataError: a line is invalid, or the near-duplicates leave nothing to choose.
        UsageError: ``val`` leaves a part empty, or no line has such a tag.
    """
    strata, places = _Strata(stratify), array("l")
    with LineIndex() as index:
        for line in lines:
            if line.example is None:
                raise DataError(
                    f"{line.file}, line {line.number}: {line.problem}.",
                    "Mend it, or run `baft data fix --drop-invalid` first.",
                )
            index.add(line)
            places.append(strata.of(line.example.tags))
        n = len(places)
        count = round(val * n) if isinstance(val, float) else val
        if not 0 < count < n:
            raise UsageError(
                f"{count} of {n} examples cannot be set apart for validation.",
                f"Write a number from 1 to {n - 1}, or a share.",
            )
        strata.check()
        groups = _groups(index, observe)
    of_group = array("l", bytes(groups.itemsize * (max(groups) + 1)))
    for place in reversed(range(n)):  # a group is as its first line is
        of_group[groups[place]] = places[place]
    held_out = draw(groups, of_group, count, seed)
    if not any(held_out):
        raise DataError(
            f"Every example is one of more than {count} near-duplicates, which must stay together.",
            "Run `baft data audit` to see them, and remove some.",
        )
    return Split(held_out=held_out, wanted=count)


def draw(groups: Sequence[int], strata: Sequence[int], count: int, seed: int) -> bytes:
    """At most ``count`` members of whole groups, by strata in proportion.

    A stratum gets its share by largest remainders (Hamilton's method); what its groups are too
    large to fill goes to others.

    Args:
        groups: the group, from 0, of each member.
        strata: the stratum of each group.
        count: members wanted.
        seed: of the order in which groups are taken.

    Returns:
        One byte for each member, 1 where it is drawn.

    >>> list(draw([0, 1, 2, 3, 3, 4], [0, 0, 0, 1, 1], 2, seed=0))
    [0, 0, 1, 0, 0, 1]
    """
    sizes = array("l", bytes(array("l").itemsize * len(strata)))
    for group in groups:
        sizes[group] += 1
    order = array("l", range(len(strata)))
    random.Random(seed).shuffle(order)
    totals: Counter[int] = Counter()
    for group in order:
        totals[strata[group]] += sizes[group]
    left = _quotas(totals, count)
    chosen = bytearray(len(strata))
    for group in order:
        if sizes[group] <= left[strata[group]]:
            chosen[group] = 1
            left[strata[group]] -= sizes[group]
            count -= sizes[group]
    for group in order:
        if not chosen[group] and sizes[group] <= count:
            chosen[group] = 1
            count -= sizes[group]
    return bytes(chosen[group] for group in groups)


class _Strata:
    """The combinations of some tags' values, numbered as they come."""

    def __init__(self, tags: Sequence[str]) -> None:
        self._tags = tags
        self._numbers: dict[tuple[str, ...], int] = {}
        self._known: set[str] = set()

    def of(self, tags: Mapping[str, object]) -> int:
        """The number of one example's combination.

        Raises:
            UsageError: there are more than can be kept in proportion.
        """
        if len(self._known) < TAGS:
            self._known.update(tags)
        values = tuple(word(tags.get(tag)) for tag in self._tags)
        number = self._numbers.setdefault(values, len(self._numbers))
        if number >= STRATA:
            raise UsageError(
                f"{', '.join(self._tags)} have more than {STRATA} combinations of values, which "
                "cannot be kept in proportion.",
                "Choose tags with few values; `baft data stats` lists them.",
            )
        return number

    def check(self) -> None:
        """Has some example each of the tags?

        Raises:
            UsageError: none has.
        """
        for tag in self._tags:
            if tag not in self._known:
                raise UsageError(f"No example has the tag {tag!r}.", did_you_mean(tag, self._known))


def _groups(index: LineIndex, observe: Callable[[float], None]) -> array[int]:
    """The group of each line, from 0 in order; one where a chain of pairs joins lines."""
    parent = array("l", range(index.places))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for _, later, earlier, _ in index.pairs(observe):
        one, other = root(later), root(earlier)
        parent[max(one, other)] = min(one, other)
    groups = array("l")
    new = 0
    for i in range(index.places):  # the root of a group is its first line
        first = root(i)
        groups.append(new if first == i else groups[first])
        new += first == i
    return groups


def _quotas(sizes: Mapping[int, int], count: int) -> dict[int, int]:
    """``count`` shared out in proportion to the sizes, by largest remainders."""
    total = sum(sizes.values())
    quotas = {stratum: size * count // total for stratum, size in sizes.items()}
    missing = count - sum(quotas.values())
    for stratum in sorted(sizes, key=lambda s: -(sizes[s] * count % total))[:missing]:
        quotas[stratum] += 1
    return quotas
