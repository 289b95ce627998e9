"""What ``config.yaml`` must say for a winner: the role's entry, and a provider to serve it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import DataError, UsageError
from .config import (
    COMMAND_PROVIDERS,
    OLLAMA_URL,
    OPENAI_URL,
    config_of,
    portable_spec,
    providers,
    role_entry,
    same_url,
)
from .edit import Changes, with_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..records import Decoding
    from .config import Config, InService

COMMAND_TIMEOUT_S = 600


def with_winner(config: Config, role: str, spec: str, decoding: Decoding) -> Config:
    """The configuration that has ``spec`` in service for ``role``, decoded as evaluated.

    Args:
        config: as it is now.
        role: whose entry changes.
        spec: as ``absolute_spec`` gives it.
        decoding: temperature and max_tokens are written.

    Raises:
        DataError: the role is missing, or the file cannot be changed safely.
        UsageError: no provider of the pipeline can serve such a model.
    """
    role_entry(config, role)
    scheme, _, target = spec.partition(":")
    names, block, model = _serving(config, role, scheme, target)
    provider, is_new = _provider(config, names, block, role)
    changes: Changes = {
        ("roles", role): {
            "provider": provider,
            "model": model,
            "temperature": decoding.temperature,
            "max_tokens": decoding.max_tokens,
        }
    }
    if is_new:
        changes["providers",] = {provider: block}
    text = with_values(config.text, changes, str(config.path))
    mark = b"\xef\xbb\xbf" if config.raw.startswith(b"\xef\xbb\xbf") else b""
    return config_of(config.path, mark + text.encode(), str(config.path))


def _serving(
    config: Config, role: str, scheme: str, target: str
) -> tuple[tuple[str, str], dict[str, Any], str]:
    """Names a provider may have, the block that defines it, and the model's name for it."""
    if scheme in COMMAND_PROVIDERS:
        name = COMMAND_PROVIDERS[scheme]
        block = {
            "type": "codex_cli",
            "command": ["baft", "ask", "--role", role, "--pipeline"],
            "input_format": "stdin_json",
            "append_model": False,
            "append_temperature": False,
            "append_max_tokens": False,
            "timeout": COMMAND_TIMEOUT_S,
        }
        model = portable_spec(f"{scheme}:{target}", config.folder).partition(":")[2]
        return (name, f"{name}_{role}"), block, model
    if scheme not in ("ollama", "openai"):
        raise UsageError(
            f"The pipeline has no provider that could serve {scheme}:{target}.",
            "Name the servable model behind it with --as SPEC.",
        )
    model, at, url = target.rpartition("@")
    model, url = (model, url) if at else (target, "")
    default = OLLAMA_URL if scheme == "ollama" else OPENAI_URL
    return (scheme, f"{scheme}_{role}"), {"type": scheme, "base_url": url or default}, model


def is_served_by(config: Config, service: InService) -> bool:
    """Does the provider's block say what serving that model takes?"""
    scheme, _, target = service.spec.partition(":")
    _, block, _ = _serving(config, service.role, scheme, target)
    return _serves(providers(config).get(service.provider), block)


def _provider(
    config: Config, names: tuple[str, str], block: Mapping[str, Any], role: str
) -> tuple[str, bool]:
    """The first name that serves already or is free, and whether its block is to be written."""
    present = providers(config)
    for name in names:
        if name not in present:
            return name, True
        if _serves(present[name], block):
            return name, False
    raise DataError(
        f"providers.{names[0]} and providers.{names[1]} in {config.path} both serve something "
        f"else than roles.{role} needs.",
        f"Remove providers.{names[1]} or change it by hand; nothing was changed.",
    )


def _serves(found: Any, block: Mapping[str, Any]) -> bool:
    """Does a provider that is there already do what ``block`` would do?"""
    if not isinstance(found, dict) or found.get("type") != block["type"]:
        return False
    if "base_url" in block:
        default = OLLAMA_URL if block["type"] == "ollama" else OPENAI_URL
        return same_url(str(found.get("base_url") or default), str(block["base_url"]))
    command = [str(word) for word in found.get("command") or ()]
    same = all(found.get(key) == block[key] for key in block if key not in ("command", "timeout"))
    return same and command[-4:] == block["command"][-4:]
