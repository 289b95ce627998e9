"""Models on an Ollama server."""

from __future__ import annotations

from typing import Any

import baft


@baft.hookimpl
def baft_register_backends(register: baft.Register[baft.Backend]) -> None:
    """Offer ``ollama:MODEL[:TAG][@URL]``."""
    register("ollama", _backend)


def _backend(target: str, context: baft.Context) -> Any:
    from .backend import open_backend

    return open_backend(target, context)
