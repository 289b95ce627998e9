"""The model in service behind an OpenAI-compatible endpoint, for ``baft serve``.

``transformers serve`` (5.23) was looked at first and could not be used: it puts no PEFT adapter on
a base, sends messages as they come where the prompt of the evaluation is meant, knows no DSPy
program, and checks neither key nor host. So the backends that were evaluated answer here too.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ..errors import BackendError, BaftError
from ..loopback import foreign
from ..promotion import in_service, read_config
from ..store.codec import finite, to_data
from .question import answered, question
from .wire import Refused, Reply, event, failed, read_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ..loader import Plugins
    from ..promotion import InService
    from ..protocols import Backend, Role
    from ..records import Generation
    from .question import Question
    from .running import Running
    from .wire import ChatRequest

MOST = 8 * 2**20
"""Bytes of a request; the longest context of today's models is about a million tokens, 4 MB."""

MOST_AT_ONCE = 32
"""Questions that a backend without a limit of its own is asked at the same time."""

LOOK_S = 1.0
"""Seconds between two looks whether a client still waits."""

ALIVE_S = 15.0
"""Seconds of silence after which a stream says that it lives."""


class Endpoint:
    """Answers for one role with the model that was in service when it was started."""

    def __init__(
        self, plugins: Plugins, *, config: Path, role: Role, backend: Backend, running: Running
    ) -> None:
        self._plugins = plugins
        self._config = config
        self._role = role
        self._backend = backend
        self._running = running
        self._turns = asyncio.Semaphore(backend.max_concurrency or MOST_AT_ONCE)
        self._answers: set[asyncio.Task[Generation]] = set()

    def stop(self) -> None:
        """Give up what is being answered; whoever waits is told."""
        for answer in self._answers:
            answer.cancel()

    async def health(self, request: Request) -> Response:
        """Whether the model that is loaded is still the one in service."""
        try:
            await self._service()
        except Refused as error:
            return _error(503, str(error), error.code)
        found = {"role": self._role.name, "fingerprint": self._running.fingerprint}
        return _json({"status": "ok", **found})

    async def models(self, request: Request) -> Response:
        """The one model, under the name of its role."""
        known = {
            "id": self._role.name,
            "object": "model",
            "created": 0,
            "owned_by": "baft",
            "spec": self._running.spec,
            "fingerprint": self._running.fingerprint,
        }
        return _json({"object": "list", "data": [known]})

    async def complete(self, request: Request) -> Response:
        """Answer a question, whole or as a stream."""
        try:
            asking = read_request(await _body(request), self._role)
            service = await self._service()
            asked = self._question(asking, service)
            reply = Reply(self._role.name, self._running.fingerprint)
            if asking.stream:
                events = self._events(asked, reply, with_usage=asking.include_usage)
                return StreamingResponse(events, media_type="text/event-stream")
            generation = await _while_waiting(request, self._start(asked))
        except Refused as error:
            return _error(error.status, str(error), error.code)
        except BackendError as error:
            return _error(502, str(error), "model_failed")
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        told = {"spec": self._running.spec, "generation": to_data(generation)}
        return _json(reply.whole(generation, told))

    async def _service(self) -> InService:
        """What the configuration has in service now, which must be what is loaded."""
        try:
            service = await asyncio.to_thread(self._read)
        except BaftError as error:
            raise Refused(503, str(error), "not_in_service") from error
        outdated = self._running.outdated(service.spec)
        if outdated:
            why = f"The server is out of date: {outdated}. Start `baft serve` again."
            raise Refused(410, why, "not_in_service")
        return service

    def _read(self) -> InService:
        return in_service(read_config(self._config), self._role.name, self._plugins)

    def _question(self, asking: ChatRequest, service: InService) -> Question:
        try:
            asked = question(
                self._role,
                service,
                asking.inputs,
                temperature=asking.temperature,
                max_tokens=asking.max_tokens,
                seed=asking.seed,
            )
        except BaftError as error:
            raise Refused(400, str(error)) from error
        if asking.prompt_sha256 not in ("", asked.prompt_sha256):
            why = "The server renders another prompt than its client. Start `baft serve` again."
            raise Refused(410, why, "other_prompt")
        return asked

    def _start(
        self, asked: Question, heard: Callable[[str], None] | None = None
    ) -> asyncio.Task[Generation]:
        async def answer() -> Generation:
            async with self._turns:
                return await answered(self._backend, asked, heard)

        task = asyncio.create_task(answer())
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)
        return task

    async def _events(
        self, asked: Question, reply: Reply, *, with_usage: bool
    ) -> AsyncIterator[str]:
        """The answer as it is written; all at once where the backend tells it at the end."""
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def heard(piece: str) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        answer = self._start(asked, heard)
        answer.add_done_callback(lambda _: pieces.put_nowait(None))
        said = ""
        try:
            yield reply.piece("", is_first=True)
            while True:
                try:
                    piece = await asyncio.wait_for(pieces.get(), ALIVE_S)
                except TimeoutError:
                    yield ": still writing\n\n"
                    continue
                if piece is None:
                    break
                said += piece
                yield reply.piece(piece)
            generation = _result(answer)
            if len(generation.text) > len(said):
                yield reply.piece(generation.text[len(said) :])
            yield reply.end(generation, with_usage=with_usage)
        except BackendError as error:
            yield event(failed(502, str(error), "model_failed"))
        except Refused as error:
            yield event(failed(error.status, str(error), error.code))
        finally:
            answer.cancel()


