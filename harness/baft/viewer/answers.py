"""One example with the answers of several arms, of one run or of two, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..reports import numbers as show
from ..reports.examples import STATES, Loss, facts, failure, losses, states, tone
from ..reports.fields import LIMIT, FieldView, compared, lay_out, left_out
from ..reports.text import cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..records import Example, Message, Scored


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One arm's answer."""

    heading: str
    place: int
    """Colour of the arm."""
    score: str
    tone: str
    states: tuple[tuple[str, str], ...]
    losses: tuple[Loss, ...]
    """Components with less than the most points."""
    failure: str
    facts: str
    fields: tuple[FieldView, ...]
    text: str
    text_note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamplePage:
    """One example."""

    id: str
    inputs: tuple[tuple[str, str], ...]
    tags: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]
    prompt: tuple[tuple[str, str], ...]


def example_page(
    example: Example,
    messages: Sequence[Message],
    results: Sequence[tuple[str, int, Sequence[Scored]]],
    component_max: Mapping[str, float],
    threshold: float,
    *,
    marked: bool = False,
) -> ExamplePage:
    """Lay out one example; only the first repeat's texts are shown.

    Args:
        example: the example.
        messages: its prompt.
        results: heading, colour and results of each arm.
        component_max: most points by component.
        threshold: from which a score is good.
        marked: show what each later answer says that the first does not.
    """
    predictions = [
        found[0].prediction.fields if found and found[0].prediction else {}
        for _, _, found in results
    ]
    names = list(dict.fromkeys(name for fields in predictions for name in fields))[:40]
    rows = [[lay_out(name, fields) for name in names] for fields in predictions]
    if marked:
        rows[1:] = [list(map(compared, row, rows[0])) for row in rows[1:]]
    return ExamplePage(
        id=example.id,
        inputs=tuple((name, cut(str(value), LIMIT)[0]) for name, value in example.inputs.items()),
        tags=tuple((name, cut(str(value), 200)[0]) for name, value in example.tags.items()),
        columns=tuple(
            _column(heading, place, found, tuple(row), component_max, threshold)
            for (heading, place, found), row in zip(results, rows, strict=True)
        ),
        prompt=tuple((message.role, cut(message.content, LIMIT)[0]) for message in messages),
    )


def _column(
    heading: str,
    place: int,
    results: Sequence[Scored],
    fields: tuple[FieldView, ...],
    component_max: Mapping[str, float],
    threshold: float,
) -> Column:
    first = results[0] if results else None
    generation = first.generation if first else None
    value = first.score.value if first and first.score else None
    text, rest = cut(generation.text if generation else "", LIMIT)
    found = states(
        failed=first is not None and first.failure is not None,
        validity=first.prediction.validity if first and first.prediction else None,
        finish_reason=generation.finish_reason if generation else None,
    )
    return Column(
        heading=heading,
        place=place,
        score=show.score(value) if first else "–",
        tone=tone(value, threshold),
        states=tuple((state, STATES.get(state, state)) for state in found),
        losses=losses(first.score.components if first and first.score else {}, component_max),
        failure=failure(first, "No result yet."),
        facts=facts(generation, len(results)),
        fields=fields,
        text=text,
        text_note=left_out(rest),
    )
