"""OpenAI's chat completions as baft speaks them: requests read, answers and errors written.

After the OpenAI API reference, chat completions. A request holds one user message; system messages
are left out, since the role brings the prompt that was evaluated.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .pipeline import concept_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..protocols import Role
    from ..records import Generation

UNHEEDED: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "top_p": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "stop": ([], ""),
    "logit_bias": ({},),
    "logprobs": (False,),
    "tools": ([],),
    "functions": ([],),
    "response_format": ({"type": "text"},),
}
"""What would change the answer and is not on offer, with the values that change nothing."""

FINISH = {"length": "length"}


class Refused(Exception):
    """A request that is not answered, with the HTTP status and OpenAI's code for it."""

    def __init__(self, status: int, message: str, code: str = "invalid_request") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What a client asks."""

    inputs: Mapping[str, Any]
    """What the role is told."""
    temperature: float | None
    max_tokens: int | None
    seed: int | None
    stream: bool
    include_usage: bool
    prompt_sha256: str
    """Of the prompt that the client means; empty where it leaves that to the server."""


def read_request(raw: bytes, role: Role) -> ChatRequest:
    """The request in a body.

    Raises:
        Refused: it is not one, is for another model, or asks for what is not on offer.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The body is not valid JSON ({error}).") from error
    if not isinstance(body, dict):
        raise Refused(400, "The body is not a JSON object.")
    if body.get("model") != role.name:
        known = f"The model here is {role.name!r}."
        raise Refused(404, f"There is no model {body.get('model')!r}. {known}", "model_not_found")
    for name, harmless in UNHEEDED.items():
        if body.get(name) is not None and body[name] not in harmless:
            raise Refused(400, f"`{name}` is not supported: answers are as evaluated.")
    own = _mapping(body, "baft")
    inputs = own.get("inputs") or {role.inputs[0].name: concept_of(_asked(body.get("messages")))}
    if not isinstance(inputs, dict):
        raise Refused(400, "`baft.inputs` is not an object.")
    limit = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
    return ChatRequest(
        inputs=inputs,
        temperature=_number(body, "temperature"),
        max_tokens=_integer(body, limit),
        seed=_integer(body, "seed"),
        stream=body.get("stream") is True,
        include_usage=_mapping(body, "stream_options").get("include_usage") is True,
        prompt_sha256=str(own.get("prompt_sha256") or ""),
    )


def _asked(messages: Any) -> str:
    """The text of the one user message."""
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise Refused(400, "`messages` is not a list of messages.")
    told = [one for one in messages if one.get("role") not in ("system", "developer")]
    if [one.get("role") for one in told] != ["user"]:
        raise Refused(
            400, "Send one user message: a role answers one question, through its own prompt."
        )
    content = told[0].get("content")
    if isinstance(content, list):
        parts = [one.get("text") if isinstance(one, dict) else None for one in content]
        texts = [part for part in parts if isinstance(part, str)]
        content = "".join(texts) if len(texts) == len(parts) else None
    if not isinstance(content, str) or not content.strip():
        raise Refused(400, "The user message holds no text.")
    return content


def _mapping(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise Refused(400, f"`{name}` is not an object.")
    return value or {}


def _number(body: Mapping[str, Any], name: str) -> float | None:
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise Refused(400, f"`{name}` is not a number.")
    return value


def _integer(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise Refused(400, f"`{name}` is not a whole number.")
    return value


class Reply:
    """The pieces of one answer: whole, or as the chunks of a stream."""

    def __init__(self, role: str, fingerprint: str) -> None:
        self._head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": role,
            "system_fingerprint": fingerprint,
        }

    def whole(self, generation: Generation, told: Mapping[str, Any]) -> dict[str, Any]:
        """The answer in one; ``told`` stands under ``baft``, which other clients pass over."""
        message = {"role": "assistant", "content": generation.text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": _finish(generation)}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [{**choice, "logprobs": None}],
            "usage": _usage(generation),
            "baft": told,
        }

    def piece(self, text: str, *, is_first: bool = False) -> str:
        """An event with the next piece of the text."""
        delta = {"role": "assistant", "content": text} if is_first else {"content": text}
        return self._chunk([{"index": 0, "delta": delta, "finish_reason": None}])

    def end(self, generation: Generation, *, with_usage: bool) -> str:
        """The events after the last piece."""
        ended = {"index": 0, "delta": {}, "finish_reason": _finish(generation)}
        usage = self._chunk([], usage=_usage(generation)) if with_usage else ""
        return f"{self._chunk([ended])}{usage}data: [DONE]\n\n"

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> str:
        return event({**self._head, "object": "chat.completion.chunk", "choices": choices, **more})


def event(data: Mapping[str, Any]) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(data)}\n\n"


def failed(status: int, message: str, code: str) -> dict[str, Any]:
    """The body of an error, as OpenAI writes it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _finish(generation: Generation) -> str:
    return FINISH.get(generation.finish_reason, "stop")


def _usage(generation: Generation) -> dict[str, int] | None:
    """None where the backend does not count."""
    asked, given = generation.prompt_tokens, generation.completion_tokens
    if asked is None or given is None:
        return None
    return {"prompt_tokens": asked, "completion_tokens": given, "total_tokens": asked + given}
