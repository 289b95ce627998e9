"""Change a few values of a YAML text and leave every other byte of it alone.

The text is never written by a YAML emitter: the positions of the values come from the parser's
events, the new values are spliced in between them, and the result is read again and compared with
the data that was meant. What cannot be done that way is refused.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import yaml

from ..errors import DataError
from .positions import Node, load, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PLAIN = re.compile(r"(?:--)?[A-Za-z0-9_./][A-Za-z0-9_./@+=:-]*(?<!:)")
"""Text that needs no quotes, unless a YAML reader takes it for a number, a date or a truth."""

Changes = dict[tuple[str, ...], dict[str, Any]]
"""New values by key, for each mapping that is to change; a mapping is named by its path."""


def with_values(text: str, changes: Changes, where: str) -> str:
    """The text with the changed values, every other character as it was.

    A mapping that does not exist is made; its parent must exist.

    Raises:
        DataError: the text is not valid YAML, or the change cannot be made without changing
            something else too (anchors, merge keys, unusual layouts).
    """
    before = load(text, where)
    meant = before
    for path, values in changes.items():
        meant = _with(meant, path, values)
    root = parse(text, where)
    edits = [edit for path, values in changes.items() for edit in _edits(text, root, path, values)]
    after = text
    for start, end, new in sorted(edits, reverse=True):
        after = after[:start] + new + after[end:]
    _check(text, after, meant, changes, where)
    return after


def _with(data: Any, path: tuple[str, ...], values: Mapping[str, Any]) -> Any:
    if not path:
        return {**(data or {}), **values}
    return {**data, path[0]: _with(data.get(path[0]), path[1:], values)}


def _check(text: str, after: str, meant: Any, changes: Changes, where: str) -> None:
    """Read the result as we do and as the pipeline does; it must be what was meant."""
    refusal = DataError(
        f"{' and '.join('.'.join(path) for path in changes)} in {where} cannot be changed without "
        "touching anything else (an anchor, a merge key or an unusual layout is in the way).",
        "Write those entries out as plain `key: value` lines; nothing was changed.",
    )
    try:
        same = _same(load(after, where), meant)
    except DataError as error:
        raise refusal from error
    if not same:
        raise refusal
    try:  # the pipeline reads with PyYAML (YAML 1.1), which has other ideas of numbers and truths
        theirs = yaml.safe_load(text)
    except yaml.YAMLError:
        return
    for path, values in changes.items():
        theirs = _with(theirs, path, values)
    try:
        if not _same(yaml.safe_load(after), theirs):
            raise refusal
    except yaml.YAMLError as error:
        raise refusal from error


def _same(a: Any, b: Any) -> bool:
    """Equal in type and value; NaN equals NaN.

    >>> _same({"a": 1}, {"a": True})
    False
    """
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(value, b[key]) for key, value in a.items())
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and math.isnan(a):
        return math.isnan(b)
    return bool(a == b)


Edit = tuple[int, int, str]


def _edits(
    text: str, root: Node, path: tuple[str, ...], values: Mapping[str, Any]
) -> Iterator[Edit]:
    """Splices that set ``values`` in the mapping at ``path``."""
    node, missing = root, list(path)
    above: tuple[Node, Node] | None = None
    while missing and (pair := node.get(missing[0])) is not None:
        above, node = pair, pair[1]
        missing.pop(0)
    wanted: Mapping[str, Any] = values
    for key in reversed(missing):
        wanted = {key: wanted}
    if above is not None and node.kind == "scalar" and node.start == node.end:
        yield _below(text, root, above, wanted)  # `providers:` with nothing behind it
        return
    new, last = {}, None
    for key, value in wanted.items():
        pair = node.get(key)
        if pair is None:
            new[key] = value
        else:
            last = pair[1] if last is None or pair[1].start > last.start else last
            yield from _replaced(text, pair[1], value)
    if new and node.kind == "mapping":
        yield _inserted(text, root, node, last, new)


def _replaced(text: str, node: Node, value: Any) -> Iterator[Edit]:
    """The value in the quotes that it had; nothing where it says the same already."""
    if node.kind == "alias":
        yield node.start, node.end, _scalar(value)
    elif node.kind == "scalar" and node.style not in ("|", ">"):
        old = text[node.start : node.end]
        prefix = re.match(r"([&!]\S*\s+)*", old)
        kept = prefix.group() if prefix else ""
        if old and _reads_as(old, value):
            return
        space = "" if old else " "
        yield node.start, node.end, space + kept + _scalar(value, node.style)
    # any other layout is left as it is, and the check refuses


def _reads_as(text: str, value: Any) -> bool:
    """Do both our reader (YAML 1.2) and the pipeline's (YAML 1.1) take the text for the value?"""
    try:
        return _same(load(text, "value"), value) and _same(yaml.safe_load(text), value)
    except (DataError, yaml.YAMLError, ValueError):
        return False


