"""Models on any server with an OpenAI-compatible chat API: vLLM, llama.cpp, TGI, Ray Serve LLM."""

from __future__ import annotations

from typing import Any

import baft


@baft.hookimpl
def baft_register_backends(register: baft.Register[baft.Backend]) -> None:
    """Offer ``openai:MODEL@BASE_URL``."""
    register("openai", _backend)


def _backend(target: str, context: baft.Context) -> Any:
    from .backend import open_backend

    return open_backend(target, context)
