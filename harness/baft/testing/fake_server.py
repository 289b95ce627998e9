"""A web server on 127.0.0.1 in a thread of its own: what the fake servers have in common."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from ..errors import UsageError
from .answers import Answer, Answers, Asked, answer_to

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web

STEP = 4
"""Words in one part of a streamed answer."""


class FakeServer:
    """Use it as ``with FakeOllama(…) as server``; ``server.url`` is where it listens."""

    def __init__(self, answers: Answers = "An answer.") -> None:
        self.answers: Answers = answers
        """May be changed between requests."""
        self.requests: list[Asked] = []
        """Every request for an answer, in order of arrival."""
        self.url = ""
        self.most_at_once = 0
        """Most requests that were being answered at the same time."""
        self._at_once = 0
        self._attempts: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread

    def __enter__(self) -> Self:
        """Start to listen on a free port.

        Raises:
            UsageError: aiohttp is not installed.
        """
        try:
            import aiohttp.web  # noqa: F401
        except ModuleNotFoundError as error:
            raise UsageError("The fake servers need aiohttp.", "pip install aiohttp") from error
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(timeout=30)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(timeout=30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=30)
        self._loop.close()

    def routes(self) -> Sequence[web.RouteDef]:
        """What the server answers to."""
        raise NotImplementedError("a fake server says what it answers to")

    async def _start(self) -> None:
        from aiohttp import web

        app = web.Application(client_max_size=1 << 30)
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:  # an answer that nobody waits for any more
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _asked(self, request: web.Request, body: Mapping[str, Any], text: str) -> Asked:
        self._attempts[text] += 1
        asked = Asked(
            path=request.path,
            model=str(body.get("model", "")),
            text=text,
            body=body,
            headers={name.lower(): value for name, value in request.headers.items()},
            attempt=self._attempts[text],
        )
        self.requests.append(asked)
        return asked

    async def _answer(self, asked: Asked) -> Answer:
        answer = answer_to(self.answers, asked)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(answer.delay_s)
        finally:
            self._at_once -= 1
        return answer


def as_json(body: object, *, status: int = 200, retry_after: str = "") -> web.Response:
    """A JSON response."""
    from aiohttp import web

    headers = {"Retry-After": retry_after} if retry_after else {}
    return web.json_response(body, status=status, headers=headers)


def hang_up(request: web.Request) -> web.Response:
    """Close the connection without a byte."""
    from aiohttp import web

    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def send(
    request: web.Request, parts: Sequence[bytes], content_type: str, *, cut: bool, streamed: bool
) -> web.StreamResponse:
    """Send the parts of a body; with ``cut`` the connection closes within it."""
    from aiohttp import web

    response = web.StreamResponse(headers={"Content-Type": content_type})
    whole = b"".join(parts)
    if not streamed:
        response.content_length = len(whole)
        parts = [whole]
    await response.prepare(request)
    if cut:
        await response.write(whole[: len(whole) // 2])
        if request.transport is not None:
            request.transport.close()
        return response
    for part in parts:
        await response.write(part)
    await response.write_eof()
    return response


def pieces(text: str) -> list[str]:
    """A text in the parts in which it is streamed."""
    words = text.split(" ")
    steps = [" ".join(words[i : i + STEP]) for i in range(0, len(words), STEP)]
    return [*(step + " " for step in steps[:-1]), steps[-1]]


def line(body: object) -> bytes:
    """One line of JSON."""
    return json.dumps(body).encode() + b"\n"
