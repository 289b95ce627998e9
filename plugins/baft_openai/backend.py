"""``openai:MODEL@BASE_URL``: a model behind an OpenAI-compatible chat API."""

from __future__ import annotations

import json
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from baft import BackendError, Decoding, Generation, Prompt, UsageError, digest

from . import server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from baft import Context

SPEC = re.compile(r"(?P<model>.+?)@(?P<url>https?://\S+)")
"""Names of models may hold an ``@`` of their own; the URL's scheme tells which one is meant."""

FINISH = {"stop": "stop", "length": "length"}

VOLATILE = {"created", "permission"}
"""Keys of an entry of the model list that some servers fill anew for each request."""


def open_backend(target: str, context: Context) -> OpenAIBackend:
    """Open ``MODEL@BASE_URL``; the key is ``OPENAI_API_KEY``.

    Raises:
        UsageError: no model, no URL, or credentials in the spec.
    """
    found = SPEC.fullmatch(target)
    if found is None:
        raise UsageError(
            f"The spec 'openai:{target.partition('@')[0]}…' is not MODEL@BASE_URL.",
            "Write openai:MODEL@http://HOST:PORT/v1.",
        )
    parts = urlsplit(found["url"])
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"The base URL of {found['model']!r} holds a password or a query, which a report "
            "would show.",
            "Write it without, and put the key into OPENAI_API_KEY.",
        )
    url = urlunsplit(parts).rstrip("/")
    key = context.env.get("OPENAI_API_KEY") or "none"
    return OpenAIBackend(f"openai:{target}", found["model"], url, key)


class OpenAIBackend:
    """Asks one model on one server; belongs to the event loop that asks first."""

    batch_size: int = 1
    max_concurrency: int | None = None

    def __init__(self, spec: str, model: str, url: str, key: str) -> None:
        self.spec = spec
        self._model = model
        self._url = url
        self._headers = {"authorization": f"Bearer {key}"}
        self._session: aiohttp.ClientSession | None = None
        self._entries: dict[str, Mapping[str, Any]] | None = None

    def fingerprint(self) -> str:
        """Hash of name, base URL and what the server lists: the content cannot be known.

        Raises:
            BackendError: the server is down or takes no such key.
        """
        return digest({"model": self._model, "url": self._url, "entry": self._entry()})

    def describe(self) -> Mapping[str, Any]:
        """The model as far as it is known; ``listed`` is None where the server lists nothing.

        Raises:
            BackendError: the server is down or takes no such key.
        """
        entry = self._entry()
        return {
            "provider": "openai",
            "model": self._model,
            "url": self._url,
            "identity": "name only",
            "listed": self._model in self._entries if self._entries else None,
            "entry": entry,
            "sampling": "temperature, and the server's top_k and top_p",
        }

    async def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Generation]:
        """Ask for each prompt.

        Raises:
            BackendError: the server failed; ``retryable`` where another try may help.
        """
        return [await self._ask(prompt, decoding) for prompt in prompts]

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def stream(
        self, prompt: Prompt, decoding: Decoding, heard: Callable[[str], None]
    ) -> Generation:
        """As ``generate`` for one prompt, telling the text while it is written.

        Raises:
            BackendError: as ``generate``.
        """
        started = time.perf_counter()
        parts = _Parts(heard)
        body = {**self._body(prompt, decoding), "stream": True}
        with self._told_apart():
            async with self._post({**body, "stream_options": {"include_usage": True}}) as response:
                if response.status >= 400:
                    self._check(response, await response.read())
                async for event in server.events(response):
                    parts.add(self._read(event))
            if parts.finish_reason is None:
                raise BackendError(
                    f"{self._url} ended its answer before it was done.", retryable=True
                )
            return _generation(parts.whole(), prompt, started)

    async def _ask(self, prompt: Prompt, decoding: Decoding) -> Generation:
        started = time.perf_counter()
        with self._told_apart():
            async with self._post(self._body(prompt, decoding)) as response:
                content = await response.read()
            self._check(response, content)
            return _generation(self._read(content), prompt, started)

    def _body(self, prompt: Prompt, decoding: Decoding) -> dict[str, Any]:
        return {
            "model": self._model,
            "messages": [{"role": m.role, "content": m.content} for m in prompt.messages],
            "temperature": decoding.temperature,
            "max_tokens": decoding.max_tokens,
            "seed": decoding.seed,
        }

    def _post(self, body: Mapping[str, Any]) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """The request; it is sent when it is entered."""
        if self._session is None:
            self._session = server.session(self._url, self._headers)
        sent = json.dumps(body, ensure_ascii=False).encode()
        return self._session.post(f"{self._url}/chat/completions", data=sent)

    def _check(self, response: aiohttp.ClientResponse, content: bytes) -> None:
        if response.status >= 400:
            listed = list(self._entries or {})
            raise server.refused(response, content, self._url, self._model, listed)

    def _read(self, content: bytes) -> Any:
        """A reply or a part of one, read as JSON."""
        try:
            reply = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BackendError(
                f"{self._url} sent an answer that is cut off or none.", retryable=True
            ) from error
        if isinstance(reply, dict) and reply.get("error"):
            text = server.error_text(content)
            raise BackendError(f"{self._url} broke off with an error: {text}.", retryable=True)
        return reply

    @contextmanager
    def _told_apart(self) -> Iterator[None]:
        """Turn what the client raises, and what a reply of another shape does, into our errors."""
        try:
            yield
        except (aiohttp.ClientError, OSError) as error:
            raise server.broken_call(error, self._url) from error
        except UnicodeEncodeError as error:
            raise BackendError("The prompt holds half a character (a lone surrogate).") from error
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise BackendError(f"{self._url} sent no chat answer.", retryable=True) from error

    def _entry(self) -> Mapping[str, Any]:
        """What the server lists for the model, less what changes from one request to the next."""
        if self._entries is None:
            self._entries = server.at_once(self._list())
        entry = self._entries.get(self._model, {})
        return {key: value for key, value in entry.items() if key not in VOLATILE}

    async def _list(self) -> dict[str, Mapping[str, Any]]:
        """The server's models by name; none where it lists none."""
        try:
            async with (
                server.session(self._url, self._headers, server.LOOK_TIMEOUT) as asked,
                asked.get(f"{self._url}/models") as response,
            ):
                content = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise server.broken_call(error, self._url) from error
        if response.status in (404, 405, 501):
            return {}
        if response.status >= 400:
            raise server.refused(response, content, self._url, self._model, [])
        try:
            return {str(entry["id"]): entry for entry in json.loads(content)["data"]}
        except (ValueError, KeyError, TypeError):
            return {}