class Door:
    """ASGI middleware before everything else: who may ask.

    Args:
        app: what answers.
        port: where it listens; part of every valid ``Host``.
        keys: any of them opens; none are needed where the first is empty.
    """

    def __init__(self, app: ASGIApp, *, port: int, keys: tuple[str, ...]) -> None:
        self.app = app
        self._port = port
        self._keys = [key.encode() for key in keys] if keys and keys[0] else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a good request on; answer every other one here."""
        refused = self._refusal(Request(scope)) if scope["type"] == "http" else None
        await (refused or self.app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        refused = foreign(request, self._port)
        if refused is not None:
            return _error(*refused, "foreign_request")
        if not self._keys or request.url.path == "/health":
            return None
        given = request.headers.get("authorization", "").encode("latin-1")
        scheme, _, key = given.partition(b" ")
        if scheme.lower() != b"bearer" or not any(
            hmac.compare_digest(key.strip(), known) for known in self._keys
        ):
            why = "Incorrect API key; it is that of `baft serve --api-key` or BAFT_API_KEY."
            return _error(401, why, "invalid_api_key")
        return None


def make_app(endpoint: Endpoint, *, port: int, api_key: str, own_key: str) -> ASGIApp:
    """The server's application.

    Args:
        endpoint: what answers.
        port: where it listens.
        api_key: what clients must bring; empty where none is needed.
        own_key: opens too; the one in the server's note.
    """
    routes = [
        Route("/v1/chat/completions", endpoint.complete, methods=["POST"]),
        Route("/v1/models", endpoint.models, methods=["GET"]),
        Route("/health", endpoint.health, methods=["GET"]),
    ]
    return Door(Starlette(routes=routes), port=port, keys=(api_key, own_key))


async def _body(request: Request) -> bytes:
    """The body of a request, if it is JSON of a bearable size."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # which a page of another site cannot send unasked
        raise Refused(415, "Send JSON: content-type application/json.")
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > MOST:
            raise Refused(413, f"The request is larger than {MOST // 2**20} MiB.")
    return bytes(raw)


async def _while_waiting(request: Request, answer: asyncio.Task[Generation]) -> Generation:
    """The answer; given up when the client has gone."""
    try:
        while not (await asyncio.wait({answer}, timeout=LOOK_S))[0]:
            if await request.is_disconnected():
                raise ClientDisconnect
        return _result(answer)
    finally:
        answer.cancel()


def _result(answer: asyncio.Task[Generation]) -> Generation:
    """What came of a task that is done."""
    if answer.cancelled():
        raise Refused(503, "The server is stopping.", "stopping")
    return answer.result()


def _error(status: int, message: str, code: str) -> Response:
    return _json(failed(status, message, code), status)


def _json(data: Any, status: int = 200) -> Response:
    """JSON that any model's text fits into, half characters too."""
    return Response(json.dumps(finite(data)), status, media_type="application/json")
