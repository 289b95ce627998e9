"""From what a model wrote to output fields: a document, DSPy's field format, or nothing.

``strict`` takes the text, or each DSPy field, as it stands. ``lenient`` may take away what is not
the document: thoughts, prose, code fences and their labels, a wrapping key. Neither mends anything:
a document that does not parse gives no fields, a DSPy list that does not parse keeps its text.

Validity tells of the format, not of the content:

- ``as_is``: all of it parsed as it stood; the other setting then reads the very same prediction;
- ``extracted``: something was taken away, or some of the lists do not parse;
- ``none``: no field was found, or there are lists and none of them parses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from baft import Prediction

from . import safe_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from baft import Extraction, Field, Validity

_MARKER = re.compile(r"[ \t]*\[\[ ?## ?(\w+) ?## ?\]\]")
_FENCE = re.compile(r"[ \t]*(```+|~~~+)([^`\n]*)$")
_BULLET = re.compile(r"([ \t]*)(?:-(?:[ \t]|$)|#)")
_KEY = re.compile(r"([ \t]*(?:-[ \t]+)?\{?)[\"']?(\w+)[\"']?[ \t]*:(?:[ \t]|$)")
_LABEL_FILLERS = frozenset(("yaml", "yml", "json", "list", "here", "is", "are", "the"))


class Reader:
    """Reads the output fields of one role."""

    def __init__(self, outputs: Sequence[Field]) -> None:
        self.names = tuple(field.name for field in outputs)
        self.lists = tuple(field.name for field in outputs if field.kind == "list")
        self._key = re.compile(rf"([ \t]*)[\"']?({'|'.join(self.names)})[\"']?[ \t]*:(?:[ \t]|$)")

    def text(self, text: str, extraction: Extraction) -> Prediction:
        """Read an answer that is text.

        The markers of DSPy's field format are looked for first; blanks inside them do not matter.
        """
        sections = self._sections(text)
        if sections:
            return self.fields(sections, extraction)
        data = _data(text)
        own = self._own(data)
        if own or extraction == "strict":
            return self.fields(own, extraction)
        return self.fields(self._found(text, data), extraction, removed=True)

    def fields(
        self, fields: Mapping[str, Any], extraction: Extraction, *, removed: bool = False
    ) -> Prediction:
        """Read fields that are apart already; lists that are text become lists where they parse.

        Args:
            fields: Values by name; other names than the role's outputs are left out.
            extraction: Whether fences, labels and prose may be taken off a list that is text.
            removed: Something was taken away already.
        """
        values = self._own(fields)
        lists: set[Validity] = set()
        for name in self.lists:
            value = values.get(name)
            if value and isinstance(value, str):
                values[name], verdict = _read_list(name, value, extraction)
                lists.add(verdict)
            elif value:
                lists.add("as_is" if isinstance(value, list) else "none")
        if not values or lists == {"none"}:
            return Prediction(fields=values, validity="none")
        as_is = not removed and lists <= {"as_is"}
        return Prediction(fields=values, validity="as_is" if as_is else "extracted")

    def _own(self, data: Any) -> dict[str, Any]:
        """The output fields of a mapping; none of what is no mapping, or one entry of a list."""
        if not isinstance(data, Mapping):
            return {}
        own = {name: data[name] for name in self.names if data.get(name) is not None}
        return {} if own.keys() == {"description"} and "id" in data else own

    def _sections(self, text: str) -> dict[str, Any]:
        """The fields between markers ``[[ ## name ## ]]``; the first of a name counts."""
        if "[[" not in text:
            return {}
        sections: dict[str, list[str]] = {}
        lines: list[str] = []
        for line in text.splitlines():
            marker = _MARKER.match(line)
            if marker:
                lines = [line[marker.end() :]]
                sections.setdefault(marker[1], lines)
            else:
                lines.append(line)
        return self._own({name: "\n".join(lines).strip() for name, lines in sections.items()})

    def _found(self, text: str, data: Any) -> dict[str, Any]:
        """The document inside a text that is ``data`` as it stands.

        The piece with the most fields wins, the first of equals. One field alone may be a line of
        prose or of a list's entry; ``_labelled`` knows if it is not.
        """
        thoughts, _, answer = text.rpartition("</think>")
        best = self._unwrapped(_data(answer) if thoughts else data)
        for piece in _pieces(answer, self._key, "{}"):
            if len(best) == len(self.names):
                return best
            own = self._unwrapped(_data(piece))
            if len(own) > max(len(best), 1):
                best = own
        return max(best, self._labelled(answer), key=len)

    def _unwrapped(self, data: Any) -> dict[str, Any]:
        """The fields of a mapping, or of the mapping under one of its keys."""
        own = self._own(data)
        if own or not isinstance(data, Mapping):
            return own
        inner = max((self._own(value) for value in data.values()), key=len, default={})
        return inner if len(inner) > 1 else {}

    def _labelled(self, text: str) -> dict[str, Any]:
        """Fenced blocks with a part of the fields each, by key, info string or line above."""
        parts: dict[str, Any] = {}
        for label, body in _fenced(text):
            data = _data(body)
            own = self._own(data)
            if not own and label in self.lists and isinstance(data, list):
                own = {label: data}
            elif not own and label in self.names and label not in self.lists:
                own = {label: body.strip()}
            if own.keys().isdisjoint(parts):
                parts.update(own)
        return parts


def _read_list(name: str, text: str, extraction: Extraction) -> tuple[Any, Validity]:
    """The list that the text of a field holds, else the text.

    An empty list stays text: the metric takes ``"[]"`` for present and ``[]`` for absent.
    """
    data = _yaml(text)
    if isinstance(data, list):
        return data or text, "as_is"
    if extraction == "lenient":
        for piece in (None, *_pieces(text, _BULLET, "[]")):
            data = data if piece is None else _yaml(piece)
            if isinstance(data, Mapping):
                data = data.get(name)
            if isinstance(data, list):
                return data or "[]", "extracted"
    return text, "none"


def _pieces(text: str, opening: re.Pattern[str], brackets: str) -> Iterator[str]:
    """Parts of the text that may be the document, likeliest first.

    Args:
        text: What a model wrote.
        opening: A line that the document may begin with; group 1 is its indentation.
        brackets: The first and last character of the document in flow style or JSON.
    """
    blocks = _fenced(text)
    for _, body in blocks:
        yield body
        yield from _trimmed(body, opening)
    bare = "".join(line for line in text.splitlines(keepends=True) if not _FENCE.match(line))
    if bare != text:
        yield bare
    yield from _trimmed(bare, opening)
    first, last = text.find(brackets[0]), text.rfind(brackets[1])
    if -1 < first < last:
        yield text[first : last + 1]


def _trimmed(text: str, opening: re.Pattern[str]) -> Iterator[str]:
    """The text without the prose above and below the document; then with that below it."""
    lines = text.splitlines(keepends=True)
    start = next((index for index, line in enumerate(lines) if opening.match(line)), None)
    if start is None:
        return
    lines = lines[start:]
    end = _end(lines, opening)
    if end is not None and _is_prose(lines[end:], lines[:end], opening):
        yield "".join(lines[:end])
    if start:
        yield "".join(lines)


def _end(lines: Sequence[str], opening: re.Pattern[str]) -> int | None:
    """Index of the first line that does not belong to what the first line opens."""
    indent = _indent(lines[0])
    for index, line in enumerate(lines):
        if not line.strip() or _indent(line) > indent:
            continue
        if _indent(line) < indent or not (opening.match(line) or _BULLET.match(line)):
            return index
    return None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _is_prose(below: Sequence[str], document: Sequence[str], opening: re.Pattern[str]) -> bool:
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
        elif match and opening.match(line):
            return match[2] in known
    return True


def _fenced(text: str) -> list[tuple[str, str]]:
    """Field name (or what stands for it) and body of each fenced block; the last may stay open."""
    blocks: list[tuple[str, str]] = []
    fence = above = label = ""
    body: list[str] = []
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if not fence and mark:
            fence, label, body = mark[1], _label(mark[2]) or _label(above), []
        elif fence and mark and mark[1].startswith(fence) and not mark[2].strip():
            blocks.append((label, "".join(body)))
            fence = above = ""
        elif fence:
            body.append(line)
        elif line.strip():
            above = line
    if fence:
        blocks.append((label, "".join(body)))
    return blocks


def _label(text: str) -> str:
    """A label as the name that it may stand for.

    >>> _label("### 2. Functional Requirements:")
    'functional_requirements'
    """
    words = re.findall(r"[^\W\d_]+", text.lower())
    return "_".join(word for word in words if word not in _LABEL_FILLERS)


def _data(text: str) -> Any:
    """What the text holds as JSON or YAML; None where it is neither."""
    stripped = text.strip()
    depth = stripped.count("{") + stripped.count("[")
    if stripped.startswith("{") and depth <= safe_yaml.MAX_DEPTH:
        try:
            return json.loads(stripped)
        except ValueError:
            pass  # flow-style YAML looks like JSON
    return _yaml(text)


def _yaml(text: str) -> Any:
    try:
        return safe_yaml.load(text)
    except (*safe_yaml.REFUSED, *safe_yaml.CRASHED):
        return None