def _inserted(text: str, root: Node, node: Node, last: Node | None, new: Mapping[str, Any]) -> Edit:
    """New pairs after the pair that ends with ``last``, else at the mapping's end."""
    last = last or (node.children[-1] if node.children else None)
    if node.is_flow:
        pairs = ", ".join(f"{_scalar(k)}: {_flow(v)}" for k, v in new.items())
        if last is None:
            return node.end - 1, node.end - 1, pairs
        return last.content_end(), last.content_end(), f", {pairs}"
    end = (last or node).content_end()
    return _lines_after(text, end, node.column, _block(new, node.column, _step(root)))


def _below(text: str, root: Node, pair: tuple[Node, Node], new: Mapping[str, Any]) -> Edit:
    column = pair[0].column + _step(root)
    return _lines_after(text, pair[1].end, pair[0].column, _block(new, column, _step(root)))


def _lines_after(text: str, end: int, column: int, lines: list[str]) -> Edit:
    """Whole lines behind the one that ``end`` lies in and the deeper comments that follow it."""
    at = end if end and text[end - 1] == "\n" else text.find("\n", end) + 1
    comment = re.compile(rf"[ ]{{{column + 1},}}#[^\n]*(\n|\Z)")
    while at > 0 and (found := comment.match(text, at)):
        at = found.end()
    if at <= 0 or (at == len(text) and not text.endswith("\n")):  # no line break at the end
        newline = _newline(text, len(text))
        return len(text), len(text), newline + newline.join(lines)
    newline = _newline(text, at)
    return at, at, "".join(line + newline for line in lines)


def _newline(text: str, at: int) -> str:
    """The line break in use before ``at``."""
    last = text.rfind("\n", 0, at)
    return "\r\n" if last > 0 and text[last - 1] == "\r" else "\n"


def _step(root: Node) -> int:
    """By how many columns the file indents a mapping in a mapping."""
    for _, value in root.pairs() if root.kind == "mapping" else ():
        if value.kind == "mapping" and not value.is_flow and value.children:
            return max(1, value.column - root.column)
    return 2


def _block(values: Mapping[str, Any], column: int, step: int) -> list[str]:
    lines = []
    for key, value in values.items():
        start = f"{' ' * column}{_scalar(key)}:"
        if isinstance(value, dict):
            lines += [start, *_block(value, column + step, step)]
        else:
            lines.append(f"{start} {_flow(value)}")
    return lines


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(inner) for inner in value) + "]"
    return _scalar(value)


def _scalar(value: Any, style: str | None = None) -> str:
    """A value as any YAML reader, 1.1 or 1.2, understands it.

    >>> [_scalar(v) for v in ("mistral:7b", "no", "a dir", 0.7, 1e-05, False)]
    ['mistral:7b', "'no'", "'a dir'", '0.7', '1.0e-05', 'false']
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if style is None and PLAIN.fullmatch(text) and _reads_as(text, text):
        return text
    if style != '"' and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return json.dumps(text, ensure_ascii=False)
