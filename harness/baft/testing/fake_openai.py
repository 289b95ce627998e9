"""An OpenAI-compatible server that answers from a table: chat completions and the model list.

``with FakeOpenAI({"concept": "answer"}) as server: …`` and a spec ending in ``@{server.url}/v1``.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from .answers import Answer, Answers, limited
from .fake_server import FakeServer, as_json, hang_up, line, pieces, send

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web


class FakeOpenAI(FakeServer):
    """Answers ``/v1/chat/completions``, streamed or whole, and ``/v1/models``."""

    def __init__(
        self,
        answers: Answers = "An answer.",
        *,
        models: Mapping[str, Mapping[str, Any]] | None = None,
        api_key: str | None = None,
    ) -> None:
        super().__init__(answers)
        self.models = dict(models or {"tiny": {"root": "org/tiny", "max_model_len": 4096}})
        """What is listed beside each name; may be changed between requests."""
        self.api_key = api_key
        """The only key that is taken; None takes all."""

    def routes(self) -> Sequence[web.RouteDef]:
        """The endpoints, under ``/v1`` as everywhere."""
        from aiohttp import web

        return [
            web.post("/v1/chat/completions", self._complete),
            web.get("/v1/models", self._list),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        if self._is_stranger(request):
            return _failed("Incorrect API key provided.", 401)
        now = int(time.time() * 1000)  # vLLM, too, gives another one each time
        entries = [
            {"id": name, "object": "model", "created": now, "owned_by": "fake", **entry}
            for name, entry in self.models.items()
        ]
        return as_json({"object": "list", "data": entries})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        if self._is_stranger(request):
            return _failed("Incorrect API key provided.", 401)
        body = await request.json()
        if body.get("model") not in self.models:
            return _failed(f"The model `{body.get('model')}` does not exist.", 404)
        if not body.get("messages"):
            return _failed("messages must not be empty", 400)
        text = body["messages"][-1]["content"]
        answer = await self._answer(self._asked(request, body, text))
        if answer.cut == "before":
            return hang_up(request)
        if answer.status >= 400:
            return _failed(answer.error, answer.status, answer.retry_after)
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or -1
        return await self._send(request, body, limited(answer, int(limit)))

    async def _send(
        self, request: web.Request, body: Mapping[str, Any], answer: Answer
    ) -> web.StreamResponse:
        cut = answer.cut == "within"
        if body.get("stream"):
            parts = _events(body, answer)
            return await send(request, parts, "text/event-stream", cut=cut, streamed=True)
        if answer.error:
            return as_json({"error": {"message": answer.error, "type": "server_error"}})
        message = {"role": "assistant", "content": answer.text}
        if answer.thinking:
            message["reasoning_content"] = answer.thinking
        choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
        whole = line(
            {**_head(body, "chat.completion"), "choices": [choice], "usage": _usage(body, answer)}
        )
        return await send(request, [whole], "application/json", cut=cut, streamed=False)

    def _is_stranger(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        return self.api_key is not None and given != f"Bearer {self.api_key}"


def _failed(text: str, status: int, retry_after: str = "") -> web.Response:
    error = {"message": text, "type": "invalid_request_error", "param": None, "code": status}
    return as_json({"error": error}, status=status, retry_after=retry_after)


def _head(body: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 0, "model": body.get("model")}


def _usage(body: Mapping[str, Any], answer: Answer) -> dict[str, int]:
    asked = sum(len(str(message["content"]).split()) for message in body["messages"])
    asked = answer.prompt_tokens or asked
    given = len(answer.text.split())
    return {"prompt_tokens": asked, "completion_tokens": given, "total_tokens": asked + given}


def _events(body: Mapping[str, Any], answer: Answer) -> list[bytes]:
    """The answer as server-sent events, which end with ``[DONE]``, or with an error."""
    head = _head(body, "chat.completion.chunk")
    steps = pieces(answer.text)
    thought = [{"reasoning_content": answer.thinking}] if answer.thinking else []
    if answer.error:
        steps = steps[: (len(steps) + 1) // 2]
    bodies: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in (*thought, *({"content": step} for step in steps))
    ]
    if answer.error:
        bodies.append({"error": {"message": answer.error, "type": "server_error"}})
        return [f"data: {json.dumps(part)}\n\n".encode() for part in bodies]
    end = {"index": 0, "delta": {}, "finish_reason": answer.finish_reason}
    bodies.append({**head, "choices": [end]})
    if (body.get("stream_options") or {}).get("include_usage"):
        bodies.append({**head, "choices": [], "usage": _usage(body, answer)})
    return [*(f"data: {json.dumps(part)}\n\n".encode() for part in bodies), b"data: [DONE]\n\n"]
