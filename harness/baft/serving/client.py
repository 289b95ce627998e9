"""Asking a running server: one connection to this machine's loopback, by no proxy."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

from ..errors import BackendError, DataError
from ..records import Generation
from ..store.codec import from_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .question import Question
    from .running import Running

CHECK_S = 5.0
"""Seconds in which a living server says that it lives, even while it computes."""

ANSWER_S = 3600.0
"""Seconds that an answer may take; whoever asks has a limit of its own."""

MOST = 64 * 2**20
"""Bytes of an answer that are read at most."""


class Unusable(Exception):
    """The server cannot be asked; another way to the answer is left."""

    def __init__(self, running: Running, why: str, *, is_gone: bool = False) -> None:
        super().__init__(f"The server of process {running.pid} at {running.url} {why}")
        self.running = running
        self.is_gone = is_gone


def check(running: Running) -> None:
    """Does it live, and is it the server that is noted?

    Raises:
        Unusable: no.
    """
    status, reply = _request(running, "GET", "/health", timeout_s=CHECK_S)
    if status == 503:
        raise Unusable(running, f"is not used: {_reason(reply)}")
    if status != 200 or reply.get("fingerprint") != running.fingerprint:
        raise Unusable(running, "has gone; another one is there.", is_gone=True)


def complete(running: Running, inputs: Mapping[str, Any], asked: Question) -> Generation:
    """The server's answer.

    Raises:
        Unusable: it was lost, or the server would have asked something else.
        BackendError: the model cannot answer.
    """
    decoding = asked.decoding
    body = {
        "model": running.role,
        "messages": [{"role": "user", "content": str(next(iter(inputs.values())))}],
        "temperature": decoding.temperature,
        "max_tokens": decoding.max_tokens,
        "seed": decoding.seed,
        "baft": {"inputs": dict(inputs), "prompt_sha256": asked.prompt_sha256},
    }
    status, reply = _request(
        running, "POST", "/v1/chat/completions", json.dumps(body), timeout_s=ANSWER_S
    )
    if status == 502:
        raise BackendError(_reason(reply), retryable=True)
    if status != 200:
        raise Unusable(running, f"refused ({status}): {_reason(reply)}")
    try:
        return from_data(Generation, reply["baft"]["generation"], f"The answer of {running.url}")
    except (KeyError, TypeError, DataError) as error:
        raise Unusable(running, "sent no answer of baft's.") from error


def _request(
    running: Running, method: str, path: str, body: str | None = None, *, timeout_s: float
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=timeout_s)
    headers = {"authorization": f"Bearer {running.key}", "content-type": "application/json"}
    try:
        connection.request(method, path, body and body.encode(), headers)
        response = connection.getresponse()
        reply = json.loads(response.read(MOST))
        return response.status, reply if isinstance(reply, dict) else {}
    except ConnectionRefusedError as error:
        raise Unusable(running, "is gone.", is_gone=True) from error
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        words = str(error) or type(error).__name__
        raise Unusable(running, f"does not answer: {words}.") from error
    finally:
        connection.close()


def _reason(reply: Mapping[str, Any]) -> str:
    error = reply.get("error")
    return str(error.get("message") if isinstance(error, dict) else error)[:1000]
