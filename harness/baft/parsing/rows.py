"""Reading the rows of datasets: checks that say in one clause what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import safe_yaml


def kind(value: Any) -> str:
    """What a value is, in words.

    >>> kind([]), kind("x"), kind(None)
    ('a list', 'text', 'null')
    """
    words = {str: "text", list: "a list", dict: "a mapping", bool: "a boolean", type(None): "null"}
    return words.get(type(value), f"a {type(value).__name__}")


def row_id(value: Any) -> str:
    """The id that a row brings, as text.

    Raises:
        ValueError: it is neither text nor an integer, or empty.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"the id is {kind(value)}, not text")
    if not str(value).strip():
        raise ValueError("the id is empty")
    return str(value)


def required_text(row: Mapping[str, Any], name: str) -> str:
    """A text that a row cannot do without.

    Raises:
        ValueError: it is missing, no text, or blank.
    """
    value = row.get(name)
    if value is None:
        raise ValueError(f"the {name} is missing")
    if not isinstance(value, str):
        raise ValueError(f"the {name} is {kind(value)}, not text")
    if not value.strip():
        raise ValueError(f"the {name} is empty")
    return value


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    """The value, which has to be a mapping.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {kind(value)}, not a mapping")
    return value


def loaded(text: Any, name: str) -> Any:
    """What a YAML text of a row holds.

    Raises:
        ValueError: it is no text, or no YAML within the limits.
    """
    if not isinstance(text, str):
        raise ValueError(f"{name} is {kind(text)}, not text")
    try:
        return safe_yaml.load(text)
    except (*safe_yaml.REFUSED, *safe_yaml.CRASHED) as error:
        raise ValueError(f"{name} is not YAML: {safe_yaml.reason(error)}") from error
