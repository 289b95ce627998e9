"""What a fake Ollama server has installed: models, uploaded blobs, and making models of blobs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..records import digest
from .fake_server import as_json, hang_up, line

if TYPE_CHECKING:
    from aiohttp import web

QUANTIZATIONS = {
    False: ("q4_0", "q4_K_S", "q4_K_M", "q5_K_M", "q6_K", "q8_0"),
    True: ("int4", "int8", "nvfp4", "mxfp4", "mxfp8"),
}
"""By whether weights are imported for MLX, as they are from 0.34 on, or made into a GGUF."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeModel:
    """A model that is installed on the fake server."""

    weights: str = "weights"
    """Stands for the weights; the digest is made of it and of the rest."""
    template: str = "{{ .System }} [INST] {{ .Prompt }} [/INST]"
    parameters: tuple[str, ...] = ('stop "[INST]"', 'stop "[/INST]"')
    """Lines as ``/api/show`` gives them, there in another order each time."""
    quantization: str = "Q4_0"
    files: Mapping[str, str] = field(default_factory=dict)
    """Digest of each file that it was made of; empty where it was not uploaded."""

    @property
    def digest(self) -> str:
        """What ``/api/tags`` says."""
        return digest([self.weights, self.template, list(self.parameters), self.quantization])

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """What the model reads for the last user turn, without a begin token."""
        texts = {message["role"]: message["content"] for message in messages}
        values = {"System": texts.get("system", ""), "Prompt": texts.get("user", "")}
        return render(self.template, {**values, "Response": ""})


class FakeModels:
    """Blobs and models; answers ``/api/blobs`` and ``/api/create`` as Ollama does."""

    def __init__(self, models: Mapping[str, FakeModel], *, version: str, mlx: bool) -> None:
        self.models = dict(models)
        self.blobs: dict[str, bytes] = {}
        """By digest, ``sha256:`` in front."""
        self.uploads: list[str] = []
        """Digest of every upload that began."""
        self.drops = 0
        """So many of the next uploads lose their connection half-way."""
        self.create_error = ""
        """Comes in the middle of the next creations."""
        self._for_mlx = tuple(int(n) for n in version.split(".")[:2]) >= (0, 34)
        self._has_mlx = mlx

    async def has_blob(self, request: web.Request) -> web.Response:
        """``HEAD /api/blobs/DIGEST``."""
        name = request.match_info["digest"]
        if not _is_digest(name):
            return as_json({"error": "invalid digest format"}, status=400)
        if name in self.blobs:
            return as_json(None)
        return as_json({"error": f'blob "{name}" not found'}, status=404)

    async def add_blob(self, request: web.Request) -> web.Response:
        """``POST /api/blobs/DIGEST``: what arrives is hashed, and refused if it is another."""
        name = request.match_info["digest"]
        if not _is_digest(name):
            return as_json({"error": "invalid digest format"}, status=400)
        self.uploads.append(name)
        if name in self.blobs:
            return as_json(None)
        if self.drops:
            self.drops -= 1
            await request.content.readany()
            return hang_up(request)
        content = await request.read()
        found = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if found != name:
            problem = f'digest mismatch, expected "{name}", got "{found}"'
            return as_json({"error": problem}, status=400)
        self.blobs[name] = content
        return as_json(None, status=201)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """``POST /api/create`` from uploaded files: statuses line by line, errors among them."""
        from aiohttp import web

        body = await request.json()
        problem = self._problem(body)
        if problem:
            return as_json({"error": problem}, status=400)
        steps = list(self._steps(body))
        if body.get("stream", True) is False:
            return as_json(steps[-1], status=steps[-1].pop("status_code", 200))
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for step in steps:
            await response.write(line(step))
        await response.write_eof()
        return response

    def _problem(self, body: Mapping[str, Any]) -> str:
        """Why a request is refused before anything is done; empty where it is not."""
        files = body.get("files") or {}
        types = QUANTIZATIONS[self._for_mlx]
        quantize = body.get("quantize")
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*(:[\w.-]+)?", str(body.get("model") or "")):
            return "invalid model name"
        if body.get("adapters"):
            return "LoRA adapters are no longer supported"
        if not files:
            return "neither 'from' or 'files' was specified"
        for name, found in files.items():
            if found not in self.blobs:
                return f"blob not found for {name} (digest {found}): file does not exist"
        if quantize and _is_gguf(files):
            return "create-time quantization is only supported for safetensors imports"
        if quantize and quantize not in types:
            return f'unsupported quantize type "{quantize}": supported types are {", ".join(types)}'
        try:
            render(str(body.get("template", "")), {"System": "", "Prompt": "", "Response": ""})
        except ValueError as error:
            return f"template error: {error}"
        return ""

    def _steps(self, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        files = body["files"]
        if not _is_gguf(files) and self._for_mlx and not self._has_mlx:
            yield {"error": "MLX runtime is unavailable", "status": 503}
            return
        yield {"status": "parsing GGUF" if _is_gguf(files) else "converting model"}
        if self.create_error:
            yield {"error": self.create_error, "status": 400}
            return
        if body.get("quantize"):
            yield {"status": f"quantizing to {body['quantize']}", "completed": 1, "total": 2}
        for found in files.values():
            yield {"status": f"using existing layer {found}"}
        yield {"status": "writing manifest"}
        name = body["model"] if ":" in body["model"] else f"{body['model']}:latest"
        self.models[name] = FakeModel(
            weights=digest(dict(files)),
            template=body.get("template", ""),
            parameters=tuple(_parameter_lines(body.get("parameters") or {})),
            quantization=body.get("quantize") or "F16",
            files=dict(files),
        )
        yield {"status": "success"}


def render(template: str, values: Mapping[str, str]) -> str:
    r"""A template of the Go kind: fields, quoted text, and ``if FIELD … else … end``.

    >>> render("{{ if .System }}S {{ .System }}{{ else }}{{ \"none\" }}{{ end }}.", {"System": ""})
    'none.'

    Raises:
        ValueError: it holds anything else.
    """
    out: list[str] = []
    shown = [True]
    position = 0
    for found in re.finditer(r'\{\{ (?:("(?:[^"\\]|\\.)*")|(.*?)) \}\}', template, re.S):
        text, (quoted, action) = template[position : found.start()], found.groups()
        position = found.end()
        if all(shown):
            out.append(text)
        if action is not None and action.startswith("if ."):
            shown.append(bool(_field(values, action[3:])))
        elif action == "else" and len(shown) > 1:
            shown[-1] = not shown[-1]
        elif action == "end" and len(shown) > 1:
            shown.pop()
        elif all(shown):
            out.append(json.loads(quoted) if quoted else _field(values, action))
    rest = template[position:]
    if "{{" in rest or len(shown) > 1:
        raise ValueError("unexpected end of the template")
    return "".join([*out, rest])


def _field(values: Mapping[str, str], action: str) -> str:
    if action.removeprefix(".") not in values:
        raise ValueError(f"{action!r} is not known")
    return values[action.removeprefix(".")]


def _parameter_lines(parameters: Mapping[str, Any]) -> Iterator[str]:
    """As ``/api/show`` prints them: one line for each value, texts in quotes."""
    for name, value in parameters.items():
        for one in value if isinstance(value, list) else [value]:
            yield f"{name:<30} {json.dumps(one, ensure_ascii=False)}"


def _is_digest(text: str) -> bool:
    return re.fullmatch(r"sha256[:-][0-9a-f]{64}", text) is not None


def _is_gguf(files: Mapping[str, str]) -> bool:
    return any(name.endswith(".gguf") for name in files)
