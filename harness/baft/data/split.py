"""A seeded split that keeps tags in proportion and near-duplicates together."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

from ..errors import DataError, UsageError, did_you_mean
from .describe import word
from .twins import groups

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from .lines import Line


def split(
    lines: Sequence[Line], count: int, *, seed: int = 42, stratify: Sequence[str] = ()
) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """The lines without, and the at most ``count`` lines of, a seeded validation part.

    Both in file order. Near-duplicates stay together, and the shares of the tags in ``stratify``
    stay the same as far as whole numbers allow.

    Raises:
        DataError: a line is invalid, or the near-duplicates leave nothing to choose.
        UsageError: ``count`` leaves a part empty, or no line has such a tag.
    """
    broken = next((line for line in lines if line.example is None), None)
    if broken is not None:
        raise DataError(
            f"{broken.file}, line {broken.number}: {broken.problem}.",
            "Mend it, or run `baft data fix --drop-invalid` first.",
        )
    if not 0 < count < len(lines):
        raise UsageError(
            f"{count} of {len(lines)} examples cannot be set apart for validation.",
            f"Write a number from 1 to {len(lines) - 1}, or a share.",
        )
    examples = [line.example for line in lines if line.example is not None]
    known = {tag for example in examples for tag in example.tags}
    for tag in stratify:
        if tag not in known:
            raise UsageError(f"No example has the tag {tag!r}.", did_you_mean(tag, known))
    together = groups(lines)
    strata = [tuple(word(examples[g[0]].tags.get(tag)) for tag in stratify) for g in together]
    chosen = draw(together, strata, count, seed)
    if not chosen:
        raise DataError(
            f"Every example is one of more than {count} near-duplicates, which must stay together.",
            "Run `baft data audit` to see them, and remove some.",
        )
    train = tuple(line for i, line in enumerate(lines) if i not in chosen)
    return train, tuple(line for i, line in enumerate(lines) if i in chosen)


def draw(
    groups: Sequence[Sequence[int]], strata: Sequence[Hashable], count: int, seed: int
) -> frozenset[int]:
    """At most ``count`` members of whole groups, by strata in proportion.

    A stratum gets its share by largest remainders (Hamilton's method); what its groups are too
    large to fill goes to others.

    >>> sorted(draw([[0], [1], [2], [3, 4], [5]], "aaabb", 2, seed=0))
    [2, 5]
    """
    order = list(range(len(groups)))
    random.Random(seed).shuffle(order)
    sizes: Counter[Hashable] = Counter()
    for i in order:
        sizes[strata[i]] += len(groups[i])
    left = _quotas(sizes, count)
    chosen: set[int] = set()
    skipped = []
    for i in order:
        if len(groups[i]) <= left[strata[i]]:
            chosen.update(groups[i])
            left[strata[i]] -= len(groups[i])
        else:
            skipped.append(groups[i])
    for group in skipped:
        if len(group) <= count - len(chosen):
            chosen.update(group)
    return frozenset(chosen)


def _quotas(sizes: Mapping[Hashable, int], count: int) -> dict[Hashable, int]:
    """``count`` shared out in proportion to the sizes, by largest remainders."""
    total = sum(sizes.values())
    quotas = {stratum: size * count // total for stratum, size in sizes.items()}
    missing = count - sum(quotas.values())
    for stratum in sorted(sizes, key=lambda s: -(sizes[s] * count % total))[:missing]:
        quotas[stratum] += 1
    return quotas
