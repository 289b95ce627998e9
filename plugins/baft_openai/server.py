"""A server with an OpenAI-compatible API: how to reach it, and what its errors mean."""

from __future__ import annotations

import json
import math
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from baft import BackendError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOCAL = {"127.0.0.1", "::1", "localhost"}

TIMEOUT = httpx.Timeout(connect=10, read=3600, write=60, pool=None)
"""Seconds. The engine has its own total for each request; this only ends what hangs for ever."""

LOOK_TIMEOUT_S = 30.0
"""For questions about the model, which no model has to answer."""


def uses_proxy(url: str) -> bool:
    """May a proxy of the environment be used? Not for what runs on this machine."""
    return urlsplit(url).hostname not in LOCAL


def transport(url: str) -> AiohttpTransport:
    """Connections by aiohttp; the engine bounds how many there are, so the pool does not.

    At 32 requests at once the client takes 1.3 ms of CPU a request this way, and 4.0 ms with
    httpx's own pool.
    """
    return AiohttpTransport(
        client=lambda: aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), trust_env=uses_proxy(url)
        )
    )


def refused(response: httpx.Response, url: str, model: str, listed: Sequence[str]) -> BackendError:
    """What an answer with an error status means; ``listed`` are the models known to be there."""
    status = response.status_code
    text = error_text(response.content) or response.text.strip()[:200] or "no reason given"
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
    if _is_unreachable(error):
        return BackendError(
            f"No server answers at {url}.",
            "Start it, or correct the address: openai:MODEL@BASE_URL.",
            retryable=True,  # it may be restarting
            gone=True,
        )
    words = " ".join(str(error.__cause__ or error).split())[:200] or type(error).__name__
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


def _is_unreachable(error: BaseException | None) -> bool:
    """Was there no connection at all?

    httpx-aiohttp (0.2) raises ``ConnectTimeout`` for broken connections as well; aiohttp's own
    exception under it tells them apart.
    """
    causes = []
    while error is not None:
        causes.append(error)
        error = error.__cause__ or error.__context__
    if any(isinstance(cause, aiohttp.ClientError) for cause in causes):
        never = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
        return any(isinstance(cause, never) for cause in causes)
    never_by_httpx = (httpx.ConnectError, httpx.ConnectTimeout)
    return any(isinstance(cause, never_by_httpx) for cause in causes)
