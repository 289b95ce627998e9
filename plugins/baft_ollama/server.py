"""An Ollama server: where it is, how to reach it, and what its errors mean."""

from __future__ import annotations

import asyncio
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

import aiohttp

from baft import BackendError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping

T = TypeVar("T")

PORT = 11434
"""Ollama's own default; an address with a scheme gets that scheme's port, as in Ollama."""

LOCAL = {"127.0.0.1", "::1", "localhost"}

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""What a server listens on to be reached from everywhere, and where it is reached from here."""

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=3600)
"""Seconds. The engine has its own total for each request; this only ends what hangs for ever."""

LOOK_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=30)
"""Seconds, for questions about the model, which no model has to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is."""

    url: str
    """Scheme, host, port and path; never credentials."""
    auth: tuple[str, str] | None
    """Name and password for basic authentication."""


def read_address(text: str) -> Address:
    """An address in any form that ``OLLAMA_HOST`` may have.

    >>> read_address("gpu-box").url, read_address("https://gpu-box/ollama/").url
    ('http://gpu-box:11434', 'https://gpu-box:443/ollama')

    Raises:
        UsageError: it is none.
    """
    text = text.strip().strip("\"'")
    scheme, given, rest = text.partition("://")
    if not given:
        scheme, rest = "http", text
    if rest.count(":") > 1 and "[" not in rest and "@" not in rest:
        rest = f"[{rest}]"  # IPv6 without its brackets
    default = {"http": 80, "https": 443}.get(scheme) if given else PORT
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        port = parts.port or default
    except ValueError:
        port = None
    if port is None or parts.query or parts.fragment:
        shown = "" if "@" in text else f" {text!r}"  # before an @ there may be a password
        raise UsageError(
            f"The address{shown} of the Ollama server cannot be read.",
            "Write host, host:port or http://host:port.",
        )
    host = EVERYWHERE.get(parts.hostname or "", parts.hostname or "127.0.0.1")
    host = f"[{host}]" if ":" in host else host
    path = parts.path.strip("/")
    return Address(
        url=f"{scheme}://{host}:{port}" + (f"/{path}" if path else ""),
        auth=(unquote(parts.username), unquote(parts.password or "")) if parts.username else None,
    )


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


async def look(
    session: aiohttp.ClientSession, url: str, path: str, model: str, body: Any = None
) -> Any:
    """What a path answers that tells of models, read as JSON; asked by POST where there is a body.

    Raises:
        BackendError: it is an error.
        aiohttp.ClientError, OSError: the call broke.
        ValueError, RecursionError: the answer is not JSON.
    """
    sent = None if body is None else json.dumps(body).encode()
    method = "GET" if sent is None else "POST"
    async with session.request(method, url + path, data=sent) as response:
        content = await response.read()
    check(response.status, response.headers, content, url, model)
    return json.loads(content)


async def ask(session: aiohttp.ClientSession, url: str, body: Mapping[str, Any]) -> Any:
    """What ``/api/chat`` answers, read as JSON.

    Raises:
        BackendError: it is an error.
        aiohttp.ClientError, OSError: the call broke.
        ValueError, RecursionError: the answer is not JSON, or the prompt no text that can be sent.
    """
    sent = json.dumps(body, ensure_ascii=False).encode()
    async with session.post(f"{url}/api/chat", data=sent) as response:
        content = await response.read()
    _check(response, content, url, body["model"])
    return json.loads(content)


async def stream(
    session: aiohttp.ClientSession, url: str, body: Mapping[str, Any]
) -> AsyncGenerator[Any, None]:
    """What ``/api/chat`` streams, line by line, read as JSON; the last one says ``done``.

    Raises:
        BackendError: it is an error, or the stream ends before it is done.
        aiohttp.ClientError, OSError: the call broke.
        ValueError, RecursionError: a line is not JSON, or the prompt no text that can be sent.
    """
    sent = json.dumps(body, ensure_ascii=False).encode()
    async with session.post(f"{url}/api/chat", data=sent) as response:
        if response.status >= 400:
            _check(response, await response.read(), url, body["model"])
        async for line in _lines(response):
            _check(response, line, url, body["model"])
            part = json.loads(line)
            yield part
            if part.get("done"):
                return
    raise BackendError(f"{url} ended its answer before it was done.", retryable=True)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The lines of a body, however long; aiohttp's own reader refuses those above 128 KiB."""
    rest = b""
    async for piece in response.content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


def _check(response: aiohttp.ClientResponse, content: bytes, url: str, model: str) -> None:
    if response.status >= 400 or content.startswith(b'{"error"'):
        check(response.status, response.headers, content, url, model)


def count(value: object) -> int | None:
    """A number of tokens; None where the server sends none that can be."""
    return value if isinstance(value, int) and 0 <= value < 1 << 62 else None


def check(status: int, headers: Mapping[str, str], content: bytes, url: str, model: str) -> None:
    """Let a good answer pass.

    Raises:
        BackendError: it is none.
    """
    text = _error_text(status, content)
    if status < 400:
        if text is None:
            return
        raise BackendError(f"{url} broke off with an error: {text}.", retryable=True)
    if status == 404 and text is not None:
        raise not_pulled(url, model)
    raise BackendError(
        f"{url} answered {status}: {text or content.decode(errors='replace').strip()[:200]}.",
        _HINTS.get(status, ""),
        retryable=status in (408, 429) or status >= 500,
        gone=status in (401, 403, 404),
        retry_after_s=retry_after_s(headers),
    )


_HINTS = {
    401: "Set OLLAMA_API_KEY, or put name and password into OLLAMA_HOST.",
    403: "Set OLLAMA_API_KEY, or put name and password into OLLAMA_HOST.",
    404: "Is it an Ollama server? Write ollama:MODEL@http://HOST:11434.",
}


def not_pulled(url: str, model: str, nearest: str = "") -> BackendError:
    """The server is there, the model is not."""
    return BackendError(
        f"The Ollama server at {url} has no model {model!r}.",
        f"{nearest} Run `ollama pull {model}`.".strip(),
        gone=True,
    )


def broken_call(error: Exception, url: str) -> BackendError:
    """What an exception of the client means."""
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return unreachable(url)
    words = " ".join(str(error).split())[:200] or type(error).__name__
    return BackendError(f"The answer of {url} was lost on its way: {words}.", retryable=True)


def unreachable(url: str) -> BackendError:
    """There was no connection at all."""
    return BackendError(
        f"No Ollama server answers at {url}.",
        "Start it with `ollama serve`, or name another one: ollama:MODEL@URL or OLLAMA_HOST.",
        retryable=True,  # it may be restarting
        gone=True,
    )


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


def _error_text(status: int, content: bytes) -> str | None:
    """The text under ``error``; a good answer is not parsed for it."""
    if status < 400 and not content.startswith(b'{"error"'):
        return None
    try:
        body: Any = json.loads(content)
    except ValueError:
        return None
    if not (isinstance(body, dict) and body.get("error")):
        return None
    return str(body["error"]).strip().rstrip(".")
