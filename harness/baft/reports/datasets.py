"""Datasets in words: what an audit found, one file in numbers, what a repair changed."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING

from . import numbers as show
from .text import one_line, plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..data import DataAudit, Description, Line, ReferenceScores, Twin, Verdict

MOST = 20
"""So many findings of a kind are listed; JSON holds them all."""


def audit_text(audit: DataAudit, *, every_line: bool = False) -> Iterator[str]:
    """The audit line by line: files, then what is wrong and what to do next."""
    for file, scores in zip(audit.files, audit.scores, strict=True):
        yield from description_text(file)
        yield from _scores(scores)
    if every_line:
        yield from (_verdict(verdict) for verdict in audit.verdicts)
    elif audit.invalid:
        yield "invalid lines"
        yield from _first([_verdict(verdict) for verdict in audit.invalid])
    if audit.twins:
        yield "duplicates"
        yield from _first([_twin(twin) for twin in audit.twins])
    if audit.is_clean:
        yield "Clean: every line is valid, and none says what another says."
    else:
        yield (
            f"Not clean: {show.counted(len(audit.invalid), 'invalid line')}, "
            f"{show.counted(len(audit.twins), 'duplicate')}."
        )
    if audit.invalid:
        yield "Next: baft data fix FILE --output FILE, then mend by hand or drop what it reports."
    if audit.twins:
        yield (
            "Next: remove one line of each pair, or make the parts anew with baft data split, "
            "which keeps near-duplicates together."
        )


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
        yield (
            f"  {one_line(name)}: {show.count(spread.min)} to {show.count(spread.max)} "
            f"{spread.unit}, median {show.points(spread.median)} (n = {show.count(spread.n)})"
        )


def diff_text(before: Line, after: Line) -> Iterator[str]:
    """A unified diff of one repaired line, its JSON spread over many lines."""
    place = f"{one_line(before.file)}:{before.number}"
    old, new = _spread_out(before), _spread_out(after)
    for line in difflib.unified_diff(old, new, place, f"{place} fixed", n=1, lineterm=""):
        yield plain_text(line)


def _spread_out(line: Line) -> list[str]:
    return json.dumps(json.loads(line.raw), indent=2, ensure_ascii=False).splitlines()


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


def _first(lines: list[str]) -> Iterator[str]:
    yield from lines[:MOST]
    if len(lines) > MOST:
        yield f"  and {show.count(len(lines) - MOST)} more; --json lists them all"
