"""``ollama:MODEL[:TAG][@URL]``: a model on an Ollama server, by its native chat API.

The OpenAI-compatible API of the same server knows no ``num_ctx`` and has other defaults, so that it
would not be the same model. Options always go inside ``options``: Ollama ignores them elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import time
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from baft import BackendError, Decoding, Generation, Prompt, UsageError, did_you_mean, digest

from . import server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from baft import Context

KEEP_ALIVE = "10m"
"""How long the model stays loaded after an answer: longer than any pause within a run."""

FINISH = {"stop": "stop", "length": "length"}

LOADING_S = 1.0
"""From so many seconds on, the time a model took to load is noted."""


def open_backend(target: str, context: Context) -> OllamaBackend:
    """Open ``MODEL[:TAG][@URL]``.

    Raises:
        UsageError: no model, an address that cannot be read, or credentials in the spec.
    """
    model, _, url = target.partition("@")
    if not model:
        raise UsageError(
            "An ollama spec without a model.", "Write ollama:MODEL or ollama:MODEL@URL."
        )
    address = server.read_address(url or context.env.get("OLLAMA_HOST", ""))
    if url and address.auth:
        raise UsageError(
            f"The spec of {model!r} holds a password, which a report would show.",
            "Put it into OLLAMA_HOST: http://NAME:PASSWORD@HOST:PORT.",
        )
    return OllamaBackend(f"ollama:{target}", model, address, context.env.get("OLLAMA_API_KEY"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """What the server says of the model."""

    digest: str
    template: str
    parameters: tuple[str, ...]
    """Lines of the Modelfile, sorted: the server gives them in another order each time."""
    details: Mapping[str, Any]
    server_version: str


class OllamaBackend:
    """Asks one model on one server; belongs to the event loop that asks first."""

    batch_size: int = 1
    max_concurrency: int | None = None

    def __init__(
        self, spec: str, model: str, address: server.Address, api_key: str | None = None
    ) -> None:
        self.spec = spec
        self._model = model
        self._url = address.url
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        if address.auth:
            secret = base64.b64encode(":".join(address.auth).encode()).decode()
            self._headers["authorization"] = f"Basic {secret}"
        self._session: aiohttp.ClientSession | None = None
        self._served: _Served | None = None

    def fingerprint(self) -> str:
        """Hash of the model's digest, its template and its parameters; not of its name.

        Raises:
            BackendError: the server is down or has no such model.
        """
        served = self._look()
        return digest(
            {
                "ollama": served.digest,
                "template": served.template,
                "parameters": served.parameters,
            }
        )

    def describe(self) -> Mapping[str, Any]:
        """The model as the server knows it.

        Raises:
            BackendError: the server is down or has no such model.
        """
        served = self._look()
        return {
            "provider": "ollama",
            "model": self._model,
            "url": self._url,
            "identity": "content",
            "digest": served.digest,
            "family": served.details.get("family"),
            "parameter_size": served.details.get("parameter_size"),
            "quantization": served.details.get("quantization_level"),
            "template_sha256": hashlib.sha256(served.template.encode()).hexdigest(),
            "parameters": list(served.parameters),
            "sampling": "temperature, and the server's top_k and top_p",
            "server_version": served.server_version,
        }

    async def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Generation]:
        """Ask for each prompt.

        Raises:
            BackendError: the server failed; ``retryable`` where another try may help.
        """
        return [await self._ask(prompt, decoding) for prompt in prompts]

    async def close(self) -> None:
        """Close the connections; the model stays loaded for whoever else uses it."""
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
        texts, thoughts = [], []
        with _told_apart(self._url):
            body = self._body(prompt, decoding, stream=True)
            async with aclosing(server.stream(self._connected(), self._url, body)) as parts:
                async for part in parts:
                    message = part["message"]
                    thoughts.append(message.get("thinking") or "")
                    if piece := message.get("content") or "":
                        texts.append(piece)
                        heard(piece)
            message = {"content": "".join(texts), "thinking": "".join(thoughts)}
            return _generation({**part, "message": message}, prompt, decoding, started)

    async def _ask(self, prompt: Prompt, decoding: Decoding) -> Generation:
        started = time.perf_counter()
        with _told_apart(self._url):
            body = self._body(prompt, decoding, stream=False)
            reply = await server.ask(self._connected(), self._url, body)
            return _generation(reply, prompt, decoding, started)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = server.session(self._url, self._headers)
        return self._session

    def _body(self, prompt: Prompt, decoding: Decoding, *, stream: bool) -> dict[str, Any]:
        return {
            "model": self._model,
            "messages": [{"role": m.role, "content": m.content} for m in prompt.messages],
            "stream": stream,
            "options": {
                "temperature": decoding.temperature,
                "num_predict": decoding.max_tokens,
                "seed": decoding.seed,
                "num_ctx": decoding.num_ctx,
            },
            "keep_alive": KEEP_ALIVE,
        }

    def _look(self) -> _Served:
        if self._served is None:
            with _told_apart(self._url):
                self._served = server.at_once(self._ask_about())
        return self._served

    async def _ask_about(self) -> _Served:
        async with server.session(self._url, self._headers, server.LOOK_TIMEOUT) as asked:

            async def look(path: str, body: Any = None) -> Any:
                return await server.look(asked, self._url, path, self._model, body)

            try:
                return await self._told(look)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise BackendError(
                    f"What answers at {self._url} is no Ollama server.",
                    "Write ollama:MODEL@http://HOST:11434.",
                    gone=True,
                ) from error

    async def _told(self, look: Callable[..., Awaitable[Any]]) -> _Served:
        tags = {tag["name"]: tag for tag in (await look("/api/tags"))["models"]}
        name = _with_tag(self._model)
        if name not in tags:
            raise server.not_pulled(self._url, self._model, did_you_mean(self._model, tags))
        shown = await look("/api/show", {"model": self._model})
        return _Served(
            digest=tags[name]["digest"],
            template=shown.get("template") or "",
            parameters=tuple(sorted((shown.get("parameters") or "").splitlines())),
            details=shown.get("details") or {},
            server_version=(await look("/api/version"))["version"],
        )


def _generation(
    reply: Mapping[str, Any], prompt: Prompt, decoding: Decoding, started: float
) -> Generation:
    """A whole reply as a generation; what is missing in it raises."""
    text = reply["message"].get("content") or ""
    if not isinstance(text, str):
        raise TypeError("no text")
    return Generation(
        example_id=prompt.example_id,
        text=text,
        finish_reason=FINISH.get(str(reply.get("done_reason")), "unknown"),  # type: ignore[arg-type]
        prompt_tokens=server.count(reply.get("prompt_eval_count")),
        completion_tokens=server.count(reply.get("eval_count")),
        latency_s=time.perf_counter() - started,
        notes=tuple(_notes(reply, text, decoding.num_ctx)),
    )


@contextmanager
def _told_apart(url: str) -> Iterator[None]:
    """Turn what the clients raise into a ``BackendError``."""
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        raise server.broken_call(error, url) from error
    except UnicodeEncodeError as error:
        raise BackendError("The prompt holds half a character (a lone surrogate).") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BackendError(
            f"{url} sent an answer that is cut off or none.", retryable=True
        ) from error


def _with_tag(model: str) -> str:
    """The name as the server lists it: ``latest`` where no tag is given."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def _notes(reply: Mapping[str, Any], text: str, num_ctx: int) -> Iterator[str]:
    if not text.strip():
        yield "The answer is empty."
    thinking = reply["message"].get("thinking")
    if thinking:
        yield f"Thinking of {len(str(thinking))} characters is not part of the answer."
    if "<think>" in text:
        yield "The answer holds a thinking block."
    if reply.get("done_reason") not in FINISH:
        yield f"The server ended the answer with {reply.get('done_reason')!r:.200}."
    prompt_tokens = server.count(reply.get("prompt_eval_count")) or 0
    if _looks_cut(prompt_tokens, num_ctx):
        yield (
            f"The prompt may have been cut in silence: {prompt_tokens} tokens of it were "
            f"read with num_ctx {num_ctx}."
        )
    loading_s = (server.count(reply.get("load_duration")) or 0) / 1e9
    if loading_s > LOADING_S:
        yield f"{loading_s:.1f} s of the latency went into loading the model."


def _looks_cut(prompt_tokens: int, num_ctx: int) -> bool:
    """Is the count close to the window, or to the half that a shift of the window leaves?

    Ollama cuts without a word (ollama#3839, #4967, #7987); the counts are all there is to see.
    """
    near = max(2, num_ctx // 200)
    return prompt_tokens >= num_ctx - near or abs(prompt_tokens - num_ctx // 2) <= near
