"""Records to and from JSON: full precision, strict about unknown keys."""

from __future__ import annotations

import json
import math
from dataclasses import is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from ..errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import cattrs

T = TypeVar("T")


@cache
def _converter() -> cattrs.Converter:
    import cattrs

    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=False)
    converter.register_structure_hook_func(lambda kind: kind == Observed, _observed)
    return converter


Observed = float | str | None
"""What a rule may have looked at: a number stays a number, text stays text."""


def _observed(value: Any, kind: Any) -> Any:
    if value is None or isinstance(value, (int, float, str)):
        return value
    raise ValueError(f"{value!r} is neither a number nor text")


def to_data(record: Any) -> Any:
    """A record as plain dicts, lists, numbers and text."""
    return _converter().unstructure(record)


def from_data(kind: type[T], data: Any, where: str) -> T:
    """The record that ``data`` holds.

    Raises:
        DataError: a key is unknown or missing, or a value out of range; ``where`` is named.
    """
    try:
        return _converter().structure(data, kind)
    except Exception as error:  # border: whatever a file from elsewhere holds
        text = str(error).split("\n")[0] or type(error).__name__
        raise DataError(
            f"{where} does not hold a {kind.__name__}: {text}.",
            "It may come from another version of baft; see CHANGELOG.md.",
        ) from error


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """JSON text of a record or plain data; NaN and infinities are refused, text stays readable."""
    data = to_data(value) if is_dataclass(value) else value
    return json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False, default=plain)


def plain(value: Any) -> Any:
    """What JSON has no word for, in words: dates, sets, NumPy numbers, non-finite floats."""
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def encode(value: Any, *, is_finite: bool = False) -> str:
    """JSON text of plain data on one line, fast.

    Args:
        value: dicts, lists, numbers, text, and what ``plain`` knows.
        is_finite: the caller knows that there is no NaN or infinity in it.

    Raises:
        ValueError: there is one.
        TypeError: a key is nothing that JSON knows.
    """
    try:
        found = orjson.dumps(value, default=plain, option=_OPTIONS)
    except TypeError:  # a key that is no text, a large number, half a character, too deep
        return _strict(value)
    if is_finite or b"null" not in found:  # NaN would stand there as null
        return found.decode()
    return _strict(value)


_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_strict = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, default=plain, separators=(",", ":")
).encode


_raw_decode = json.JSONDecoder().raw_decode


def decode(text: str) -> Any:
    """What ``encode`` wrote, or any other JSON without space around it.

    Most of what ``json.loads`` takes for a short text is spent around the parser.

    Raises:
        ValueError: it is not JSON, or something stands beside it.
    """
    value, end = _raw_decode(text)
    if end != len(text):
        raise ValueError(f"text after the end of JSON: {text[end : end + 40]!r}")
    return value


def finite(value: Any) -> Any:
    """The same data with NaN and infinities as text, so that any model's answer can be stored."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return value


def read_json(path: Path, what: str) -> Any:
    """The JSON in a file.

    Raises:
        DataError: it is missing or broken; file and line are named.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"There is no {what} at {path}.", "Check the path.") from error
    except OSError as error:
        raise DataError(
            f"{path} could not be read: {error.strerror}.", f"Is it really a {what}?"
        ) from error
    except (ValueError, RecursionError) as error:  # not JSON or UTF-8, a huge number, too deep
        line = getattr(error, "lineno", 1)
        raise DataError(
            f"{path}, line {line}: not valid JSON ({error}).", f"Is it really a {what}?"
        ) from error
