"""Datasets in words: what an audit found, one file in numbers, what a repair changed."""

from __future__ import annotations

import difflib
import itertools
import json
from typing import TYPE_CHECKING

from . import numbers as show
from .text import one_line, plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..data import (
        DataAudit,
        Description,
        Line,
        ReferenceScores,
        Spread,
        TokenLengths,
        Twin,
        Verdict,
    )

MOST = 20
"""So many findings of a kind are listed; JSON holds them all."""


def audit_text(audit: DataAudit, *, every_line: bool = False) -> Iterator[str]:
    """The audit line by line: files, then what is wrong and what to do next."""
    for i, (file, scores) in enumerate(zip(audit.files, audit.scores, strict=True)):
        yield from description_text(file)
        yield from _scores(scores)
        if audit.lengths:
            yield from _lengths(audit.lengths[i])
    if every_line:
        yield from (_verdict(verdict) for verdict in audit.verdicts())
    elif audit.invalid:
        yield "invalid lines"
        yield from _first(map(_verdict, audit.verdicts(invalid=True)), audit.invalid)
    if audit.duplicates:
        yield "duplicates"
        yield from _first(map(_twin, audit.twins()), audit.duplicates)
    over = sum(lengths.over for lengths in audit.lengths)
    if audit.is_clean:
        yield "Clean: every line is valid, and none says what another says."
    else:
        yield (
            f"Not clean: {show.counted(audit.invalid, 'invalid line')}, "
            f"{show.counted(audit.duplicates, 'duplicate')}"
            + (f", {show.count(over)} too long." if audit.lengths else ".")
        )
    if audit.invalid:
        yield "Next: baft data fix FILE --output FILE, then mend by hand or drop what it reports."
    if audit.duplicates:
        yield (
            "Next: remove one line of each pair, or make the parts anew with baft data split, "
            "which keeps near-duplicates together."
        )
    if over:
        yield "Next: shorten or remove what is too long, or train with a greater --max-length."


def description_text(file: Description) -> Iterator[str]:
    """One file in numbers."""
    yield (
        f"{one_line(file.file)}: {show.counted(file.lines, 'line')}, {show.count(file.valid)} "
        f"valid, {show.count(file.with_reference)} with a reference"
    )
    for tag, values in file.tags.items():
        counts = ", ".join(f"{one_line(value)} {show.count(n)}" for value, n in values.items())
        yield f"  {one_line(tag)}: {counts}"
    for name, spread in file.lengths.items():
        yield f"  {one_line(name)}: {_spread(spread)}"


def diff_text(before: Line, after: Line) -> Iterator[str]:
    """A unified diff of one repaired line, its JSON spread over many lines."""
    place = f"{one_line(before.file)}:{before.number}"
    old, new = _spread_out(before), _spread_out(after)
    for line in difflib.unified_diff(old, new, place, f"{place} fixed", n=1, lineterm=""):
        yield plain_text(line)


def _spread_out(line: Line) -> list[str]:
    return json.dumps(json.loads(line.raw), indent=2, ensure_ascii=False).splitlines()


def _spread(spread: Spread) -> str:
    return (
        f"{show.count(spread.min)} to {show.count(spread.max)} {spread.unit}, "
        f"median {show.points(spread.median)} (n = {show.count(spread.n)})"
    )


def _lengths(lengths: TokenLengths) -> Iterator[str]:
    if lengths.spread is None:
        yield "  no example has a reference, so none can be measured in tokens"
        return
    yield (
        f"  prompt and answer: {_spread(lengths.spread)}; "
        f"{show.count(lengths.over)} over {show.count(lengths.max_length)}"
    )
    for long in lengths.longest:
        yield f"    line {long.line}: {show.count(long.tokens)} tokens (id {one_line(long.id)})"


def _scores(scores: ReferenceScores) -> Iterator[str]:
    yield (
        f"  references score {show.score(scores.mean)} (mean, n = {show.count(scores.n)}) by "
        f"{scores.metric}; attainable {show.score(scores.attainable_max)}, "
        f"{show.count(scores.below_max)} below it"
    )
    for low in scores.worst:
        yield f"    line {low.line}: {show.score(low.score)} (id {one_line(low.id)})"


def _verdict(verdict: Verdict) -> str:
    return f"  {one_line(verdict.file)}, line {verdict.line}: {one_line(verdict.problem) or 'ok'}"


def _twin(twin: Twin) -> str:
    near = f" ({show.score(twin.similarity, 2)})" if twin.kind.startswith("near") else ""
    return (
        f"  {one_line(twin.file)}, line {twin.line}: {twin.kind}{near} as "
        f"{one_line(twin.earlier_file)}, line {twin.earlier_line}"
    )


def _first(lines: Iterator[str], n: int) -> Iterator[str]:
    yield from itertools.islice(lines, MOST)
    if n > MOST:
        yield f"  and {show.count(n - MOST)} more; --json lists them all"
