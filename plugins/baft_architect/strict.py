"""The parts of ``architect_v1``: what holds for all stories, or does not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from . import plan as plans
from .plan import filled, is_full_list, is_text

if TYPE_CHECKING:
    from .plan import Item, Plan

FIELDS = ("id", "epic", "title", "description", "acceptance", "priority", "estimate", "status")
PRIORITIES = ("P1", "P2", "P3")
ESTIMATES = ("XS", "S", "M", "L", "XL")
LONG = 4300
"""Digits from which Python's ``int`` refuses a text."""

_ID = re.compile(r"S(\d+)")


def completeness(plan: Plan) -> float:
    """25 points: the mean of fields filled, ids that are S1 to Sn, and epics that are known."""
    if not plan.stories:
        return 0.0
    known = plan.epic_ids
    checks = [
        filled(plan.stories, FIELDS),
        1.0 if _is_sequence(plan) else 0.0,
        1.0 if known and _names_epics(plan) else 0.0,
    ]
    return sum(checks) / len(checks) * 25.0


def quality(plan: Plan) -> float:
    """25 points: the share of five checks of each story."""
    if not plan.stories:
        return 0.0
    passed = sum(
        is_full_list(story.get("acceptance"))
        + has_title(story)
        + has_description(story)
        + (_stripped(story.get("priority")) in PRIORITIES)
        + has_estimate(story)
        for story in plan.stories
    )
    return passed / (len(plan.stories) * 5) * 25.0


def epics(plan: Plan) -> float:
    """20 points: three checks of each epic, and that every story's epic is known."""
    if not plan.epics or not plan.stories:
        return 0.0
    ids = plan.story_ids
    checks: list[bool] = []
    for epic in plan.epics:
        stories = epic.get("stories")
        held = stories if isinstance(stories, list) else []
        checks += [
            all(is_text(epic.get(name)) for name in ("id", "name", "description")),
            bool(held),
            bool(held) and all(str(name) in ids for name in held),
        ]
    checks.append(_names_epics(plan))
    return sum(checks) / len(checks) * 20.0


def dependencies(plan: Plan) -> float:
    """10 points, or none: every reference names another story, and there is no cycle."""
    found = plans.dependencies(plan)
    return 10.0 if found.sound and not found.cyclic else 0.0


def has_title(story: Item) -> bool:
    """Is there a title of 1 to 100 characters?"""
    return 1 <= len(_stripped(story.get("title"))) <= 100


def has_description(story: Item) -> bool:
    """Is there a description of 20 characters or more?"""
    return len(_stripped(story.get("description"))) >= 20


def has_estimate(story: Item) -> bool:
    """Is the estimate one of the five sizes, in any case?"""
    return _stripped(story.get("estimate")).upper() in ESTIMATES


def _stripped(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _is_sequence(plan: Plan) -> bool:
    """Are the ids S1 to Sn, in any order? ``S01`` is 1 as well."""
    found = [_ID.fullmatch(str(story.get("id", "")).strip()) for story in plan.stories]
    numbers = sorted(int(match[1]) for match in found if match and len(match[1]) < LONG)
    return numbers == list(range(1, len(plan.stories) + 1))


def _names_epics(plan: Plan) -> bool:
    """Does every story that names an epic name one that is there?"""
    known = plan.epic_ids
    return all(str(story["epic"]) in known for story in plan.stories if story.get("epic"))
