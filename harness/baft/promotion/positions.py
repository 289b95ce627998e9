"""Where the values of a YAML text stand, read from the parser's events within limits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ..errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 40
MAX_VALUES = 100_000
"""Values after every alias is written out: what an alias bomb runs into."""


@dataclass(slots=True)
class Node:
    """A value in the text; ``start`` and ``end`` count characters."""

    kind: Literal["scalar", "mapping", "sequence", "alias"]
    start: int
    end: int
    column: int = 0
    is_flow: bool = False
    style: str | None = None
    text: str = ""
    children: list[Node] = field(default_factory=list)
    """Of a mapping: key, value, key, value, …"""
    size: int = 1

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        """Keys with their values."""
        return zip(self.children[::2], self.children[1::2], strict=True)

    def get(self, key: str) -> tuple[Node, Node] | None:
        """The pair of that key; None where there is none."""
        if self.kind != "mapping":
            return None
        return next((p for p in self.pairs() if p[0].kind == "scalar" and p[0].text == key), None)

    def content_end(self) -> int:
        """Where the last character of its content ends (a block mapping's own mark is later)."""
        if self.kind in ("mapping", "sequence") and not self.is_flow and self.children:
            return max(child.content_end() for child in self.children)
        return self.end


def load(text: str, where: str) -> Any:
    """The data of a YAML text from outside, read by the safe loader within limits.

    Raises:
        DataError: not valid YAML, duplicate keys, or larger or deeper than allowed.
    """
    parse(text, where)
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError) as error:
        raise _broken(error, where) from error


def parse(text: str, where: str) -> Node:
    """The positions of all values.

    Raises:
        DataError: not valid YAML, or larger or deeper than allowed.
    """
    if len(text) > MAX_CHARACTERS:
        raise DataError(f"{where} is larger than {MAX_CHARACTERS:,} characters.", _NOT_A_CONFIG)
    try:
        events = iter(YAML(typ="safe", pure=True).parse(text))
        root = _Builder(text, where).build(events)
    except (YAMLError, ValueError) as error:
        raise _broken(error, where) from error
    return root


_NOT_A_CONFIG = "Is it really the pipeline's config.yaml?"


def _broken(error: Exception, where: str) -> DataError:
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}" if mark is not None else ""
    problem = error.problem if isinstance(error, MarkedYAMLError) else str(error).split("\n")[0]
    hint = "Mend the file; nothing was changed."
    if type(error).__name__ == "DuplicateKeyError":
        problem = str(problem).split(" with value")[0].replace("found duplicate", "duplicate")
        hint = "Remove one of the two; nothing was changed."
    return DataError(f"{where}{line}: not valid YAML ({problem}).", hint)


class _Builder:
    """Turns the parser's events into nodes."""

    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self._where = where
        self._anchors: dict[str, Node | None] = {}

    def build(self, events: Iterator[Any]) -> Node:
        root = Node("scalar", 0, 0)
        documents = 0
        for event in events:
            name = type(event).__name__
            if name == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    line = event.start_mark.line + 1
                    raise DataError(
                        f"{self._where}, line {line}: a second document begins.",
                        "Keep one document in the file.",
                    )
                root = self._node(next(events), events, 0)
        return root

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        name = type(event).__name__
        start, end = event.start_mark.index, event.end_mark.index
        node = Node("scalar", start, end, event.start_mark.column)
        if depth > MAX_DEPTH:
            raise DataError(f"{self._where} is nested deeper than {MAX_DEPTH}.", _NOT_A_CONFIG)
        if name == "AliasEvent":
            target = self._anchors.get(event.anchor)
            if target is None:
                raise ValueError(f"alias *{event.anchor} names nothing, or itself")
            node.kind, node.size = "alias", target.size
        else:
            if event.anchor is not None:
                self._anchors[event.anchor] = None  # known only when it is complete
            if name == "ScalarEvent":
                node.text, node.style = event.value, event.style
            else:
                self._children(node, event, events, depth)
            if event.anchor is not None:
                self._anchors[event.anchor] = node
        if node.size > MAX_VALUES:
            raise DataError(
                f"{self._where} holds more than {MAX_VALUES:,} values once its aliases are "
                "written out.",
                _NOT_A_CONFIG,
            )
        return node

    def _children(self, node: Node, start: Any, events: Iterator[Any], depth: int) -> None:
        node.kind = "mapping" if type(start).__name__ == "MappingStartEvent" else "sequence"
        node.is_flow = bool(start.flow_style)
        for event in events:
            if type(event).__name__ in ("MappingEndEvent", "SequenceEndEvent"):
                node.end = event.end_mark.index
                break
            child = self._node(event, events, depth + 1)
            self._place_empty(node, child)
            node.children.append(child)
            node.size += child.size
        if node.children:
            node.column = node.children[0].column

    def _place_empty(self, parent: Node, child: Node) -> None:
        """An absent value is marked at the next token; it belongs behind its key's colon."""
        is_value = parent.kind == "mapping" and len(parent.children) % 2 == 1
        if is_value and child.kind == "scalar" and child.start == child.end:
            colon = re.compile(r"\s*:").match(self._text, parent.children[-1].end)
            if colon:
                child.start = child.end = colon.end()
