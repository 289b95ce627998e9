"""A server with an OpenAI-compatible API: how to reach it, and what its errors mean."""

from __future__ import annotations

import asyncio
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from baft import BackendError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence

T = TypeVar("T")

LOCAL = {"127.0.0.1", "::1", "localhost"}

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=3600)
"""Seconds. The engine has its own total for each request; this only ends what hangs for ever."""

LOOK_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=30)
"""Seconds, for questions about the model, which no model has to answer."""


def uses_proxy(url: str) -> bool:
    """May a proxy of the environment be used? Not for what runs on this machine."""
    return urlsplit(url).hostname not in LOCAL


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine comes to; where a loop runs here already, it gets another one beside it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as beside:
        return beside.submit(asyncio.run, work).result()


def session(
    url: str, headers: Mapping[str, str], timeout: aiohttp.ClientTimeout = TIMEOUT
) -> aiohttp.ClientSession:
    """Connections to the server; the engine bounds how many there are, so the pool does not.

    aiohttp is asked directly: a request takes 0.12 ms of CPU, through httpx 0.40 ms, and the
    clients made for such servers take more on top.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        headers={"content-type": "application/json", **headers},
        timeout=timeout,
        trust_env=uses_proxy(url),
    )


def count(value: object) -> int | None:
    """A number of tokens; None where the server sends none that can be."""
    return value if isinstance(value, int) and 0 <= value < 1 << 62 else None


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The data of server-sent events, up to ``[DONE]``; comments and other fields are passed over.

    Each event is one line, as every server of this API sends it (WHATWG HTML, section 9.2, would
    allow several).
    """
    rest = b""
    async for piece in response.content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            name, _, data = line.strip().partition(b":")
            if name == b"data" and data.strip() == b"[DONE]":
                return
            if name == b"data":
                yield data


def refused(
    response: aiohttp.ClientResponse, content: bytes, url: str, model: str, listed: Sequence[str]
) -> BackendError:
    """What an answer with an error status means; ``listed`` are the models known to be there."""
    status, shown = response.status, content.decode(errors="replace").strip()[:200]
    text = error_text(content) or shown or "no reason given"
    if status == 404:
        nearest = did_you_mean(model, listed) if listed and model not in listed else ""
        hint = f"{nearest} Check the model's name and the base URL, which often ends in /v1."
    else:
        hint = _HINTS.get(status, "")
    return BackendError(
        f"{url} answered {status} for {model!r}: {text}.",
        hint.strip(),
        retryable=status in (408, 429) or status >= 500,
        gone=status in (401, 403, 404),
        retry_after_s=retry_after_s(response.headers),
    )


_HINTS = {
    401: "Set OPENAI_API_KEY to a key that this server takes.",
    403: "Set OPENAI_API_KEY to a key that may use this model.",
}


def error_text(content: bytes) -> str | None:
    """The reason in an error's body: OpenAI nests it, vLLM and TGI have had it flat."""
    try:
        body: Any = json.loads(content)
    except ValueError:
        return None
    if isinstance(body, dict):
        error = body.get("error") or body.get("message") or body.get("detail")
        if isinstance(error, dict):
            error = error.get("message") or error
        return str(error).strip().rstrip(".")[:300] if error else None
    return None


def broken_call(error: Exception, url: str) -> BackendError:
    """What an exception of the client means."""
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return BackendError(
            f"No server answers at {url}.",
            "Start it, or correct the address: openai:MODEL@BASE_URL.",
            retryable=True,  # it may be restarting
            gone=True,
        )
    words = " ".join(str(error).split())[:200] or type(error).__name__
    return BackendError(f"The answer of {url} was lost on its way: {words}.", retryable=True)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: ``Retry-After`` as a number or as a date."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
