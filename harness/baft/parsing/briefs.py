"""What roles behind the business analyst are told, from every row that the pipeline writes.

A row may hold inputs and outputs side by side or under ``input`` and ``output``; requirements as a
YAML text or a mapping whose lists may be YAML text; or all inputs in one ``prompt`` with headings,
as the pipeline sends them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .documents import as_yaml
from .fences import FENCE
from .rows import kind, loaded, mapping

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

LISTS = ("functional_requirements", "non_functional_requirements", "constraints")
"""Lists of a requirements document."""

_HEADING = re.compile(r"^([A-Z][A-Z_]+):[ \t]*", re.MULTILINE)
_CLOSING = re.compile(r"\n[ \t]*\n(?:Respond only|Follow the exact)[^\n]*\s*\Z")
_NOTHING = re.compile(r"\(no[^()\n]*\)")


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with what stands under ``input`` and ``output`` beside the rest.

    >>> flat({"input": {"concept": "A shop"}, "output": None, "score": 1})
    {'concept': 'A shop', 'score': 1}

    Raises:
        ValueError: one of them is no mapping.
    """
    found = dict(row)
    for name in ("input", "output"):
        inner = found.pop(name, None)
        if inner is not None:
            found = {**mapping(inner, name), **found}
    return found


def told(text: str, names: Collection[str]) -> tuple[str, dict[str, str]]:
    r"""What stands above the first heading, and the inputs under their headings.

    A heading is the name of an input in capitals, ``_yaml`` left out. The pipeline's closing
    sentence is left out, and so is what it writes for nothing, such as ``(no existing vision)``.

    >>> told("CONCEPT:\nA shop\n\nREQUIREMENTS:\na: 1\n\nFollow the exact output format.",
    ...      ["concept", "requirements_yaml"])
    ('', {'concept': 'A shop', 'requirements_yaml': 'a: 1'})
    """
    known = {heading(name): name for name in names}
    text = _CLOSING.sub("", text.replace("\r\n", "\n"))
    marks = [mark for mark in _HEADING.finditer(text) if mark[1] in known]
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    found: dict[str, str] = {}
    for mark, end in zip(marks, ends[: len(marks)], strict=True):
        said = text[mark.end() : end].strip()
        found.setdefault(known[mark[1]], "" if _NOTHING.fullmatch(said) else said)
    return text[: marks[0].start()].strip() if marks else text, found


def heading(name: str) -> str:
    """The heading of an input.

    >>> heading("requirements_yaml")
    'REQUIREMENTS'
    """
    return name.removesuffix("_yaml").upper()


def requirements_text(row: Mapping[str, Any]) -> str:
    """The requirements of a row as one YAML text.

    Raises:
        ValueError: they are missing, do not parse, or hold no requirement.
    """
    value = row.get("requirements_yaml", row.get("requirements"))
    if value is None:
        raise ValueError("the requirements are missing")
    given = loaded(value, "requirements_yaml") if isinstance(value, str) else value
    data = {
        key: loaded(inner, key) if key in LISTS and isinstance(inner, str) else inner
        for key, inner in mapping(given, "requirements").items()
    }
    if not any(isinstance(data.get(name), list) and data[name] for name in LISTS):
        keys = ", ".join(map(str, data)) or "nothing"
        raise ValueError(f"the requirements hold {keys}, but no requirement")
    return value if isinstance(value, str) and data == given else as_yaml(data)


def document_text(value: Any, name: str, shapes: tuple[type, ...]) -> str:
    """A YAML document of a row as text.

    Raises:
        ValueError: it does not parse, is something else, or would end the block it is put in.
    """
    data = loaded(value, name) if isinstance(value, str) else value
    if not isinstance(data, shapes):
        wanted = " or ".join(kind(shape()) for shape in shapes)
        raise ValueError(f"{name} is {kind(data)}, not {wanted}")
    text = value.strip("\n") if isinstance(value, str) else as_yaml(data)
    if any(FENCE.match(line) for line in text.splitlines()):
        raise ValueError(f"{name} holds a code fence, which would end its block")
    return text
