"""Every example in a few numbers: what the page's list is filtered, sorted and paged by."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .examples import STATES, anchor, losses, states, title, tone
from .text import cut, one_line, visible

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from markupsafe import Markup

    from ..records import Example, Report
    from ..store import RunStore
    from ..store.rows import ScoreRow

LISTED = 20_000
"""Most examples that one page lists; a browser takes a second or two over so many."""
TAG_LENGTH = 80
"""Characters of a tag's value that a page shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What the list needs to know of an example."""

    id: str
    title: str
    """Its first input on one line, cut."""
    tags: Mapping[str, str]
    """Those that are single values."""


def read_listed(store: RunStore, ids: Container[str] | None) -> list[Listed]:
    """These examples, in the dataset's order; None means all."""
    return [
        Listed(id=example.id, title=title(example), tags=_tags(example))
        for example in store.examples()
        if ids is None or example.id in ids
    ]


def read_tags(
    store: RunStore, listed: Sequence[Listed] | None = None
) -> dict[str, Mapping[str, str]]:
    """By id of each example that has any, its tags that are single values.

    Args:
        store: the run's.
        listed: all examples, where they are read already.
    """
    if listed is not None:
        return {one.id: one.tags for one in listed if one.tags}
    found = ((example.id, _tags(example)) for example in store.examples())
    return {id_: tags for id_, tags in found if tags}


def _tags(example: Example) -> dict[str, str]:
    return {
        name: cut(one_line(str(value)), TAG_LENGTH)[0]
        for name, value in example.tags.items()
        if isinstance(value, (str, int, float, bool))
    }


def listing(
    store: RunStore,
    report: Report,
    listed: Sequence[Listed],
    choices: Sequence[tuple[str, str]],
    reference: str,
    threshold: float,
) -> Markup:
    """JSON that may stand inside a ``<script>`` element: no markup, no hidden characters.

    ``rows`` hold anchor, title, id, positions in ``choices`` (name and value of each tag to filter
    by) and, by arm, what ``_answers`` gives.
    """
    from markupsafe import Markup

    places = {pair: place for place, pair in enumerate(choices)}
    ids = {one.id for one in listed}
    answers = [_answers(store, arm.name, ids, report, threshold) for arm in report.arms]
    names = [arm.name for arm in report.arms]
    data = {
        "reference": names.index(reference) if reference in names else None,
        "states": list(STATES),
        "rows": [
            [
                anchor(one.id),
                visible(one.title),
                visible(one.id),
                [places[pair] for pair in one.tags.items() if pair in places],
                [found.get(one.id) for found in answers],
            ]
            for one in listed
        ],
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for sign in "&<>":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # it holds none of the signs that HTML knows


def _answers(
    store: RunStore, arm: str, ids: Container[str], report: Report, threshold: float
) -> dict[str, list[Any]]:
    """By example: mean score, tone, numbers of the components that lost points and of states."""
    found = report.arm(arm)
    scores = found.scores if found else {}
    return {
        row.example_id: _numbers(row, scores.get(row.example_id), report, threshold)
        for row in store.score_rows(arm)
        if row.repeat == 0 and row.example_id in ids
    }


def _numbers(row: ScoreRow, mean: float | None, report: Report, threshold: float) -> list[Any]:
    known = list(STATES)
    said = states(
        failed=row.failure is not None, validity=row.validity, finish_reason=row.finish_reason
    )
    return [
        None if mean is None else round(mean, 6),
        tone(mean, threshold),
        [loss.component for loss in losses(row.components, report.component_max)],
        [known.index(one) for one in said],
    ]
