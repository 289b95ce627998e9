"""Repairs of a dataset's rows that guess no content: keys, fences, lists that are text, ids.

What cannot be repaired stays as it is, so that the role's reader gives the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from baft.parsing.fences import unfenced
from baft.parsing.pieces import load_yaml

from .metric import FIELDS, ITEM, PREFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

ROW = ("id", "concept", "requirements", "input", "requirements_yaml")
"""Keys of a row, or of the mapping under ``input``, that the role reads."""

_NUMBERED = re.compile(r"\s*[^\W\d_]*[\s._:#-]*([0-9]{1,6})\s*")


def fix_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its form repaired; an equal one where nothing is wrong.

    >>> fix_row({"Concept": "A bakery shop", "requirements": {"constraints": "- {Id: c-1}"}})
    {'concept': 'A bakery shop', 'requirements': {'constraints': [{'id': 'C001'}]}}
    """
    fixed = _keys(row, ROW)
    if isinstance(fixed.get("input"), Mapping):
        fixed["input"] = fix_row(fixed["input"])
    if isinstance(fixed.get("requirements"), Mapping):
        fixed["requirements"] = _requirements(fixed["requirements"])
    if isinstance(fixed.get("requirements_yaml"), str):
        fixed["requirements_yaml"] = _document(fixed["requirements_yaml"])
    return fixed


def _keys(mapping: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The mapping in its order, with keys that are a name but for case written like the name."""
    fixed: dict[str, Any] = {}
    for key, value in mapping.items():
        name = str(key).strip().lower()
        free = name in names and name not in mapping and name not in fixed
        fixed[name if free else key] = value
    return fixed


def _requirements(requirements: Mapping[str, Any]) -> dict[str, Any]:
    fixed = _keys(requirements, FIELDS)
    for name, prefix in PREFIXES.items():
        value = fixed.get(name)
        if isinstance(value, str):
            value = load_yaml(unfenced(value))
        if isinstance(value, list):
            entries = [_keys(v, ITEM) if isinstance(v, Mapping) else v for v in value]
            fixed[name] = _renumbered(entries, prefix)
    return fixed


def _document(text: str) -> str:
    """The document without a fence; written anew only where something inside was repaired."""
    text = unfenced(text)
    document = load_yaml(text)
    if not isinstance(document, Mapping):
        return text
    fixed = _requirements(document)
    if fixed == document:
        return text
    return yaml.safe_dump(fixed, sort_keys=False, allow_unicode=True, width=10**9)


def _renumbered(entries: Sequence[Any], prefix: str) -> list[Any]:
    """The entries with ids of the prefix and three digits; a number met again gets a free one.

    An entry without an id, or with one that is no number behind letters, is left alone.
    """
    numbers = [_number(entry.get("id")) if isinstance(entry, dict) else None for entry in entries]
    highest = max((number for number in numbers if number is not None), default=0)
    seen: set[int] = set()
    fixed: list[Any] = []
    for entry, number in zip(entries, numbers, strict=True):
        if number is None:
            fixed.append(entry)
            continue
        if number in seen:
            number = highest = highest + 1
        seen.add(number)
        fixed.append({**entry, "id": f"{prefix}{number:03}"})
    return fixed


def _number(value: Any) -> int | None:
    """The number of an id.

    >>> _number("FR-001"), _number(7), _number("FR-1.2"), _number(True)
    (1, 7, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    found = _NUMBERED.fullmatch(str(value))
    return int(found[1]) if found else None
