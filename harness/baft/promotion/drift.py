"""Is what ``config.yaml`` has in service still what was last promoted?"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..errors import BackendError, BaftError
from ..store import RunStore
from .config import InService, absolute_spec, in_service, read_config
from .ledger import Ledger
from .positions import load
from .servability import serving_context
from .transaction import standing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..loader import Plugins
    from ..records import Manifest, Promotion
    from .config import Config


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
            findings += _compared(service, blessed[-1][1], manifest, plugins)
            if check_digests and service.spec:
                findings.append(_digest(service, blessed[-1][1], manifest, plugins, env))
        number = blessed[-1][0] if blessed else None
        told.append(RoleStatus(service=service, number=number, findings=tuple(findings)))
    return told


def overrides(config: Config, service: InService, env: Mapping[str, str]) -> list[str]:
    """What keeps the pipeline from using the entry as it is written: one sentence each."""
    found = []
    for name in {"ollama": ("OLLAMA_BASE_URL", "OLLAMA_HOST"), "openai": ("OPENAI_API_BASE",)}.get(
        service.provider, ()
    ):
        if env.get(name):
            found.append(f"{name}={env[name]} in the environment overrides the server.")
    if _recommender_is_on(config.folder / "config" / "model_recommender.yaml"):
        found.append("config/model_recommender.yaml is enabled and replaces the model.")
    features = config.data.get("features")
    flag = f"use_dspy_{service.role}"
    if isinstance(features, dict) and features.get(flag) and "_local" in service.provider:
        found.append(f"features.{flag} is on: that path asks Ollama instead; set it to false.")
    return found


def _recommender_is_on(path: Path) -> bool:
    try:
        data = load(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError, BaftError):
        return False  # what cannot be read, the pipeline cannot read either
    return isinstance(data, dict) and data.get("enabled") is True


def _manifest(ledger: Ledger, blessed: Promotion) -> Manifest | None:
    try:
        store = RunStore.open(ledger.located(blessed.run))
    except BaftError:
        return None
    with contextlib.closing(store):
        return store.manifest()


def _compared(
    service: InService, blessed: Promotion, manifest: Manifest | None, plugins: Plugins
) -> list[Finding]:
    """The entry against the promotion and the decoding it was measured with."""
    findings = []
    if not service.spec:
        findings.append(Finding(kind="drift", text=service.problem))
    elif service.spec != absolute_spec(blessed.spec, (), plugins):
        text = f"{service.spec} is in service, but {blessed.spec} was promoted."
        findings.append(Finding(kind="drift", text=text))
    if manifest is None:
        text = f"The evidence {blessed.run} is gone, so temperature and max_tokens are unverified."
        return [*findings, Finding(kind="unknown", text=text)]
    for name in ("temperature", "max_tokens"):
        now: Any = getattr(service, name)
        then = getattr(manifest.decoding, name)
        if now != then:
            text = f"{name} is {now}, but {then} was measured."
            findings.append(Finding(kind="drift", text=text))
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
        backend = plugins.open(service.spec, context)
        fingerprint = backend.fingerprint()
        asyncio.run(backend.close())
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
