"""YAML by the safe loader: fast, limited, and with the verdict of ``yaml.safe_load``.

The pipeline scores with ``yaml.safe_load``, PyYAML's loader in Python. Its C loader is ten times
faster but not the same: it takes tabs, ``a:{b: c}`` or ``!`` that the other refuses, and the
reverse. So texts that hold what the two disagree on go to the Python loader, all others to C.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from ..errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CHARS = 1_000_000
"""Longest text; 2048 tokens are about 10,000 characters."""
MAX_DEPTH = 100
"""Deepest nesting; documents have 3 or 4 levels, C crashes in the tens of thousands."""
MAX_NODES = 100_000
"""Most nodes after every alias is written out."""
MAX_VALUE_CHARS = 4300
"""Longest value other than text; as for Python's ``int``, since time grows with its square."""

_C: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Found by comparing both loaders on a million mutated documents; tests/harness/parsing/
# test_safe_yaml.py goes on comparing.
_MARKS = ("\t", "\ufeff", "\\ud", "\\uD", ":,", ":}", ":]")
_TAG = re.compile(r"(?:^|[\s\[\]{},:\"'])!")
_TIGHT_KEY = re.compile(r'(?<!"):[\[{]')
_HEADER_COMMENT = re.compile(r"[|>][^\n|>#]*#")

_TAG_PREFIX = "tag:yaml.org,2002:"
_RESOLVED: dict[str, Any] = yaml.SafeLoader.yaml_implicit_resolvers


class LimitError(DataError):
    """The text is larger, deeper or more entangled than any document asked for."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "Such an answer is not the document asked for; look at it.")


REFUSED = (yaml.YAMLError, ValueError, AttributeError)
"""What the pipeline's BA metric takes for a text that does not parse."""
CRASHED = (LookupError, ArithmeticError, RecursionError, TypeError, LimitError)
"""What it does not catch, and our limits."""


class _Unusual(Exception):
    """Something that PyYAML's own constructor has to see."""


def load(text: str) -> Any:
    """What ``yaml.safe_load(text)`` returns or raises, within the limits.

    >>> load("[{id: FR001, priority: High}]")
    [{'id': 'FR001', 'priority': 'High'}]

    Raises:
        LimitError: a limit of this module is exceeded.
        yaml.YAMLError: the text is not one YAML document of plain data.
        ValueError: a value cannot be, such as the date 2024-13-45; AttributeError, KeyError,
            IndexError and OverflowError likewise, where ``yaml.safe_load`` lets them through.
            ``REFUSED`` and ``CRASHED`` hold them all.
    """
    if len(text) > MAX_CHARS:
        raise LimitError(f"A YAML text has {len(text):,} characters, more than {MAX_CHARS:,}.")
    kind = yaml.SafeLoader if _is_disputed(text) else _C
    try:
        return _plain_document(kind(text))
    except _Unusual:
        _check_depth(kind(text))
        return _any_document(kind(text))


def reason(error: BaseException) -> str:
    """Why a text could not be loaded, as one clause."""
    if isinstance(error, LimitError):
        return error.message.rstrip(".")
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        mark = error.problem_mark
        return f"{error.problem} (line {mark.line + 1})" if mark else error.problem
    return f"the YAML loader stopped with {type(error).__name__}: {error}".replace("\n", " ")


def _is_disputed(text: str) -> bool:
    """Might the C loader and the Python loader disagree on this text?"""
    return (
        any(mark in text for mark in _MARKS)
        or (("{" in text or "[" in text) and ("?" in text or _TIGHT_KEY.search(text) is not None))
        or ("!" in text and _TAG.search(text) is not None)
        or ("#" in text and _HEADER_COMMENT.search(text) is not None)
    )


def _plain_document(loader: Any) -> Any:
    """The document, built straight from the parser's events in half of the loader's time."""
    try:
        get = loader.get_event
        get()  # the start of the stream
        if type(get()) is StreamEndEvent:
            return None
        value = _plain_value(loader, get, get(), 1)
        get()  # the end of the document
        if type(get()) is not StreamEndEvent:
            raise _Unusual
        return value
    finally:
        loader.dispose()


def _plain_value(loader: Any, get: Callable[[], Any], event: Any, depth: int) -> Any:
    kind = type(event)
    if kind is ScalarEvent:
        return _plain_scalar(loader, event)
    if kind is AliasEvent or event.anchor is not None or event.tag is not None:
        raise _Unusual
    _refuse(depth=depth)
    if kind is SequenceStartEvent:
        items = []
        while type(event := get()) is not SequenceEndEvent:
            items.append(_plain_value(loader, get, event, depth + 1))
        return items
    mapping = {}
    while type(event := get()) is not MappingEndEvent:
        if type(event) is not ScalarEvent:
            raise _Unusual
        key = _plain_scalar(loader, event)
        event = get()
        if type(event) is ScalarEvent:
            mapping[key] = _plain_scalar(loader, event)
        else:
            mapping[key] = _plain_value(loader, get, event, depth + 1)
    return mapping


def _plain_scalar(loader: Any, event: Any) -> Any:
    if event.anchor is not None or event.tag is not None:
        raise _Unusual
    value = event.value
    if value[:1] not in _RESOLVED or not event.implicit[0]:
        return value
    tag = next((tag for tag, pattern in _RESOLVED[value[:1]] if pattern.match(value)), "str")
    match tag.removeprefix(_TAG_PREFIX):
        case "str":
            return value
        case "null":
            return None
        case "bool":
            return loader.construct_yaml_bool(ScalarNode(tag, value))
        case "int":
            _refuse(chars=len(value))
            return loader.construct_yaml_int(ScalarNode(tag, value))
    raise _Unusual  # dates, floats, merge keys


def _check_depth(loader: Any) -> None:
    """Refuse a deep text before the loader's own recursion meets it."""
    depth = 0
    try:
        while type(event := loader.get_event()) is not StreamEndEvent:
            if isinstance(event, CollectionStartEvent):
                depth += 1
                _refuse(depth=depth)
            elif isinstance(event, CollectionEndEvent):
                depth -= 1
    finally:
        loader.dispose()


def _any_document(loader: Any) -> Any:
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        nodes, depth = _measure(node, {})
        _refuse(nodes=nodes, depth=depth)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _measure(node: Node, known: dict[Node, tuple[int, int]]) -> tuple[int, int]:
    """Nodes and levels from this one down, with aliases written out."""
    if not isinstance(node, CollectionNode):
        _refuse(chars=0 if node.tag == f"{_TAG_PREFIX}str" else len(node.value))
        return 1, 0
    if node not in known:
        known[node] = MAX_NODES + 1, 0  # met again inside itself: without end
        inner = node.value
        if isinstance(node, MappingNode):
            inner = [part for pair in inner for part in pair]
        sizes = [_measure(part, known) for part in inner]
        known[node] = (
            1 + sum(nodes for nodes, _ in sizes),
            1 + max((depth for _, depth in sizes), default=0),
        )
    return known[node]


def _refuse(*, nodes: int = 0, depth: int = 0, chars: int = 0) -> None:
    if nodes > MAX_NODES:
        raise LimitError(f"A YAML text has more than {MAX_NODES:,} nodes in its aliases.")
    if depth > MAX_DEPTH:
        raise LimitError(f"A YAML text is nested more than {MAX_DEPTH} deep.")
    if chars > MAX_VALUE_CHARS:
        raise LimitError(f"A YAML text has a number or date of {chars:,} characters.")
