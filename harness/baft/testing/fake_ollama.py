"""An Ollama server that answers from a table: the same endpoints, replies and errors.

``with FakeOllama({"concept": "answer"}) as server: …`` and a spec that ends in ``@{server.url}``.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from .answers import Answer, Answers, limited
from .fake_models import FakeModel, FakeModels
from .fake_server import FakeServer, as_json, hang_up, line, pieces, send

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web

VERSION = "0.34.1"
"""The server it behaves like."""

WHEN = "2026-01-01T00:00:00Z"


class FakeOllama(FakeServer):
    """Answers ``/api/chat`` and ``/api/generate``, streamed or whole, and what is asked beside.

    Models may be uploaded and made; ``version`` says which quantizations it knows, ``mlx`` whether
    it can import safetensors where that version does so for MLX.
    """

    def __init__(
        self,
        answers: Answers = "An answer.",
        *,
        models: Mapping[str, FakeModel] | None = None,
        version: str = VERSION,
        mlx: bool = True,
    ) -> None:
        super().__init__(answers)
        installed = models or {"mistral:7b-instruct": FakeModel()}
        self.store = FakeModels(installed, version=version, mlx=mlx)
        self.models = self.store.models
        """By full name, tag included; may be changed between requests."""
        self._version_told = version
        self._random = random.Random(0)

    def routes(self) -> Sequence[web.RouteDef]:
        """The endpoints of the native API."""
        from aiohttp import web

        return [
            web.post("/api/chat", self._generate),
            web.post("/api/generate", self._generate),
            web.post("/api/show", self._show),
            web.head("/api/blobs/{digest}", self.store.has_blob),
            web.post("/api/blobs/{digest}", self.store.add_blob),
            web.post("/api/create", self.store.create),
            web.get("/api/tags", self._tags),
            web.get("/api/ps", self._tags),
            web.get("/api/version", self._version),
        ]

    async def _version(self, request: web.Request) -> web.Response:
        return as_json({"version": self._version_told})

    async def _tags(self, request: web.Request) -> web.Response:
        models = [
            {
                "name": name,
                "model": name,
                "modified_at": WHEN,
                "size": 1,
                "digest": model.digest,
                "details": self._details(model),
            }
            for name, model in self.models.items()
        ]
        return as_json({"models": models})

    async def _show(self, request: web.Request) -> web.Response:
        name = str((await request.json()).get("model"))
        model = self._find(name)
        if model is None:
            return as_json({"error": f"model '{name}' not found"}, status=404)
        lines = list(model.parameters)
        self._random.shuffle(lines)
        return as_json(
            {
                "modelfile": "",
                "parameters": "\n".join(lines),
                "template": model.template,
                "details": self._details(model),
                "model_info": {"general.architecture": "llama"},
                "capabilities": ["completion"],
                "modified_at": WHEN,
            }
        )

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        messages = body.get("messages") or []
        prompt = body.get("prompt") or " ".join(m["content"] for m in messages)
        if self._find(str(body.get("model"))) is None:
            problem = f'model "{body.get("model")}" not found, try pulling it first'
            return as_json({"error": problem}, status=404)
        if not prompt:
            return as_json(self._part(request, body, "", {"done": True, "done_reason": "load"}))
        text = messages[-1]["content"] if messages else prompt
        answer = await self._answer(self._asked(request, body, text))
        if answer.cut == "before":
            return hang_up(request)
        if answer.status >= 400:
            failed = {"error": answer.error}
            return as_json(failed, status=answer.status, retry_after=answer.retry_after)
        return await self._send(request, body, prompt, answer)

    async def _send(
        self, request: web.Request, body: Mapping[str, Any], prompt: str, answer: Answer
    ) -> web.StreamResponse:
        options = body.get("options") or {}  # what stands beside it is ignored, as in Ollama
        answer = limited(answer, int(options.get("num_predict", -1)))
        window = int(options.get("num_ctx", 4096))
        streamed = body.get("stream", True)
        if not streamed and answer.error:
            return as_json({"error": answer.error})
        steps = pieces(answer.text) if streamed else [answer.text]
        if answer.error:
            steps = steps[: (len(steps) + 1) // 2]
        parts = [line(self._part(request, body, step, {"done": False})) for step in steps]
        last = {
            "done": True,
            "done_reason": answer.finish_reason,
            "total_duration": 2_000_000,
            "load_duration": int(answer.load_s * 1e9),
            "prompt_eval_count": min(answer.prompt_tokens or len(prompt.split()), window),
            "prompt_eval_duration": 1_000_000,
            "eval_count": len(answer.text.split()),
            "eval_duration": 1_000_000,
        }
        if answer.error:
            parts.append(line({"error": answer.error}))
        elif streamed:
            parts.append(line(self._part(request, body, "", last, answer.thinking)))
        else:
            parts = [line(self._part(request, body, answer.text, last, answer.thinking))]
        kind = "application/x-ndjson" if streamed else "application/json; charset=utf-8"
        cut = answer.cut == "within"
        return await send(request, parts, kind, cut=cut, streamed=bool(streamed))

    def _part(
        self,
        request: web.Request,
        body: Mapping[str, Any],
        text: str,
        rest: Mapping[str, Any],
        thinking: str = "",
    ) -> dict[str, Any]:
        head = {"model": body.get("model"), "created_at": WHEN}
        thought = {"thinking": thinking} if thinking else {}
        if request.path == "/api/generate":
            return {**head, "response": text, **thought, **rest}
        return {**head, "message": {"role": "assistant", "content": text, **thought}, **rest}

    def _find(self, name: str) -> FakeModel | None:
        return self.models.get(name) or self.models.get(f"{name}:latest")

    def _details(self, model: FakeModel) -> dict[str, Any]:
        return {
            "format": "gguf",
            "family": "llama",
            "families": ["llama"],
            "parameter_size": "7.2B",
            "quantization_level": model.quantization,
        }