class _Parts:
    """A streamed answer as it grows."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        self.finish_reason: object = None
        self._heard = heard
        self._texts: dict[str, list[str]] = {}
        self._usage: Any = None

    def add(self, part: Mapping[str, Any]) -> None:
        """One event; the last one holds the usage and no choice."""
        self._usage = part.get("usage") or self._usage
        for choice in part["choices"][:1]:
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            for name in ("content", "reasoning_content", "reasoning", "refusal"):
                piece = choice["delta"].get(name)
                if piece:
                    self._texts.setdefault(name, []).append(piece)
                    if name == "content":
                        self._heard(piece)

    def whole(self) -> dict[str, Any]:
        """The answer as if it had come at once."""
        message = {name: "".join(pieces) for name, pieces in self._texts.items()}
        choice = {"message": message, "finish_reason": self.finish_reason}
        return {"choices": [choice], "usage": self._usage}


def _generation(reply: Mapping[str, Any], prompt: Prompt, started: float) -> Generation:
    """A whole reply as a generation; what is missing in it raises."""
    choice, usage = reply["choices"][0], reply.get("usage") or {}
    text = choice["message"].get("content") or ""
    if not isinstance(text, str):
        raise TypeError("no text")
    return Generation(
        example_id=prompt.example_id,
        text=text,
        finish_reason=FINISH.get(str(choice.get("finish_reason")), "unknown"),  # type: ignore[arg-type]
        prompt_tokens=server.count(usage.get("prompt_tokens")),
        completion_tokens=server.count(usage.get("completion_tokens")),
        latency_s=time.perf_counter() - started,
        notes=tuple(_notes(choice, text)),
    )


def _notes(choice: Mapping[str, Any], text: str) -> Iterator[str]:
    message = choice["message"]
    if not text.strip():
        yield "The answer is empty."
    thinking = message.get("reasoning_content") or message.get("reasoning")
    if thinking:
        yield f"Thinking of {len(str(thinking))} characters is not part of the answer."
    if "<think>" in text:
        yield "The answer holds a thinking block."
    if message.get("refusal"):
        yield f"The model refused: {str(message['refusal'])[:200]}"
    if choice.get("finish_reason") not in FINISH:
        yield f"The server ended the answer with {choice.get('finish_reason')!r:.200}."
