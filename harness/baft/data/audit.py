"""The audit of datasets: verdicts, duplicates, numbers, and what the references score."""

from __future__ import annotations

from bisect import insort
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..records import Prediction
from .describe import Description, Sizes, Spread, Tally
from .index import LineIndex, Twin, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..protocols import Metric, Role
    from ..records import Example
    from .lines import Line

WORST = 5
"""So many of the lowest references, and of the longest examples, are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Low:
    """A reference below the attainable maximum."""

    line: int
    id: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceScores:
    """What the metric gives the references."""

    metric: str
    n: int
    mean: float | None
    """None at n = 0."""
    attainable_max: float
    below_max: int
    """References that do not reach it."""
    worst: tuple[Low, ...]
    """The lowest of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Long:
    """An example with more tokens than may be."""

    line: int
    id: str
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLengths:
    """How long the examples are for a model, prompt and answer together."""

    max_length: int
    """Tokens that one may have."""
    spread: Spread | None
    """None where no example has a reference."""
    over: int
    """Examples that have more."""
    longest: tuple[Long, ...]
    """The longest of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruler:
    """How long an example may be, and how long one is."""

    max_length: int
    """In tokens."""
    measure: Callable[[Example], int]
    """Tokens of one example that has a reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataAudit:
    """Everything an audit found; lines and twins lie on disk until the audit is left."""

    files: tuple[Description, ...]
    scores: tuple[ReferenceScores, ...]
    """One for each file."""
    lengths: tuple[TokenLengths, ...]
    """One for each file, where a ruler was given."""
    invalid: int
    """Lines with a problem, those audited against included."""
    duplicates: int
    """Twins that were found."""
    index: LineIndex = field(repr=False)

    @property
    def is_clean(self) -> bool:
        """Every line is valid and short enough, and none says what another says."""
        return not (self.invalid or self.duplicates or any(one.over for one in self.lengths))

    def verdicts(self, *, invalid: bool = False) -> Iterator[Verdict]:
        """One for each line, or for each line with a problem."""
        return self.index.verdicts(invalid=invalid)

    def twins(self) -> Iterator[Twin]:
        """At most one for each line and earlier file: the gravest, then the most similar."""
        return self.index.twins()


@contextmanager
def audit(
    files: Sequence[Iterable[Line]],
    role: Role,
    metric: Metric,
    against: Iterable[Line] = (),
    *,
    ruler: Ruler | None = None,
    observe: Callable[[float], None] = lambda share: None,
) -> Iterator[DataAudit]:
    """Audit files, each for itself and with the others; ``against`` may share nothing with them.

    Args:
        files: the lines of each, read once.
        role: that reads them.
        metric: that scores the references.
        against: lines whose twins among themselves are their own affair.
        ruler: measures how long examples are.
        observe: told what share of the search for duplicates is done.
    """
    with LineIndex() as index:
        for line in against:
            index.add(line)
        known = index.places
        found = [_FileAudit(role, metric, ruler) for _ in files]
        for one, lines in zip(found, files, strict=True):
            for line in lines:
                index.add(one.add(line))
        index.find_twins(known, observe)
        yield DataAudit(
            files=tuple(one.tally.description() for one in found),
            scores=tuple(one.scores.result() for one in found),
            lengths=tuple(one.lengths.result() for one in found if one.lengths is not None),
            invalid=index.count("invalid"),
            duplicates=index.count("twins"),
            index=index,
        )


class _FileAudit:
    """What is counted of one file, line by line."""

    def __init__(self, role: Role, metric: Metric, ruler: Ruler | None) -> None:
        self.tally = Tally(role)
        self.scores = _Scores(metric)
        self.lengths = None if ruler is None else _Lengths(ruler)

    def add(self, line: Line) -> Line:
        """Count the line; a reference that the metric cannot take is a problem of the line."""
        self.tally.add(line)
        if line.example is None or line.example.reference is None:
            return line
        try:
            self.scores.add(line.number, line.example)
        except Exception as error:  # border: one example
            return replace(line, problem=f"its reference cannot be scored: {error}".rstrip("."))
        if self.lengths is not None:
            try:
                self.lengths.add(line.number, line.example)
            except ValueError as error:
                return replace(line, problem=f"it cannot be measured: {error}".rstrip("."))
        return line


class _Scores:
    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._sign = 1 if metric.higher_is_better else -1
        self._n = self._below = 0
        self._total = 0.0
        self._worst: list[Low] = []

    def add(self, number: int, example: Example) -> None:
        assert example.reference is not None
        prediction = Prediction(fields=example.reference, validity="as_is")
        score = self._metric.score(example, prediction).value
        self._n += 1
        self._total += score
        if self._sign * (self._metric.attainable_max - score) > 1e-9:
            self._below += 1
            low = Low(line=number, id=example.id, score=score)
            insort(self._worst, low, key=lambda low: self._sign * low.score)
            del self._worst[WORST:]

    def result(self) -> ReferenceScores:
        return ReferenceScores(
            metric=f"{self._metric.name} v{self._metric.version}",
            n=self._n,
            mean=self._total / self._n if self._n else None,
            attainable_max=self._metric.attainable_max,
            below_max=self._below,
            worst=tuple(self._worst),
        )


class _Lengths:
    def __init__(self, ruler: Ruler) -> None:
        self._ruler = ruler
        self._sizes = Sizes()
        self._over = 0
        self._longest: list[Long] = []

    def add(self, number: int, example: Example) -> None:
        tokens = self._ruler.measure(example)
        self._sizes.add(tokens)
        if tokens > self._ruler.max_length:
            self._over += 1
            insort(
                self._longest,
                Long(line=number, id=example.id, tokens=tokens),
                key=lambda long: -long.tokens,
            )
            del self._longest[WORST:]

    def result(self) -> TokenLengths:
        return TokenLengths(
            max_length=self._ruler.max_length,
            spread=self._sizes.spread("tokens"),
            over=self._over,
            longest=tuple(self._longest),
        )
