"""Examples for a page: which to show, and each with all arms' answers side by side."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nsmallest
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Any

from . import numbers as show
from .fields import LIMIT, FieldView, compared, lay_out, left_out
from .text import cut, label, one_line, visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from ..records import Example, Generation, Message, Report, Scored
    from ..store import RunStore

SHOWN = 200
"""Examples that one page holds; more would make the file heavy and nobody reads them."""

STATES = {
    "as_is": "parsed as it stood",
    "extracted": "parsed after extraction",
    "none": "did not parse",
    "truncated": "cut off",
    "failed": "failed",
}
"""What may be said of an answer, in the order of the filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Points that one answer left lying in one component."""

    component: int
    """Position in the metric's order."""
    name: str
    points: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One arm's answer to one example."""

    arm: int
    score: str
    tone: str
    """``good``, ``fair``, ``bad`` or ``void``."""
    states: tuple[str, ...]
    """Keys of ``STATES``."""
    losses: tuple[Loss, ...]
    failure: str
    fields: tuple[FieldView, ...]
    text: str
    text_note: str
    facts: str
    """Tokens, seconds, repeats and the backend's notes."""
    sent: tuple[Message, ...]
    """What was really sent, where it was not the prompt."""
    others: tuple[tuple[str, str], ...]
    """Score and text of further repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleView:
    """One example with every arm's answer."""

    id: str
    anchor: str
    """The element's id, for deep links."""
    inputs: tuple[tuple[str, str], ...]
    title: str
    tags: tuple[tuple[str, str], ...]
    scores: tuple[tuple[str, str], ...]
    """Each arm's mean over repeats, and its tone."""
    answers: tuple[Answer, ...]
    field_names: tuple[str, ...]
    prompt: tuple[tuple[str, str], ...]


def anchor(example_id: str) -> str:
    """The id of an example's element on the page."""
    return f"ex-{visible(example_id)}"


def title(example: Example) -> str:
    """An example in one line: its first input."""
    return cut(one_line(str(next(iter(example.inputs.values())))), 160)[0]


def choose(examples: Collection[Example], report: Report, named: Iterable[str]) -> set[str]:
    """The most telling examples: in turn the largest spread, a failure, the worst.

    All of them up to ``SHOWN``; those that the page names elsewhere come first.
    """
    if len(examples) <= SHOWN:
        return {example.id for example in examples}
    ids = dict.fromkeys(id_ for arm in report.arms for id_ in chain(arm.scores, arm.failed))

    def scores(id_: str) -> list[float]:
        return [arm.scores[id_] for arm in report.arms if id_ in arm.scores]

    spread = nsmallest(SHOWN, ids, key=lambda id_: -_spread(scores(id_)))
    failed = [id_ for id_ in ids if any(id_ in arm.failed for arm in report.arms)][:SHOWN]
    worst = nsmallest(SHOWN, ids, key=lambda id_: min(scores(id_), default=float("inf")))
    turns = chain.from_iterable(zip_longest(spread, failed, worst))
    telling = dict.fromkeys(id_ for id_ in chain(named, turns) if id_ in ids)
    return set(islice(telling, SHOWN))


def _spread(scores: list[float]) -> float:
    return max(scores) - min(scores) if scores else 0.0


def views(
    store: RunStore, report: Report, threshold: float, chosen: set[str], reference: str = ""
) -> Iterator[ExampleView]:
    """The chosen examples in the dataset's order, one in memory at a time.

    In every other arm's fields is marked what those of the arm ``reference`` do not say.
    """
    for example in store.examples():
        if example.id in chosen:
            ((_, prompt),) = store.asked([example.id])
            results = [list(store.results(arm.name, example.id)) for arm in report.arms]
            yield _view(example, prompt.messages, results, report, threshold, reference)


def _view(
    example: Example,
    messages: tuple[Message, ...],
    results: list[list[Scored]],
    report: Report,
    threshold: float,
    reference: str,
) -> ExampleView:
    predictions = [
        found[0].prediction.fields if found and found[0].prediction else {} for found in results
    ]
    names = dict.fromkeys(name for fields in predictions for name in fields)
    fields = _side_by_side(list(names), predictions, [arm.name for arm in report.arms], reference)
    means = [arm.scores.get(example.id) for arm in report.arms]
    inputs = tuple((name, cut(str(value), LIMIT)[0]) for name, value in example.inputs.items())
    return ExampleView(
        id=example.id,
        anchor=anchor(example.id),
        inputs=inputs,
        title=title(example),
        tags=tuple((name, cut(str(value), 200)[0]) for name, value in example.tags.items()),
        scores=tuple((show.score(mean), tone(mean, threshold)) for mean in means),
        answers=tuple(
            _answer(position, found, fields[position], report, threshold)
            for position, found in enumerate(results)
        ),
        field_names=tuple(names),
        prompt=tuple((message.role, cut(message.content, LIMIT)[0]) for message in messages),
    )


