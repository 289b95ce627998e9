"""How an arm came to be: what its backend tells of the search or the training behind it.

The facts come from files beside a program or an adapter and are untrusted: what is no finite number
or no text where one belongs is left out, never repaired.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST = 2_000
"""Trials, epochs or steps that are looked at; no chart shows more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One program on (part of) the selection set."""

    trial: int
    """From 1."""
    score: float | None
    """Mean over the examples with a score, on the metric's scale; None where there is none."""
    full: bool
    """Scored on the whole selection set, so that it can be compared with the baseline."""
    examples: int | None = None
    instructions: str = ""
    demos: int | None = None
    tokens: int | None = None
    minutes: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimization:
    """The search that made a program."""

    optimizer: str
    selection: int | None
    """Examples of the set that programs were chosen on."""
    selected_on: str
    """Where that set comes from, in words."""
    lm: str
    """Spec of the model that it was made for."""
    date: str
    baseline: float | None
    """Score of the program before the search."""
    best: float | None
    best_trial: int | None
    trials: tuple[Trial, ...]
    result: str
    changed_since: bool
    """The program is not the one that the search wrote."""

    def best_so_far(self) -> list[tuple[int, float]]:
        """Trial and score of each full trial that beat all full ones before it.

        The best is never worse than the baseline, so a best below it means that lower is better.
        """
        lower = None not in (self.best, self.baseline) and self.best < self.baseline  # type: ignore[operator]
        sign = -1 if lower else 1
        rising: list[tuple[int, float]] = []
        for trial, score in self.scores(full=True):
            if not rising or sign * score > sign * rising[-1][1]:
                rising.append((trial, score))
        return rising

    def scores(self, *, full: bool) -> list[tuple[int, float]]:
        """Trial and score of the trials on all, or on part, of the selection set."""
        return [
            (one.trial, one.score)
            for one in self.trials
            if one.full is full and one.score is not None
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The training that made an adapter."""

    examples: int | None
    """Examples that were learned from."""
    finished: bool
    steps: tuple[float, ...]
    """Loss by step, perhaps the means of neighbouring ones; evenly spread over the epochs."""
    epochs: tuple[tuple[float, float | None, float | None], ...]
    """End of an epoch, its training loss and its validation loss."""
    best_val_loss: float | None


def optimization_of(config: Mapping[str, Any]) -> Optimization | None:
    """The search that an arm's configuration tells of; None where it tells of none."""
    told = config.get("optimization")
    return read_optimization(told) if isinstance(told, Mapping) else None


def read_optimization(told: Mapping[str, Any]) -> Optimization | None:
    """A search from what ``optimization_info.json`` holds, or the part of it that an arm tells."""
    arguments = told.get("arguments")
    more = arguments if isinstance(arguments, Mapping) else {}
    rows = [row for row in _list(told.get("trials")) if isinstance(row, Mapping)]
    trials = tuple(
        Trial(
            trial=number,
            score=_number(row.get("score")),
            full=row.get("full") is not False,
            examples=_count(row.get("examples")),
            instructions=_text(row.get("instructions")),
            demos=_count(row.get("demos")),
            tokens=_count(row.get("tokens")),
            minutes=_minutes(row),
        )
        for row in rows
        if (number := _count(row.get("trial"))) is not None
    )
    if all(one.score is None for one in trials):
        return None
    return Optimization(
        optimizer=_text(told.get("optimizer")),
        selection=_count(rows[0].get("examples")),
        selected_on=_text(told.get("selected_on", more.get("selected_on"))),
        lm=_text(told.get("lm")),
        date=_text(told.get("date")),
        baseline=_number(told.get("baseline_score")),
        best=_number(told.get("best_score")),
        best_trial=_count(told.get("best_trial")),
        trials=trials,
        result=_text(told.get("result")),
        changed_since=told.get("changed_since") is True,
    )


def training_of(config: Mapping[str, Any]) -> Training | None:
    """The training that an arm's configuration tells of; None where it tells of no losses."""
    told = config.get("training")
    if not isinstance(told, Mapping):
        return None
    epochs = tuple(
        (end, _number(row.get("train_loss")), _number(row.get("val_loss")))
        for row in _list(told.get("losses"))
        if isinstance(row, Mapping) and (end := _number(row.get("epoch"))) is not None
    )
    steps = tuple(
        loss for one in _list(told.get("step_losses")) if (loss := _number(one)) is not None
    )
    if not epochs and not steps:
        return None
    return Training(
        examples=_count(told.get("train_examples")),
        finished=told.get("finished") is not False,
        steps=steps,
        epochs=epochs,
        best_val_loss=_number(told.get("best_val_loss")),
    )


def _list(value: Any) -> list[Any]:
    return value[:MOST] if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    """A finite number of a size that can be drawn.

    >>> _number(0.5), _number(True), _number(float("nan")), _number("1"), _number(10**400)
    (0.5, None, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e12:
        return None
    return float(value) if math.isfinite(value) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _minutes(row: Mapping[str, Any]) -> float | None:
    seconds = _number(row.get("seconds"))  # as written before there were minutes
    return _number(row.get("minutes")) if seconds is None else seconds / 60


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
