"""Models on an Ollama server: backend and exporter ``ollama``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import baft

if TYPE_CHECKING:
    from collections.abc import Mapping


@baft.hookimpl
def baft_register_backends(register: baft.Register[baft.Backend]) -> None:
    """Offer ``ollama:MODEL[:TAG][@URL]``."""
    register("ollama", _backend)


@baft.hookimpl
def baft_register_exporters(register: baft.Register[baft.Exporter]) -> None:
    """Offer ``--to ollama``."""
    register("ollama", _exporter)


def _backend(target: str, context: baft.Context) -> Any:
    from .backend import open_backend

    return open_backend(target, context)


def _exporter(host: str, env: Mapping[str, str]) -> Any:
    from .exporter import OllamaExporter

    return OllamaExporter(host, env)
