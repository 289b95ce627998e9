"""What ``config.yaml`` has in service for a role, and what it must say for a winner.

A role names a provider and a model; this module knows which model spec that is, and the way back.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import DataError, UsageError, did_you_mean
from .positions import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..loader import Plugins

OLLAMA_URL = "http://localhost:11434"
OPENAI_URL = "https://api.openai.com/v1"

COMMAND_PROVIDERS = {"hf": "huggingface_local", "lora": "huggingface_local", "dspy": "dspy_local"}
"""Models that the pipeline cannot call by itself: it runs ``baft ask`` for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A ``config.yaml`` as it was read."""

    path: Path
    """The file itself, symbolic links followed."""
    raw: bytes
    text: str
    """Without a byte order mark."""
    data: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Of the bytes."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def folder(self) -> Path:
        """Relative model paths in the file start here."""
        return self.path.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class InService:
    """What a configuration has in service for a role."""

    role: str
    provider: str
    model: str
    temperature: float | None
    """None where the file leaves it to the pipeline."""
    max_tokens: int | None
    spec: str
    """The model as a spec that works from any folder; empty where baft knows none."""
    problem: str = ""
    """Why there is no spec; empty where there is one."""


def read_config(path: Path) -> Config:
    """Read and check a configuration.

    Raises:
        DataError: it is missing, cannot be read, or is not a YAML mapping with unique keys.
    """
    real, raw = read_bytes(path)
    return config_of(real, raw, str(path))


def read_bytes(path: Path) -> tuple[Path, bytes]:
    """The file itself, symbolic links followed, and what it holds.

    Raises:
        DataError: it is missing or cannot be read.
    """
    try:
        real = path.resolve(strict=True)
        return real, real.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"There is no configuration at {path}.",
            "Name it with --config FILE, or let `baft init` make a minimal one.",
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error


def config_of(path: Path, raw: bytes, where: str) -> Config:
    """The configuration that those bytes hold."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{where}, line {line}: not UTF-8.", "Save the file as UTF-8.") from error
    data = load(text, where)
    if not isinstance(data, dict):
        raise DataError(
            f"{where} is not a mapping with a `roles` section.",
            "Run `baft init` for a minimal one, or name another file with --config.",
        )
    return Config(path=path, raw=raw, text=text, data=data)


def role_entry(config: Config, role: str) -> Mapping[str, Any]:
    """The mapping at ``roles.<role>``.

    Raises:
        DataError: there is none; what to add is said.
    """
    example = f"roles: {{{role}: {{provider: ollama, model: mistral:7b-instruct}}}}"
    roles = config.data.get("roles")
    if not isinstance(roles, dict) or not roles:
        raise DataError(
            f"{config.path} has no `roles` section.", f"Run `baft init`, or add `{example}`."
        )
    if role not in roles:
        known = did_you_mean(role, [str(name) for name in roles])
        raise DataError(f"{config.path} has no entry roles.{role}.", f"{known} Or add `{example}`.")
    entry = roles[role]
    if not isinstance(entry, dict):
        raise DataError(
            f"roles.{role} in {config.path} is not a mapping.", f"Write it as `{example}`."
        )
    return entry


def in_service(config: Config, role: str, plugins: Plugins) -> InService:
    """What serves ``role`` now.

    Raises:
        DataError: the file has no such role.
    """
    entry = role_entry(config, role)
    provider, model = str(entry.get("provider") or "ollama"), str(entry.get("model") or "")
    temperature, max_tokens = _number(entry.get("temperature")), _number(entry.get("max_tokens"))
    spec, problem = "", ""
    try:
        spec = _spec(config, provider, model, plugins)
    except UsageError as error:
        problem = str(error)
    return InService(
        role=role,
        provider=provider,
        model=model,
        temperature=temperature,
        max_tokens=None if max_tokens is None else int(max_tokens),
        spec=spec,
        problem=problem,
    )


def arm_in_service(
    config: Config, role: str, arms: Mapping[str, str], plugins: Plugins
) -> str | None:
    """The arm (name by spec) that is the model in service; None where none of them is."""
    try:
        served = in_service(config, role, plugins).spec
    except DataError:  # a file without the role has nothing in service for it
        return None
    here = (Path.cwd(), config.folder)
    for name, spec in arms.items():
        try:
            if served and absolute_spec(spec, here, plugins) == served:
                return name
        except UsageError:  # an arm that cannot be opened is not what is served
            continue
    return None


