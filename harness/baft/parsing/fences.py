"""Fenced blocks and marked sections of a text, and the labels that name them."""

from __future__ import annotations

import re

FENCE = re.compile(r"[ \t]*(```+|~~~+)([^`\n]*)$")
"""A line that opens or closes a block: group 1 is the fence, group 2 its info string."""

_MARKER = re.compile(r"[ \t]*\[\[ ?## ?(\w+) ?## ?\]\]")
_FILLERS = frozenset(("yaml", "yml", "json", "list", "here", "is", "are", "the"))


def fenced(text: str) -> list[tuple[str, str]]:
    r"""Label and body of each fenced block; the last may stay open.

    The label comes from the info string, else from the line of text above, see ``label``.

    >>> fenced("```yaml VISION\na: 1\n```\nThe review:\n```\nb: 2")
    [('vision', 'a: 1\n'), ('review', 'b: 2')]
    """
    blocks: list[tuple[str, str]] = []
    fence = above = name = ""
    body: list[str] = []
    for line in text.splitlines(keepends=True):
        mark = FENCE.match(line)
        if not fence and mark:
            fence, name, body = mark[1], label(mark[2]) or label(above), []
        elif fence and mark and mark[1].startswith(fence) and not mark[2].strip():
            blocks.append((name, "".join(body)))
            fence = above = ""
        elif fence:
            body.append(line)
        elif line.strip():
            above = line
    if fence:
        blocks.append((name, "".join(body)))
    return blocks


def label(text: str) -> str:
    """A label as the name that it may stand for.

    >>> label("### 2. Functional Requirements:")
    'functional_requirements'
    """
    words = re.findall(r"[^\W\d_]+", text.lower())
    return "_".join(word for word in words if word not in _FILLERS)


def sections(text: str) -> dict[str, str]:
    r"""The texts between markers ``[[ ## name ## ]]`` (DSPy's format), the first of a name.

    Blanks inside the markers do not matter.

    >>> sections("[[ ## title ## ]]\nBakery\n\n[[ ## completed ## ]]")
    {'title': 'Bakery', 'completed': ''}
    """
    if "[[" not in text:
        return {}
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        marker = _MARKER.match(line)
        if marker:
            lines = [line[marker.end() :]]
            found.setdefault(marker[1], lines)
        else:
            lines.append(line)
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


def unfenced(text: str) -> str:
    r"""The text without one code fence around all of it.

    >>> unfenced("```yaml\na: 1\n```\n"), unfenced("a: 1\n")
    ('a: 1', 'a: 1\n')
    """
    head, _, rest = text.strip().partition("\n")
    mark = FENCE.match(head)
    if not (mark and rest.endswith(mark[1])):
        return text
    return rest.removesuffix(mark[1]).rstrip(" \t").removesuffix("\n")


def after_thoughts(text: str) -> str:
    """The text behind the last ``</think>``; all of it where there is none."""
    return text.rpartition("</think>")[2]
