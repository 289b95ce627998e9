"""Where in a text a document may stand: in fences, between prose, in brackets; and loading it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from . import safe_yaml
from .fences import FENCE, fenced

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BULLET = re.compile(r"([ \t]*)(?:-(?:[ \t]|$)|#)")
"""A line that a list may begin with, or a comment; group 1 is its indentation."""

_KEY = re.compile(r"([ \t]*(?:-[ \t]+)?\{?)[\"']?(\w+)[\"']?[ \t]*:(?:[ \t]|$)")


def opening(names: Sequence[str]) -> re.Pattern[str]:
    """A line that a mapping with one of these keys may begin with, for ``pieces``."""
    return re.compile(rf"([ \t]*)[\"']?({'|'.join(names)})[\"']?[ \t]*:(?:[ \t]|$)")


def load(text: str) -> Any:
    """What the text holds as JSON or YAML; None where it is neither, or passes a limit."""
    stripped = text.strip()
    depth = stripped.count("{") + stripped.count("[")
    if stripped.startswith("{") and depth <= safe_yaml.MAX_DEPTH:
        try:
            return json.loads(stripped)
        except ValueError:
            pass  # flow-style YAML looks like JSON
    return load_yaml(text)


def load_yaml(text: str) -> Any:
    """What the text holds as YAML; None where it is none, or passes a limit."""
    try:
        return safe_yaml.load(text)
    except (*safe_yaml.REFUSED, *safe_yaml.CRASHED):
        return None


def pieces(text: str, start: re.Pattern[str], brackets: str) -> Iterator[str]:
    """Parts of the text that may be the document, likeliest first.

    Args:
        text: What a model wrote.
        start: A line that the document may begin with; group 1 is its indentation.
        brackets: The first and last character of the document in flow style or JSON.
    """
    for _, body in fenced(text):
        yield body
        yield from _trimmed(body, start)
    bare = "".join(line for line in text.splitlines(keepends=True) if not FENCE.match(line))
    if bare != text:
        yield bare
    yield from _trimmed(bare, start)
    first, last = text.find(brackets[0]), text.rfind(brackets[1])
    if -1 < first < last:
        yield text[first : last + 1]


def _trimmed(text: str, start: re.Pattern[str]) -> Iterator[str]:
    """The text without the prose above and below the document; then with that below it."""
    lines = text.splitlines(keepends=True)
    first = next((index for index, line in enumerate(lines) if start.match(line)), None)
    if first is None:
        return
    lines = lines[first:]
    end = _end(lines, start)
    if end is not None and _is_prose(lines[end:], lines[:end], start):
        yield "".join(lines[:end])
    if first:
        yield "".join(lines)


def _end(lines: Sequence[str], start: re.Pattern[str]) -> int | None:
    """Index of the first line that does not belong to what the first line opens."""
    indent = _indent(lines[0])
    for index, line in enumerate(lines):
        if not line.strip() or _indent(line) > indent:
            continue
        if _indent(line) < indent or not (start.match(line) or BULLET.match(line)):
            return index
    return None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _is_prose(below: Sequence[str], document: Sequence[str], start: re.Pattern[str]) -> bool:
    """Does nothing of the document stand below?

    If something does, the line between is a broken one, and those are not mended. A document that
    starts again is no part of it: models that miss their end go on with another one.
    """
    known = {match[2] for line in document if (match := _KEY.match(line))}
    for line in below:
        match = _KEY.match(line)
        if match and match[1]:
            if match[2] in known:
                return False
        elif match and start.match(line):
            return match[2] in known
    return True
