"""The parts of ``architect_v2``: by degrees, and more forgiving in form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import plan as plans
from .plan import filled
from .strict import FIELDS, PRIORITIES, has_description, has_estimate, has_title

if TYPE_CHECKING:
    from .plan import Item, Plan

WORDS = ("HIGH", "MEDIUM", "LOW")
"""Priorities beside P1 to P3."""


def completeness(plan: Plan) -> float:
    """25 points: 15 for fields filled (but ``status``), 5 for ids in place, 5 for known epics."""
    if not plan.stories:
        return 0.0
    ids = [_text(story, "id") for story in plan.stories]
    in_place = sum(name == f"S{place}" for place, name in enumerate(ids, start=1)) / len(ids)
    if len(set(filter(None, ids))) != len(ids):
        in_place *= 0.7
    named = [name for story in plan.stories if (name := _text(story, "epic"))]
    known = plan.epic_ids
    fit = sum(name in known for name in named) / len(named) if named else 1.0
    return (
        filled(plan.stories, [name for name in FIELDS if name != "status"]) * 15.0
        + (in_place * 5.0)
        + fit * 5.0
    )


def quality(plan: Plan) -> float:
    """25 points: five checks of each story, acceptance by a third for each criterion."""
    if not plan.stories:
        return 0.0
    passed = 0.0
    for story in plan.stories:
        acceptance, priority = story.get("acceptance"), story.get("priority")
        if isinstance(acceptance, list):
            passed += min(len(acceptance) / 3.0, 1.0)
        passed += has_title(story)
        passed += has_description(story)
        passed += isinstance(priority, str) and priority.strip().upper() in PRIORITIES + WORDS
        passed += has_estimate(story)
    return passed / (len(plan.stories) * 5) * 25.0


def epics(plan: Plan) -> float:
    """20 points: the mean of epics with an id, with stories, and of the stories that are there."""
    if not plan.epics or not plan.stories:
        return 0.0
    ids = plan.story_ids
    named = held = there = 0.0
    for epic in plan.epics:
        given = epic.get("stories")
        stories = given if isinstance(given, list) else []
        named += bool(_text(epic, "id"))
        held += bool(stories)
        if stories:
            there += sum(str(name).strip() in ids for name in stories) / len(stories)
    n = len(plan.epics)
    return (named / n + held / n + there / n) / 3.0 * 20.0


def dependencies(plan: Plan) -> float:
    """10 points for the share of good references, half of them after a bad one or in a cycle."""
    found = plans.dependencies(plan)
    share = found.good / found.edges if found.edges else 1.0
    if not found.sound:
        share *= 0.5
    if found.cyclic:
        share *= 0.5
    return share * 10.0


def _text(item: Item, name: str) -> str:
    """The stripped text of a value; a null one becomes ``None``, as it does upstream."""
    return str(item.get(name, "")).strip()