def _side_by_side(
    names: list[str], predictions: list[Mapping[str, Any]], arms: list[str], reference: str
) -> list[tuple[FieldView, ...]]:
    """Each arm's fields, the reference's as they are."""
    rows = [[lay_out(name, fields) for name in names] for fields in predictions]
    if reference not in arms:
        return [tuple(row) for row in rows]
    other = rows[arms.index(reference)]
    return [tuple(row if row is other else map(compared, row, other)) for row in rows]


def _answer(
    arm: int,
    results: list[Scored],
    fields: tuple[FieldView, ...],
    report: Report,
    threshold: float,
) -> Answer:
    first = results[0] if results else None
    generation = first.generation if first else None
    value = first.score.value if first and first.score else None
    text, rest = cut(generation.text if generation else "", LIMIT)
    return Answer(
        arm=arm,
        score=show.score(value),
        tone=tone(value, threshold),
        states=_answer_states(first),
        losses=losses(
            first.score.components if first and first.score else {}, report.component_max
        ),
        failure=failure(first, "There is no result: the arm did not get this far."),
        fields=fields,
        text=text,
        text_note=left_out(rest),
        facts=facts(generation, len(results)),
        sent=generation.sent or () if generation else (),
        others=tuple(_other(scored) for scored in results[1:]),
    )


def tone(value: float | None, threshold: float) -> str:
    """How a score looks against the threshold."""
    if value is None:
        return "void"
    return "good" if value >= threshold else "fair" if value >= threshold / 2 else "bad"


def _answer_states(scored: Scored | None) -> tuple[str, ...]:
    if scored is None:
        return states(failed=True, validity=None, finish_reason=None)
    return states(
        failed=scored.failure is not None,
        validity=scored.prediction.validity if scored.prediction else None,
        finish_reason=scored.generation.finish_reason if scored.generation else None,
    )


def states(*, failed: bool, validity: str | None, finish_reason: str | None) -> tuple[str, ...]:
    """What may be said of an answer, as keys of ``STATES``."""
    found = (
        "failed" if failed else None,
        validity,
        "truncated" if finish_reason == "length" else None,
    )
    return tuple(one for one in found if one)


def losses(components: Mapping[str, float], component_max: Mapping[str, float]) -> tuple[Loss, ...]:
    """Components with less than the most points, the largest loss first; none where unscored."""
    if not components:
        return ()
    found = (
        Loss(component=position, name=label(name), points=most - components.get(name, 0.0))
        for position, (name, most) in enumerate(component_max.items())
        if most - components.get(name, 0.0) > 1e-9
    )
    return tuple(sorted(found, key=lambda loss: -loss.points))


def failure(scored: Scored | None, missing: str) -> str:
    """Why an answer has no score; ``missing`` where nothing came, empty where it has one."""
    if scored is None:
        return missing
    if scored.failure is None:
        return ""
    return f"{scored.failure.stage}: {cut(scored.failure.reason, 2_000)[0]}"


def facts(generation: Generation | None, repeats: int) -> str:
    """Tokens, seconds, repeats and the backend's notes, in one line."""
    if generation is None:
        return ""
    parts = [
        f"{show.count(generation.completion_tokens)} tokens"
        if generation.completion_tokens is not None
        else "",
        show.duration(generation.latency_s) if generation.latency_s is not None else "",
        f"first of {repeats} repeats" if repeats > 1 else "",
        *(cut(note, 300)[0] for note in generation.notes),
    ]
    return " · ".join(part for part in parts if part)


def _other(scored: Scored) -> tuple[str, str]:
    value = scored.score.value if scored.score else None
    text = scored.generation.text if scored.generation else failure(scored, "")
    return show.score(value), cut(text, LIMIT)[0]


def reason(
    failure: str | None, validity: str | None, finish_reason: str | None, lost: Iterable[Loss]
) -> str:
    """Why an answer lost points, in one line."""
    parts = [cut(one_line(failure), 300)[0]] if failure else []
    parts += ["cut off by a token limit"] if finish_reason == "length" else []
    parts += ["nothing could be parsed"] if validity == "none" and not failure else []
    parts += [f"{loss.name} −{show.points(loss.points)}" for loss in list(lost)[:5]]
    return "; ".join(parts)
