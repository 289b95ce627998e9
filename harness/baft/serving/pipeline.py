"""The pipeline's command provider: JSON comes in on stdin, fenced blocks go out.

The provider that a promotion writes runs ``baft ask --role R --pipeline``.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from ..errors import BackendError, DataError
from ..parsing.pieces import load_yaml
from ..promotion.positions import load
from ..protocols import PipelineWriter
from ..store.codec import finite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..protocols import Role
    from ..records import Field, Prediction

CONCEPT = re.compile(r"^[ \t]*CONCEPT[ \t]*:[ \t]*(.*)", re.IGNORECASE | re.MULTILINE | re.DOTALL)
CLOSING = re.compile(r"\s*^[ \t]*Follow the exact output format\.?\s*\Z", re.I | re.MULTILINE)
"""The line that the pipeline puts behind what it asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRequest:
    """What the pipeline's command provider sends."""

    text: str
    """What is asked about: for the business analyst the concept."""
    temperature: float | None = None
    max_tokens: int | None = None


def pipeline_request(text: str) -> PipelineRequest:
    """Read what the pipeline wrote to stdin.

    Raises:
        DataError: it is not a JSON object, or asks nothing.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"stdin is not valid JSON ({error}).", "The provider needs `input_format: stdin_json`."
        ) from error
    if not isinstance(data, dict):
        raise DataError(
            "stdin is not a JSON object.", "The provider needs `input_format: stdin_json`."
        )
    asked = concept_of(str(data.get("user") or data.get("prompt") or ""))
    if not asked:
        raise DataError("The request asks nothing (`user` is empty).", "Give the role a concept.")
    limit = _number(data.get("max_tokens"))
    return PipelineRequest(
        text=asked,
        temperature=_number(data.get("temperature")),
        max_tokens=None if limit is None or limit < 1 else int(limit),
    )


def concept_of(user: str) -> str:
    r"""What the pipeline's user message is about, without the frame around it.

    A role that is told more than a concept finds the other headings in it.

    >>> concept_of("CONCEPT:\nA shop\nfor tea.\n\nFollow the exact output format.")
    'A shop\nfor tea.'
    >>> concept_of("A shop for tea.")
    'A shop for tea.'
    """
    text = CLOSING.sub("", user.replace("\r\n", "\n"))
    found = CONCEPT.search(text)
    return (found.group(1) if found else text).strip()


def pipeline_answer(role: Role, prediction: Prediction) -> str:
    """The answer in fenced blocks, labelled as the role's legacy reader expects them.

    A role may make its blocks itself. Outputs that have a label are a document each, in a block
    each. Otherwise the label of the role says the form: YAML with every output, or one output as
    JSON or as the text it is.

    Raises:
        BackendError: the answer held no document; asking again may help.
    """
    if prediction.validity == "none":
        raise _unread()
    if isinstance(role, PipelineWriter):
        blocks = role.pipeline_blocks(prediction)
    else:
        blocks = _blocks(role, prediction)
    return "".join(_block(label, value) for label, value in blocks.items())


def _blocks(role: Role, prediction: Prediction) -> Mapping[str, Any]:
    fields = [field for field in role.outputs if field.name in prediction.fields]
    given = {field.name: prediction.fields[field.name] for field in fields}
    if fields and all(field.label for field in fields):
        return {field.label: str(given[field.name]) for field in fields}
    form = role.answer_label.partition(" ")[0]
    if len(role.outputs) == 1 and fields and form != "yaml":
        value = given[fields[0].name]
        return {role.answer_label: value if form == "json" else str(value)}
    return {role.answer_label: {field.name: _value(field, given[field.name]) for field in fields}}


def _block(label: str, value: Any) -> str:
    form = label.partition(" ")[0]
    if form == "yaml":
        return _yaml_block(label, value if isinstance(value, str) else _yaml(value))
    if form == "json" and not isinstance(value, str):
        return _json_block(label, value)
    return _text_block(label, str(value))


def _yaml(value: Any) -> str:
    return yaml.safe_dump(_plain(value), sort_keys=False, allow_unicode=True, width=2**20)


def _unread() -> BackendError:
    return BackendError(
        "The model's answer holds no document that can be read.",
        "Ask again, or look at it with `baft ask` without --pipeline.",
        retryable=True,
    )


def _yaml_block(label: str, text: str) -> str:
    """A YAML document in a fenced block; no other fence may stand in it, its reader ends there."""
    if "```" in text:
        found = load_yaml(text)
        if found is None:
            raise _unread()
        return _json_block(label, found)
    return f"```{label}\n{text.rstrip()}\n```\n"


def _json_block(label: str, value: Any) -> str:
    """JSON in a fenced block, which is YAML too."""
    text = json.dumps(_plain(value), ensure_ascii=False, indent=2).replace("`", "\\u0060")
    return f"```{label}\n{text}\n```\n"


def _text_block(label: str, text: str) -> str:
    """Text in a block whose fence is longer than any within it, as Markdown has it."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{label}\n{text.rstrip()}\n{fence}\n"


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    return json.loads(json.dumps(finite(value), default=str))


def _value(field: Field, value: Any) -> Any:
    """A list that came as YAML text, read; anything else as it is."""
    if field.kind != "list" or not isinstance(value, str):
        return value
    try:
        found = load(value, "the answer")
    except DataError:
        return value
    return found if isinstance(found, list) else value


def _number(value: Any) -> float | None:
    """A finite number; anything else is left to the configuration."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None
