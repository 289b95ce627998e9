"""Which of a model's answers make good examples: by their score, their fit, and no copies.

A metric that looks at structure gives a template full marks, so an answer must also fit its own
example better than others, and may not repeat another answer. Pure: values in, values out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ..audit import (
    SAME_ANSWER,
    near,
    near_pairs,
    own_ranks,
    shingles,
    tf_idf,
    without_quotes,
    words_of,
)
from ..protocols import RowWriter
from ..store.codec import plain
from .index import NEAR_INPUTS
from .lines import judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..protocols import Metric, Role
    from ..records import Example, Prediction

POOL = 500
"""Examples among which an answer must fit its own."""
FEW = 4
"""Fewer examples than this are too few to tell."""

KNOWN = -1
"""Stands for a known example among the answers that one copies."""

Reason = Literal["no answer", "low score", "unreadable", "poor fit", "copy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What an answer must reach."""

    min_score: float
    """On the metric's scale; the most it may be where lower is better."""
    min_fit: float
    """Share of the other examples that the answer must fit less than its own, from 0 to 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_fit <= 1:
            raise ValueError(f"min_fit must be between 0 and 1, not {self.min_fit}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One answer that has a score."""

    example: Example
    attempt: int
    """From 1."""
    prediction: Prediction
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """An answer that is kept."""

    example: Example
    """With the answer as its reference."""
    attempt: int
    score: float
    fit: float | None
    """Share of the other examples that it fits less; None where there are too few to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The answers that are kept, and why others are not."""

    chosen: tuple[Chosen, ...]
    """At most one for each example, in their order."""
    rejected: Mapping[str, Reason]
    """What became of the last attempt, by id of each example without an answer."""


def fresh(examples: Sequence[Example], known: Sequence[Example] = ()) -> tuple[Example, ...]:
    """The examples whose inputs neither an earlier one nor a known one nearly has."""
    words = [words_of(example.inputs) for example in examples]
    others = [words_of(example.inputs) for example in known]
    stale = {i for i, _, _ in near_pairs(words, others, at_least=NEAR_INPUTS)} if known else set()
    for later, earlier, _ in sorted(near_pairs(words, at_least=NEAR_INPUTS)):
        if earlier not in stale:
            stale.add(later)
    return tuple(example for i, example in enumerate(examples) if i not in stale)


def select(
    role: Role,
    metric: Metric,
    examples: Sequence[Example],
    candidates: Sequence[Candidate],
    bar: Bar,
    known: Sequence[Example] = (),
) -> Selection:
    """Keep for each example the first answer that reaches the bar and copies none kept before.

    Args:
        role: that must be able to read the answer back as a reference.
        metric: whose direction counts.
        examples: all that were asked; among them an answer must fit its own.
        candidates: answers with a score, by attempt.
        bar: what they must reach.
        known: examples whose references may not be repeated.
    """
    place = {example.id: i for i, example in enumerate(examples)}
    why: dict[str, Reason] = dict.fromkeys(place, "no answer")
    good = []
    for one in sorted(candidates, key=lambda one: (place[one.example.id], one.attempt)):
        reason = _reason(role, metric, one, bar)
        if reason is None:
            good.append(one)
        else:
            why[one.example.id] = reason
    chosen: dict[str, Chosen] = {}
    kept: set[int] = set()
    fits, copies = _fits(examples, good), _copies(good, known)
    for i, (one, fit) in enumerate(zip(good, fits, strict=True)):
        if one.example.id in chosen:
            continue
        if fit is not None and fit < bar.min_fit:
            why[one.example.id] = "poor fit"
        elif KNOWN in copies[i] or copies[i] & kept:
            why[one.example.id] = "copy"
        else:
            kept.add(i)
            chosen[one.example.id] = Chosen(
                example=_answered(one), attempt=one.attempt, score=one.score, fit=fit
            )
    return Selection(
        chosen=tuple(chosen.values()),
        rejected={id_: reason for id_, reason in why.items() if id_ not in chosen},
    )


def row_of(role: Role, example: Example, **more: Any) -> bytes:
    """The line of a dataset that the role reads as this example, ``more`` being further tags."""
    if isinstance(role, RowWriter):
        row = {**role.row(example), **more}
    else:
        own = {"id": example.id, "input": example.inputs, "output": example.reference}
        row = {**example.tags, **own, **more}
    text = json.dumps(row, ensure_ascii=False, allow_nan=False, default=plain)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _reason(role: Role, metric: Metric, one: Candidate, bar: Bar) -> Reason | None:
    """Why an answer by itself is no good; None where nothing is wrong."""
    sign = 1 if metric.higher_is_better else -1
    if sign * (one.score - bar.min_score) < -1e-12:
        return "low score"
    example = _answered(one)
    try:
        again = judge("", 1, row_of(role, example), role).example
    except ValueError:  # a number that JSON has no word for
        again = None
    same = again is not None and (again.inputs, again.reference) == (
        example.inputs,
        example.reference,
    )
    return None if same else "unreadable"


def _answered(one: Candidate) -> Example:
    return replace(one.example, reference=one.prediction.fields)


def _fits(examples: Sequence[Example], answers: Sequence[Candidate]) -> list[float | None]:
    """Of each answer the share of the other examples, ``POOL`` at most, that it fits less."""
    import numpy as np

    fits: list[float | None] = [None] * len(answers)
    if len(examples) < FEW:
        return fits
    pools = -(-len(examples) // POOL)
    where = {example.id: divmod(i, pools) for i, example in enumerate(examples)}
    for pool in range(pools):  # dealt like cards
        inputs = [words_of(example.inputs) for example in examples[pool::pools]]
        mine = [i for i, one in enumerate(answers) if where[one.example.id][1] == pool]
        if not mine:
            continue
        outputs = [words_of(answers[i].prediction.fields) for i in mine]
        similarity = tf_idf(inputs) @ tf_idf([*inputs, *outputs], like=inputs)[len(inputs) :].T
        own = np.array([where[answers[i].example.id][0] for i in mine])
        for i, fit in zip(mine, own_ranks(similarity, own), strict=True):
            fits[i] = float(fit)
    return fits


def _copies(answers: Sequence[Candidate], known: Sequence[Example]) -> list[set[int]]:
    """Of each answer the earlier ones that it nearly repeats, and ``KNOWN`` for a known one."""
    sets = [_own_words(one.prediction.fields, one.example.inputs) for one in answers]
    others = [_own_words(one.reference, one.inputs) for one in known if one.reference]
    found: list[set[int]] = [set() for _ in answers]
    for later, earlier, _ in near(sets, at_least=SAME_ANSWER):
        found[later].add(earlier)
    if others:
        for i, _, _ in near(sets, others, at_least=SAME_ANSWER):
            found[i].add(KNOWN)
    return found


def _own_words(fields: Mapping[str, Any], inputs: Mapping[str, Any]) -> frozenset[Any]:
    """The word triples of an answer without those it quotes from its inputs, if others are left."""
    words = words_of(fields)
    return without_quotes(words, words_of(inputs)) or shingles(words)