def _number(value: Any) -> float | None:
    """A finite number as it is; anything else is none."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _spec(config: Config, provider: str, model: str, plugins: Plugins) -> str:
    """The spec of a provider's model.

    Raises:
        UsageError: baft knows none.
    """
    if not model:
        raise UsageError("The entry names no model.", "Add `model:`.")
    block = providers(config).get(provider)
    kind = block.get("type", provider) if isinstance(block, dict) else provider
    if _is_ours(provider):
        return _path_spec(config, provider, model, plugins)
    if kind not in ("ollama", "openai"):
        what = f"type {kind!r}" if isinstance(block, dict) else "no entry in `providers`"
        raise UsageError(
            f"baft cannot open the provider {provider!r} ({what}).",
            "The pipeline may; baft compares it through a replay of its outputs.",
        )
    url = str((block or {}).get("base_url") or "")
    if kind == "openai":
        return f"openai:{model}@{url or OPENAI_URL}"
    tag = model.removeprefix("ollama/")
    return f"ollama:{tag}" if same_url(url or OLLAMA_URL, OLLAMA_URL) else f"ollama:{tag}@{url}"


def _is_ours(provider: str) -> bool:
    return any(provider == n or provider.startswith(f"{n}_") for n in COMMAND_PROVIDERS.values())


def _path_spec(config: Config, provider: str, model: str, plugins: Plugins) -> str:
    head, question, query = model.partition("?")
    path = os.path.abspath(config.folder / Path(head).expanduser())
    if provider.startswith(COMMAND_PROVIDERS["dspy"]):
        return absolute_spec(f"dspy:{path}{question}{query}", (config.folder,), plugins)
    if os.path.exists(path):
        scheme, _ = plugins.resolve(path)
        return absolute_spec(f"{scheme}:{path}{question}{query}", (config.folder,), plugins)
    if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", head):  # a model's name on a hub
        return f"hf:{model}"
    raise UsageError(f"There is nothing at {path}.", "Put the model back, or `baft rollback`.")


def providers(config: Config) -> Mapping[str, Any]:
    """The ``providers`` section; empty where there is none."""
    found = config.data.get("providers")
    return found if isinstance(found, dict) else {}


def same_url(a: str, b: str) -> bool:
    """Two addresses of one server.

    >>> same_url("http://localhost:11434", "http://127.0.0.1:11434/")
    True
    """

    def parts(url: str) -> tuple[str, str, int | None, str]:
        found = urlsplit(url if "://" in url else f"http://{url}")
        host = "127.0.0.1" if found.hostname == "localhost" else found.hostname or ""
        return found.scheme, host, found.port, found.path.rstrip("/")

    try:
        return parts(a) == parts(b)
    except ValueError:  # no address at all
        return a == b


def absolute_spec(spec: str, roots: tuple[Path, ...], plugins: Plugins) -> str:
    """A spec whose paths work from any folder and whose address is spelt one way.

    Args:
        spec: any spec, or a bare path.
        roots: folders in which a relative path is looked for, first hit wins.
        plugins: they recognise bare paths.
    """
    scheme, colon, target = spec.partition(":")
    if not colon or scheme not in plugins.names("backends"):
        found = _absolute(spec, roots)
        scheme, target = plugins.resolve(found)
    if scheme in ("ollama", "openai"):
        model, at, url = target.rpartition("@")
        if at and scheme == "ollama" and same_url(url, OLLAMA_URL):
            return f"ollama:{model}"
        return f"{scheme}:{model}@{url.rstrip('/')}" if at else f"{scheme}:{target}"
    head, question, query = target.partition("?")
    return f"{scheme}:{_absolute(head, roots)}{question}{_query(query, roots, plugins)}"


def _query(query: str, roots: tuple[Path, ...], plugins: Plugins) -> str:
    """``lm=SPEC`` and ``base=PATH`` with paths that work from any folder."""
    name, equals, value = query.partition("=")
    if name == "lm" and value:
        return f"lm={absolute_spec(value, roots, plugins)}"
    return f"{name}{equals}{_absolute(value, roots)}" if name == "base" else query


def _absolute(text: str, roots: tuple[Path, ...]) -> str:
    path = Path(text).expanduser()
    if path.is_absolute():
        return str(path)
    found = next((root / path for root in roots if (root / path).exists()), None)
    return os.path.abspath(found) if found else text


def portable_spec(spec: str, folder: Path) -> str:
    """The spec with its paths below ``folder`` written from there: it bears being moved with it.

    ``absolute_spec`` is the way back. Paths elsewhere stay as they are.

    >>> portable_spec("dspy:/p/m/prog?lm=lora:/p/m/ba", Path("/p"))
    'dspy:m/prog?lm=lora:m/ba'
    """
    scheme, colon, target = spec.partition(":")
    head, question, query = target.partition("?")
    name, equals, value = query.partition("=")
    if name == "lm":
        value = portable_spec(value, folder)
    elif name == "base":
        value = _portable(value, folder)
    return f"{scheme}{colon}{_portable(head, folder)}{question}{name}{equals}{value}"


def _portable(text: str, folder: Path) -> str:
    for path in (Path(text), Path(text).resolve()) if Path(text).is_absolute() else ():
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return text
