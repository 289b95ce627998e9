"""Is what ``config.yaml`` has in service still what was last promoted?"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..errors import BackendError, BaftError
from ..loader import describe
from ..store import RunStore
from .config import (
    COMMAND_PROVIDERS,
    OLLAMA_URL,
    OPENAI_URL,
    InService,
    in_service,
    portable_spec,
    providers,
    read_config,
    same_url,
)
from .ledger import Ledger
from .positions import load
from .restoring import standing
from .servability import serving_context
from .winner import is_served_by

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..loader import Plugins
    from ..protocols import Backend
    from ..records import Manifest, Promotion
    from .config import Config

URLS = {"ollama": OLLAMA_URL, "openai": OPENAI_URL}

SERVER_VARIABLES = {"ollama": ("OLLAMA_BASE_URL", "OLLAMA_HOST"), "openai": ("OPENAI_API_BASE",)}
"""Variables that the pipeline or baft obeys before the file, by type of provider."""

DSPY_VARIABLES = {"product_owner": "USE_DSPY_PO", "architect": "USE_DSPY_ARCHITECT"}
"""The variable that sends a role of the pipeline to its own DSPy program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    kind: Literal["ok", "drift", "unknown"]
    """``unknown``: it could not be verified, which is not the same as fine."""
    text: str
    """One sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleStatus:
    """What serves a role, and whether it is what was promoted."""

    service: InService
    number: int | None
    """The promotion that stands, by its number in the history; None where none does."""
    findings: tuple[Finding, ...]

    @property
    def has_drifted(self) -> bool:
        """At least one finding says so."""
        return any(finding.kind == "drift" for finding in self.findings)


def status(
    plugins: Plugins,
    *,
    config: Path,
    project: Path,
    env: Mapping[str, str],
    roles: tuple[str, ...] = (),
    check_digests: bool = True,
) -> list[RoleStatus]:
    """Compare what is in service with what was promoted, role by role.

    Args:
        plugins: all plugins.
        config: the pipeline's configuration.
        project: folder that holds ``artifacts/``.
        env: the environment variables; some of them override the file.
        roles: which to look at; default every role of the file.
        check_digests: open the models and compare fingerprints.

    Raises:
        DataError: the configuration or the history cannot be read.
    """
    found = read_config(config)
    ledger = Ledger(project)
    stack = standing(ledger.read(), ledger.shown(found.path))
    named = found.data.get("roles")
    names = roles or (tuple(str(name) for name in named) if isinstance(named, dict) else ())
    told = []
    for role in names:
        service = in_service(found, role, plugins)
        blessed = [entry for entry in stack if entry[1].role == role]
        findings = [Finding(kind="drift", text=text) for text in overrides(found, service, env)]
        if blessed:
            manifest = _manifest(ledger, blessed[-1][1])
            findings += _compared(found, service, blessed[-1][1], manifest, ledger)
            if check_digests and service.spec:
                findings.append(_digest(service, blessed[-1][1], manifest, plugins, env))
        number = blessed[-1][0] if blessed else None
        told.append(RoleStatus(service=service, number=number, findings=tuple(findings)))
    return told


def overrides(config: Config, service: InService, env: Mapping[str, str]) -> list[str]:
    """What keeps the pipeline from using the entry as it is written: one sentence each."""
    found = []
    block = providers(config).get(service.provider)
    kind = block.get("type", service.provider) if isinstance(block, dict) else service.provider
    url = str((block.get("base_url") if isinstance(block, dict) else "") or URLS.get(kind, ""))
    for name in SERVER_VARIABLES.get(kind, ()):
        if env.get(name) and not same_url(env[name], url):
            found.append(f"{name} in the environment overrides the server {url}.")
    if _recommender_is_on(config.folder / "config" / "model_recommender.yaml"):
        found.append("config/model_recommender.yaml is enabled and replaces the model.")
    if service.provider.startswith(tuple(COMMAND_PROVIDERS.values())):
        found += _bypasses(config, service.role, env)
    return found


def _bypasses(config: Config, role: str, env: Mapping[str, str]) -> list[str]:
    """What sends the pipeline past a command provider, to its own DSPy programs."""
    variable, instead = DSPY_VARIABLES.get(role, ""), "that path asks Ollama instead"
    if variable in env:  # it has the last word, on or off
        is_on = _is_on(env[variable])
        return [f"{variable} in the environment is on: {instead}."] if is_on else []
    features = config.data.get("features")
    if not isinstance(features, dict):
        return []
    flags = [f"use_dspy_{role}", *(["use_dspy_po"] if role == "product_owner" else [])]
    found = [
        f"features.{flag} is on: {instead}; set it to false."
        for flag in flags
        if _is_on(features.get(flag))
    ]
    if role == "ba" and flags[0] not in features:
        what = f"features.{flags[0]} is absent, which the pipeline takes for on"
        found.append(f"{what}: {instead}; set it to false.")
    return found


def _is_on(value: object) -> bool:
    """On as the pipeline reads it, whose YAML and variables know more words than ours."""
    if isinstance(value, str):
        return value.strip().lower() not in ("", "0", "false", "no", "off")
    return bool(value)


def _recommender_is_on(path: Path) -> bool:
    try:
        data = load(path.read_text(encoding="utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError, BaftError):
        return False  # what cannot be read, the pipeline cannot read either
    return isinstance(data, dict) and _is_on(data.get("enabled"))


def _manifest(ledger: Ledger, blessed: Promotion) -> Manifest | None:
    try:
        store = RunStore.open(ledger.located(blessed.run))
    except BaftError:
        return None
    with contextlib.closing(store):
        return store.manifest()


def _compared(
    config: Config,
    service: InService,
    blessed: Promotion,
    manifest: Manifest | None,
    ledger: Ledger,
) -> list[Finding]:
    """The entry against the promotion and the decoding it was measured with."""
    findings = []
    if not service.spec:
        findings.append(Finding(kind="drift", text=service.problem))
    elif blessed.spec not in (service.spec, portable_spec(service.spec, ledger.project)):
        text = f"{service.spec} is in service, but {blessed.spec} was promoted."
        findings.append(Finding(kind="drift", text=text))
    elif not is_served_by(config, service):
        text = f"providers.{service.provider} was edited: it does not serve the model any more."
        findings.append(Finding(kind="drift", text=text))
    measured = blessed.decoding or (manifest.decoding if manifest else None)
    for name in ("temperature", "max_tokens") if measured else ():
        now: Any = getattr(service, name)
        then = getattr(measured, name)
        if now != then:
            text = f"{name} is {now}, but {then} was measured."
            findings.append(Finding(kind="drift", text=text))
    if manifest is None:
        settings = "" if measured else ", so temperature and max_tokens are unverified"
        text = f"The evidence {blessed.run} is gone{settings}."
        findings.append(Finding(kind="unknown", text=text))
    return findings


def _digest(
    service: InService,
    blessed: Promotion,
    manifest: Manifest | None,
    plugins: Plugins,
    env: Mapping[str, str],
) -> Finding:
    options = manifest.options if manifest else {}
    try:
        context = serving_context(plugins, plugins.role(service.role), env, options)
        fingerprint = _fingerprint(plugins.open(service.spec, context))
    except BackendError as error:
        return Finding(kind="unknown", text=f"The model cannot be asked: {error.message}")
    except BaftError as error:
        return Finding(kind="drift", text=f"The model cannot be opened: {error.message}")
    if not blessed.fingerprint:
        return Finding(kind="unknown", text="The promotion recorded no fingerprint.")
    if fingerprint != blessed.fingerprint:
        text = "The model's content is not what was promoted (fingerprints differ)."
        return Finding(kind="drift", text=text)
    return Finding(kind="ok", text="The model is the one that was promoted.")


def _fingerprint(backend: Backend) -> str:
    try:
        return backend.fingerprint()
    except BaftError:
        raise
    except Exception as error:  # border: plugin call
        raise BackendError(f"{backend.spec} has no fingerprint ({describe(error)}).") from error
    finally:
        asyncio.run(backend.close())
