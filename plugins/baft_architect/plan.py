"""An architect's answer, loaded as the pipeline loads it, and what all its metrics ask of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from baft import DataError
from baft.parsing import safe_yaml
from baft.parsing.rows import kind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_OPENING = re.compile(r"^```ya?ml?\s*\n?", re.MULTILINE | re.IGNORECASE)
_BARE = re.compile(r"^```\s*\n?", re.MULTILINE)
_CLOSING = re.compile(r"\n?```\s*$", re.MULTILINE)

Item = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an answer holds; empty where it holds none."""

    stories: list[Item]
    epics: list[Item]
    architecture: Item

    @property
    def story_ids(self) -> set[str]:
        """Ids of the stories, as text."""
        return {str(story["id"]) for story in self.stories if story.get("id")}

    @property
    def epic_ids(self) -> set[str]:
        """Ids of the epics, as text."""
        return {str(epic["id"]) for epic in self.epics if epic.get("id")}


def read_plan(fields: Mapping[str, Any], parts: Collection[str]) -> Plan:
    """The documents, those of them that the parts of a metric look at.

    Raises:
        DataError: an entry is no mapping, or loading fails in a way that the pipeline's function
            does not survive either.
    """
    stories = epics = architecture = None
    if "stories_quality" in parts:
        stories = _loaded(fields, "stories_yaml")
        if isinstance(stories, dict):
            stories = stories.get("stories")
        epics = _loaded(fields, "epics_yaml")
    if "architecture" in parts:
        architecture = _loaded(fields, "architecture_yaml")
    return Plan(
        stories=_items(stories, "stories_yaml"),
        epics=_items(epics, "epics_yaml"),
        architecture=architecture if isinstance(architecture, dict) else {},
    )


def architecture(plan: Plan) -> float:
    """20 points: backend and frontend are mappings, and each names its framework."""
    passed = 0
    for name in ("backend", "frontend"):
        section = plan.architecture.get(name)
        if isinstance(section, dict):
            passed += 1 + is_text(section.get("framework"))
    return passed / 4 * 20.0


def is_text(value: Any) -> bool:
    """Is it a text that is not blank?"""
    return isinstance(value, str) and bool(value.strip())


def filled(stories: list[Item], names: Collection[str]) -> float:
    """Share of the stories' fields that are texts, or for ``acceptance`` a list with entries."""
    count = sum(
        is_full_list(story.get(name)) if name == "acceptance" else is_text(story.get(name))
        for story in stories
        for name in names
    )
    return count / (len(stories) * len(names))


def is_full_list(value: Any) -> bool:
    """Is it a list with entries?"""
    return isinstance(value, list) and bool(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What the stories depend on, up to the first that cannot be."""

    edges: int
    """References met."""
    good: int
    """Those that name another story."""
    sound: bool
    """Nothing was met that cannot be."""
    cyclic: bool
    """The good references form a cycle."""


def dependencies(plan: Plan) -> Dependencies:
    """Walk the stories in order; stop at a reference to no other story, or at a wrong type."""
    ids = plan.story_ids
    graph: dict[str, list[str]] = {}
    edges = good = 0
    sound = True
    for story in plan.stories:
        names = _references(story.get("depends_on")) if story.get("id") else []
        if names is None:
            sound = False
            break
        own = str(story.get("id"))
        for name in names:
            edges += 1
            sound = name in ids and name != own
            if not sound:
                break
            good += 1
            graph.setdefault(own, []).append(name)
        if not sound:
            break
    return Dependencies(edges=edges, good=good, sound=sound, cyclic=_is_cyclic(graph))


def _references(value: Any) -> list[str] | None:
    """The ids in a comma-separated text or a list; None for another type."""
    if value is None:
        return []
    if isinstance(value, str):
        value = value.split(",")
    elif isinstance(value, list):
        value = [str(entry) for entry in value if entry]
    else:
        return None
    return [name.strip() for name in value if name.strip()]


def _is_cyclic(graph: Mapping[str, list[str]]) -> bool:
    """Is there a way from a story back to itself? Stories without references are taken away."""
    waiting = {name: set(others) for name, others in graph.items()}
    users: dict[str, list[str]] = {}
    for name, others in waiting.items():
        for other in others:
            users.setdefault(other, []).append(name)
    free = [name for name in users if name not in waiting]
    while free:
        done = free.pop()
        for user in users.get(done, ()):
            waiting[user].discard(done)
            if not waiting[user]:
                del waiting[user]
                free.append(user)
    return bool(waiting)


def _items(value: Any, name: str) -> list[Item]:
    if not isinstance(value, list):
        return []
    for number, item in enumerate(value, start=1):
        if not isinstance(item, dict):
            raise _unscorable(f"item {number} of {name} is {kind(item)}, not a mapping")
    return value


def _loaded(fields: Mapping[str, Any], name: str) -> Any:
    text = fields.get(name)
    if not text or not isinstance(text, str):
        return None
    text = _CLOSING.sub("", _BARE.sub("", _OPENING.sub("", text)))
    try:
        return safe_yaml.load(text.lstrip("]\n "))
    except yaml.YAMLError:
        return None
    except (*safe_yaml.REFUSED, *safe_yaml.CRASHED) as error:
        raise _unscorable(f"{name}: {safe_yaml.reason(error)}") from error


def _unscorable(why: str) -> DataError:
    return DataError(
        f"The answer cannot be scored: {why}.",
        "The pipeline's own function gives no score here either, or only at any cost.",
    )
