"""Causal language models in this process: backends ``hf`` and ``lora``, trainer ``lora``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import baft

if TYPE_CHECKING:
    from pathlib import Path

    from .backend import LocalBackend
    from .trainer import LoraTrainer


@baft.hookimpl
def baft_register_backends(register: baft.Register[baft.Backend]) -> None:
    """Offer ``hf:PATH_OR_ID`` and ``lora:ADAPTER_DIR[?base=PATH_OR_ID]``."""
    register("hf", _hf)
    register("lora", _lora)


@baft.hookimpl
def baft_register_trainers(register: baft.Register[baft.Trainer]) -> None:
    """Offer the trainer ``lora``."""
    register("lora", _trainer)


@baft.hookimpl
def baft_recognise_path(path: Path) -> str | None:
    """An adapter is ``lora``, a whole model ``hf``; pickled ones too, to be refused by name."""
    if (path / "adapter_config.json").is_file():
        return f"lora:{path}"
    if (path / "config.json").is_file() and _has_weights(path):
        return f"hf:{path}"
    return None


def _has_weights(path: Path) -> bool:
    return any(any(path.glob(pattern)) for pattern in ("*.safetensors", "pytorch_model*.bin"))


def _hf(target: str, context: baft.Context) -> LocalBackend:
    from .backend import LocalBackend

    return LocalBackend.open_model(target, context)


def _lora(target: str, context: baft.Context) -> LocalBackend:
    from .backend import LocalBackend

    return LocalBackend.open_adapter(target, context)


def _trainer() -> LoraTrainer:
    from .trainer import LoraTrainer

    return LoraTrainer()
