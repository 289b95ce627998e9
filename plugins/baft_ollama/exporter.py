"""A merged model onto an Ollama server: files as blobs, then one model made of them.

The API is the one of ``ollama create`` (docs/api.md, "Create a model"), so the server may be
anywhere. Template and parameters are explicit: a guessed template is the usual way to serve another
model than the one that was measured (ollama#6823, LLaMA-Factory#6020).
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import tenacity

import baft

from . import server

if TYPE_CHECKING:
    from collections.abc import Callable

    Log = Callable[[Mapping[str, Any]], None]

CHUNK = 1 << 20
"""Bytes read, hashed and sent at once."""

TIMEOUT = httpx.Timeout(connect=10, read=3600, write=60, pool=None)
"""Seconds; making a model of large files takes long without a word."""

TRIES = 4
"""Of each upload, with 0.5, 1 and 2 s between them."""

PATTERNS = ("*.safetensors", "*.json", "tokenizer.model", "chat_template.jinja")
"""What ``ollama create`` uploads of a folder."""

NAME = r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*(:[\w.-]+)?"

SAMPLING = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0}
"""No filter but the temperature, as the adapter was measured; the server's own defaults differ."""

GGUF_HINT = (
    "Convert the merged folder with llama.cpp's convert_hf_to_gguf.py, then give --gguf FILE."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file to upload."""

    name: str
    path: Path
    digest: str
    size: int
    """Bytes."""


class OllamaExporter:
    """See ``baft.Exporter``; options are ``quantize``, ``gguf``, ``num_ctx`` and ``overwrite``."""

    def __init__(self, host: str, env: Mapping[str, str]) -> None:
        self._address = server.read_address(host or env.get("OLLAMA_HOST", ""))
        if host and self._address.auth:
            raise baft.UsageError(
                "--host holds a password, which reports would show.",
                "Put it into OLLAMA_HOST: http://NAME:PASSWORD@HOST:PORT.",
            )
        self._at = f"@{host}" if host else ""
        key = env.get("OLLAMA_API_KEY")
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    def check(self, name: str, options: Mapping[str, Any]) -> None:
        """Name, files and server, before hours are spent on merging.

        Raises:
            UsageError: the name cannot be or is taken, or there is no such GGUF file.
            BackendError: no Ollama server answers.
        """
        if not re.fullmatch(NAME, name):
            raise baft.UsageError(
                f"{name!r} is no name for a model.", "Write --name NAME or --name NAME:TAG."
            )
        gguf = options.get("gguf")
        if gguf is not None and (not gguf.is_file() or gguf.suffix != ".gguf"):
            raise baft.UsageError(f"{gguf} is no GGUF file.", GGUF_HINT)
        with self._client() as client:
            tags = self._ask(client, "GET", "/api/tags").get("models") or []
        full = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
        if full in {tag.get("name") for tag in tags} and not options.get("overwrite"):
            raise baft.UsageError(
                f"The server at {self._address.url} has a model {full!r} already.",
                "Choose another --name, or replace it with --overwrite.",
            )

    def export(
        self,
        model: Path,
        name: str,
        form: baft.ChatForm,
        options: Mapping[str, Any],
        log: Log,
    ) -> str:
        """Upload what the server lacks, make the model, and look whether it is the one meant.

        Raises:
            UsageError: the server refuses the request, with its reason.
            BackendError: it failed; the same call goes on where it was.
        """
        request = {
            "model": name,
            "template": template(form),
            "parameters": parameters(form, options.get("num_ctx")),
        }
        if options.get("quantize"):
            request["quantize"] = options["quantize"]
        with tempfile.TemporaryDirectory() as scratch, self._client() as client:
            sources = _sources(model, options.get("gguf"), form, Path(scratch))
            self._upload(client, sources, log)
            self._create(client, {**request, "files": {s.name: s.digest for s in sources}}, log)
            self._look(client, request)
        return f"ollama:{name}{self._at}"

    def _upload(self, client: httpx.Client, sources: list[Source], log: Log) -> None:
        retry = tenacity.Retrying(
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, baft.BackendError) and error.retryable
            ),
            stop=tenacity.stop_after_attempt(TRIES),
            wait=tenacity.wait_exponential(multiplier=0.5),
            reraise=True,
        )
        total, sent = sum(source.size for source in sources), 0
        for source in sources:
            before = sent

            def show(done: int, source: Source = source, before: int = before) -> None:
                log({"step": (before + done) >> 20, "total": total >> 20, "what": source.name})

            if not self._has(client, source):
                retry(self._send, client, source, show)
            sent += source.size
            show(source.size)

    def _has(self, client: httpx.Client, source: Source) -> bool:
        response = self._answer(client, "HEAD", f"/api/blobs/{source.digest}")
        if response.status_code != 404:
            self._check(response, source.name)
        return response.status_code != 404

    def _send(self, client: httpx.Client, source: Source, show: Callable[[int], None]) -> None:
        def parts() -> Iterator[bytes]:
            done = 0
            for part in _parts(source.path):
                yield part
                done += len(part)
                show(done)

        response = self._answer(
            client,
            "POST",
            f"/api/blobs/{source.digest}",
            content=parts(),
            headers={"Content-Length": str(source.size)},
        )
        self._check(response, source.name)

    def _create(self, client: httpx.Client, request: Mapping[str, Any], log: Log) -> None:
        last = ""
        try:
            with client.stream("POST", "/api/create", json=request) as response:
                if response.status_code >= 400:
                    response.read()
                    raise self._refused(response)
                for text in response.iter_lines():
                    step = json.loads(text)
                    if step.get("error"):
                        raise self._failed(str(step["error"]))
                    if step["status"] != last:
                        log({"message": f"server: {step['status']}"})
                    last = step["status"]
        except (httpx.HTTPError, OSError) as error:
            raise self._broken(error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise self._failed("an answer that cannot be read") from error
        if last != "success":
            raise self._failed(f"it stopped at {last!r}")

    def _look(self, client: httpx.Client, request: Mapping[str, Any]) -> None:
        """Raises: BackendError: the server keeps another template or other stops."""
        shown = self._ask(client, "POST", "/api/show", json={"model": request["model"]})
        lines = str(shown.get("parameters") or "").splitlines()
        stops = {line[5:].strip() for line in lines if line.startswith("stop ")}
        wanted = {json.dumps(stop, ensure_ascii=False) for stop in request["parameters"]["stop"]}
        if shown.get("template") != request["template"] or stops != wanted:
            raise self._failed("it keeps another template or other stops than it was given")

    def _answer(self, client: httpx.Client, method: str, path: str, **given: Any) -> httpx.Response:
        try:
            return client.request(method, path, **given)
        except (httpx.HTTPError, OSError) as error:
            raise self._broken(error) from error

    def _ask(self, client: httpx.Client, method: str, path: str, **given: Any) -> dict[str, Any]:
        """A JSON object.

        Raises:
            BackendError: the server is down, or is no Ollama server.
        """
        response = self._answer(client, method, path, **given)
        self._check(response, "")
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise baft.BackendError(
                f"What answers at {self._address.url} is no Ollama server.",
                "Write --host http://HOST:11434.",
                gone=True,
            )
        return body

    def _refused(self, response: httpx.Response) -> baft.BaftError:
        try:
            self._check(response, "")
        except baft.BackendError as error:
            if response.status_code != 400:
                return error
            hint = "Name another type with --quantize, or leave it out."
            return baft.UsageError(error.message, hint if "quantiz" in error.message else "")
        raise AssertionError("only called for errors")

    def _check(self, response: httpx.Response, model: str) -> None:
        """Raises: BackendError: it is no good answer."""
        found = response.status_code, response.headers, response.content
        server.check(*found, self._address.url, model)

    def _broken(self, error: Exception) -> baft.BackendError:
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            return server.unreachable(self._address.url)
        return server.broken_call(error, self._address.url)

    def _failed(self, why: str) -> baft.BackendError:
        return baft.BackendError(
            f"{self._address.url} did not make the model: {why.rstrip('.')}.",
            GGUF_HINT if "MLX" in why else "See the server's log; the same command goes on.",
        )

    def _client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self._address.url,
            auth=self._address.auth,
            headers=self._headers,
            timeout=TIMEOUT,
            follow_redirects=True,
            trust_env=server.uses_proxy(self._address.url),
        )


def template(form: baft.ChatForm) -> str:
    """The pieces as an Ollama template, for one user turn.

    >>> form = baft.ChatForm(user=("[INST] ", " [/INST]"), system=("[INST] ", " ", " [/INST]"),
    ...     begins="<s>", stops=("</s>",), context=4096)
    >>> print(template(form))
    {{ if .System }}[INST] {{ .System }} {{ .Prompt }} [/INST]{{ else }}[INST] {{ .Prompt }} \
[/INST]{{ end }}{{ .Response }}
    """
    before, between, after = (_literal(piece) for piece in form.system)
    with_system = f"{before}{{{{ .System }}}}{between}{{{{ .Prompt }}}}{after}"
    plain = f"{_literal(form.user[0])}{{{{ .Prompt }}}}{_literal(form.user[1])}"
    return f"{{{{ if .System }}}}{with_system}{{{{ else }}}}{plain}{{{{ end }}}}{{{{ .Response }}}}"


def parameters(form: baft.ChatForm, num_ctx: int | None) -> dict[str, Any]:
    """What a Modelfile would say in PARAMETER lines."""
    sizes = [size for size in (num_ctx, form.context) if size]
    window = {"num_ctx": min(sizes)} if sizes else {}
    return {"stop": list(form.stops), **SAMPLING, **window}


def _literal(text: str) -> str:
    """Text as it stands in a Go template; quoted where its braces could be taken for actions."""
    quoted = json.dumps(text, ensure_ascii=False)
    return f"{{{{ {quoted} }}}}" if "{" in text or "}" in text else text


def _sources(model: Path, gguf: Path | None, form: baft.ChatForm, scratch: Path) -> list[Source]:
    """The files to upload; of the tokenizer's settings a copy that says whether it begins."""
    if gguf is not None:
        return [_source(gguf.name, gguf)]
    paths = {path.name: path for pattern in PATTERNS for path in model.glob(pattern)}
    paths.pop("export_info.json", None)
    if "tokenizer_config.json" in paths:
        config = json.loads(paths["tokenizer_config.json"].read_text(encoding="utf-8"))
        config["add_bos_token"] = bool(form.begins)
        copy = scratch / "tokenizer_config.json"
        copy.write_text(json.dumps(config, indent=2), encoding="utf-8")
        paths["tokenizer_config.json"] = copy
    return [_source(name, path) for name, path in sorted(paths.items())]


def _source(name: str, path: Path) -> Source:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Source(name=name, path=path, digest=f"sha256:{sha256}", size=path.stat().st_size)


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            yield part
