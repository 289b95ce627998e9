"""One question to the model in service, through the prompt of the evaluation.

The pipeline runs ``baft ask --role R --pipeline`` as its command provider: JSON comes in on stdin,
one fenced block goes out.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from ..errors import BackendError, DataError, UsageError
from ..loader import describe
from ..parsing.pieces import load_yaml
from ..records import Decoding, Generation, Prediction
from ..store.codec import finite
from .config import in_service, read_config
from .positions import load
from .servability import serving_context

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..loader import Plugins
    from ..protocols import Role

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model in service said."""

    spec: str
    generation: Generation
    prediction: Prediction


def ask(
    plugins: Plugins,
    *,
    config: Path,
    role: str,
    text: str,
    env: Mapping[str, str],
    options: Mapping[str, Any],
    temperature: float | None = None,
    max_tokens: int | None = None,
) -> Answer:
    """Ask the model that ``config`` has in service for ``role``.

    Args:
        plugins: all plugins.
        config: the pipeline's configuration.
        role: name of the role.
        text: value of the role's first input, such as the concept.
        env: the environment variables, for the backend.
        options: device and the like, see ``Context``.
        temperature: instead of the configuration's.
        max_tokens: instead of the configuration's.

    Raises:
        UsageError: baft cannot open what is in service, or there is no question.
        DataError: the configuration is not as it must be.
        BackendError: the model cannot answer.
    """
    player = plugins.role(role)
    service = in_service(read_config(config), role, plugins)
    if not service.spec:
        raise UsageError(f"roles.{role} in {config} cannot be asked. {service.problem}")
    given = {
        "temperature": service.temperature if temperature is None else temperature,
        "max_tokens": service.max_tokens if max_tokens is None else max_tokens,
    }
    try:
        decoding = Decoding(**{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]
        example = player.example({player.inputs[0].name: text})
    except ValueError as error:
        raise UsageError(f"{error}.", "Check the question and roles in config.yaml.") from error
    prompt = player.prompt(example)
    backend = plugins.open(service.spec, serving_context(plugins, player, env, options))

    async def generate() -> Generation:
        try:
            return (await backend.generate([prompt], decoding))[0]
        except BackendError:
            raise
        except Exception as error:  # border: plugin call
            raise BackendError(f"{service.spec} failed to answer: {describe(error)}.") from error
        finally:
            await backend.close()

    generation = asyncio.run(generate())
    prediction = player.parse(generation, "lenient")
    return Answer(spec=service.spec, generation=generation, prediction=prediction)


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
    temperature, max_tokens = data.get("temperature"), data.get("max_tokens")
    return PipelineRequest(
        text=asked,
        temperature=float(temperature) if isinstance(temperature, (int, float)) else None,
        max_tokens=max_tokens if isinstance(max_tokens, int) and max_tokens > 0 else None,
    )


def concept_of(user: str) -> str:
    r"""What the pipeline's user message is about, without the frame around it.

    >>> concept_of("CONCEPT:\nA shop\nfor tea.\n\nFollow the exact output format.")
    'A shop\nfor tea.'
    >>> concept_of("A shop for tea.")
    'A shop for tea.'
    """
    text = CLOSING.sub("", user.replace("\r\n", "\n"))
    found = CONCEPT.search(text)
    return (found.group(1) if found else text).strip()


def pipeline_answer(role: Role, prediction: Prediction) -> str:
    """The document, fenced and labelled as the role's legacy reader expects it.

    Outputs that have a label are a document each, in a block each.

    Raises:
        BackendError: the answer held no document; asking again may help.
    """
    if prediction.validity == "none":
        raise BackendError(
            "The model's answer holds no document that can be read.",
            "Ask again, or look at it with `baft ask` without --pipeline.",
            retryable=True,
        )
    fields = [field for field in role.outputs if field.name in prediction.fields]
    given = {field.name: prediction.fields[field.name] for field in fields}
    if fields and all(field.label for field in fields):
        return "".join(_block(field.label, str(given[field.name])) for field in fields)
    document = {
        field.name: _as_list(given[field.name]) if field.kind == "list" else given[field.name]
        for field in fields
    }
    plain = json.loads(json.dumps(finite(document), default=str))
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=2**20)
    return _block(role.answer_label, text)


def _block(label: str, text: str) -> str:
    """A YAML document in a fenced block; no other fence may stand in it, its reader ends there."""
    if "```" in text:
        plain = json.loads(json.dumps(finite(load_yaml(text)), default=str))
        text = json.dumps(plain, ensure_ascii=False, indent=2).replace("`", "\\u0060")
    return f"```{label}\n{text.rstrip()}\n```\n"


def _as_list(value: Any) -> Any:
    """A list that came as YAML text, read; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        found = load(value, "the answer")
    except DataError:
        return value
    return found if isinstance(found, list) else value
