"""Parsed fields laid out for a page: text, or a list of entries with id and priority."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..store.codec import to_json
from . import numbers as show
from .differences import WORDS, Marked, Piece, marked
from .text import cut

LIMIT = 20_000
"""Characters of one text that a page shows; the run store has the rest."""
ENTRIES = 100
"""Entries of one list that a page shows."""
DEPTH = 20
"""Deepest nesting of YAML text that is laid out; no honest requirements list comes near it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One element of a list field."""

    id: str
    priority: str
    text: str
    pieces: tuple[Piece, ...] = ()
    """The text with what is new in it marked; empty where it was not compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldView:
    """One parsed field of one answer, as it is shown."""

    name: str
    kind: str
    """``text``, ``list`` or ``absent``."""
    text: str = ""
    pieces: tuple[Piece, ...] = ()
    """The text with what is new in it marked; empty where it was not compared."""
    entries: tuple[Entry, ...] = ()
    note: str = ""
    """What was left out."""
    change: str = ""
    """How far it is from the other answer's; empty where it was not compared."""


def lay_out(name: str, fields: Mapping[str, Any]) -> FieldView:
    """The field of that name, as text or as a list; YAML text that holds a list becomes one."""
    value = fields.get(name)
    if value is None or value == "":
        return FieldView(name=name, kind="absent")
    entries = value if isinstance(value, list) else _listed(value)
    if entries:
        shown = tuple(_entry(entry) for entry in entries[:ENTRIES])
        return FieldView(
            name=name, kind="list", entries=shown, note=_left_out(len(entries) - ENTRIES, "entry")
        )
    text, rest = cut(_words(value), LIMIT)
    return FieldView(name=name, kind="text", text=text, note=left_out(rest))


def compared(found: FieldView, other: FieldView) -> FieldView:
    """The field with what is new in it marked, beside the same field of another answer.

    Entries of lists are compared with those of the same id, else of the same place.
    """
    if found.kind != other.kind or found.kind == "absent":
        return found
    if found.kind == "text":
        one = marked(found.text, other.text)
        return replace(found, pieces=one.pieces, change=_change(found == other, [one]))
    by_id = {entry.id: entry.text for entry in other.entries if entry.id}
    by_place = dict(enumerate(entry.text for entry in other.entries))
    words, each = 0, []
    for place, entry in enumerate(found.entries):
        words += len(entry.text.split())
        against = by_id.get(entry.id, by_place.get(place, ""))
        each.append(marked(entry.text, against if words <= 5 * WORDS else None))
    entries = (
        replace(entry, pieces=one.pieces) for entry, one in zip(found.entries, each, strict=True)
    )
    return replace(found, entries=tuple(entries), change=_change(found == other, each))


def _change(same: bool, each: list[Marked]) -> str:
    added, dropped = sum(one.added for one in each), sum(one.dropped for one in each)
    if not added and not dropped:
        return "the same" if same else ""
    return f"+{show.count(added)} −{show.counted(dropped, 'word')}"


def left_out(characters: int) -> str:
    """How much of a text is not shown, in words; empty where all of it is."""
    return _left_out(characters, "character")


def _left_out(number: int, noun: str) -> str:
    if number <= 0:
        return ""
    nouns = noun if number == 1 else {"entry": "entries"}.get(noun, f"{noun}s")
    return f"… {show.count(number)} more {nouns} are in run.db."


def _entry(entry: Any) -> Entry:
    if not isinstance(entry, Mapping):
        return Entry(id="", priority="", text=cut(_words(entry), LIMIT)[0])
    rest = {key: value for key, value in entry.items() if key not in ("id", "priority")}
    text = _words(rest.pop("description", ""))
    extra = "; ".join(f"{key}: {_words(value)}" for key, value in rest.items())
    return Entry(
        id=cut(_words(entry.get("id", "")), 40)[0],
        priority=cut(_words(entry.get("priority", "")), 40)[0],
        text=cut(" · ".join(part for part in (text, extra) if part), LIMIT)[0],
    )


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else to_json(value, indent=None)


def _listed(value: Any) -> list[Any] | None:
    """The list that YAML text holds, read as mere text: no tags, no aliases, no depth."""
    import yaml

    if not isinstance(value, str) or len(value) > LIMIT or "- " not in value:
        return None
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        if not _is_flat(yaml.parse(value, Loader=loader)):
            return None
        found = yaml.load(value, Loader=loader)  # it makes nothing but text
    except (yaml.YAMLError, ValueError):
        return None
    return found if isinstance(found, list) else None


def _is_flat(events: Any) -> bool:
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH or isinstance(event, yaml.AliasEvent):
            return False
    return True
