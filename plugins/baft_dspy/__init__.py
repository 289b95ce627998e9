"""DSPy programs as models, and DSPy's optimizers, which make them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import baft

if TYPE_CHECKING:
    from pathlib import Path

FILES = ("program.json", "program_components.json")
"""What a program is saved as, the preferred one first; pickles are never recognised."""

OPTIMIZERS = ("mipro", "bootstrap", "random", "gepa", "simba")
"""As ``ways.WAYS`` has them, which cannot be asked without loading DSPy."""


@baft.hookimpl
def baft_register_backends(register: baft.Register[baft.Backend]) -> None:
    """Offer ``dspy:DIR?lm=SPEC``."""
    register("dspy", _backend)


@baft.hookimpl
def baft_register_optimizers(register: baft.Register[baft.Optimizer]) -> None:
    """Offer DSPy's optimizers; ``mipro`` is the one that is meant where none is named."""
    for name in OPTIMIZERS:
        register(name, partial(_optimizer, name))


@baft.hookimpl
def baft_recognise_path(path: Path) -> str | None:
    """A program's file, or a folder that holds one."""
    if path.name in FILES and path.is_file():
        return f"dspy:{path}"
    return f"dspy:{path}" if any((path / name).is_file() for name in FILES) else None


def _backend(target: str, context: baft.Context) -> Any:
    from .backend import open_backend

    return open_backend(target, context)


def _optimizer(name: str) -> Any:
    from .optimizer import DspyOptimizer

    return DspyOptimizer(name)
