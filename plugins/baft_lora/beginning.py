"""What the prompts of an optimizer step begin with, read once for all packs of the step.

Each pack sees its keys and values as copies; what they learn of those is gathered, and goes back
with the last pack. So up to dropout the gradients are those of one pack of all examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .packing import shared_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from .lessons import Lesson

    Layers = dict[int, tuple[Tensor, Tensor]]
    """By layer: keys and values, (1, G, T, D) each, as in ``attention``."""

SHORTEST = 32
"""Tokens below which reading a beginning by itself saves nothing."""


class Beginning:
    """Tokens that come first in all examples of a step.

    Args:
        ids: those tokens.
        packs: how many packs of the step will ask to see them, one after another; each goes
            backward before the next.
    """

    def __init__(self, ids: Sequence[int], packs: int) -> None:
        self.ids = ids
        self._packs = packs
        self._read: Layers = {}
        self._copies: Layers = {}

    def seen(self, model: Any, device: torch.device) -> Mapping[int, tuple[Tensor, Tensor]]:
        """Keys and values by layer, for the next pack."""
        if not self._read:
            self._read_by(model, device)
        self._packs -= 1
        return self._copies if self._packs else self._read

    def _read_by(self, model: Any, device: torch.device) -> None:
        model(
            input_ids=torch.tensor([self.ids], device=device),
            position_ids=torch.arange(len(self.ids), device=device)[None],
            logits_to_keep=torch.zeros(1, dtype=torch.int64, device=device),
            use_cache=False,
            sizes=(len(self.ids),),
            keep=self._keep,
        )

    def _keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        if layer in self._read:
            return  # computed again, on the way back
        self._read[layer] = key, value
        self._copies[layer] = _copy(key), _copy(value)


def begin(parts: Sequence[Sequence[Lesson]], least: int = SHORTEST) -> Beginning | None:
    """What the packs of a step begin with; None where reading it by itself saves nothing.

    Args:
        parts: the lessons of each pack.
        least: tokens that are worth it.
    """
    rows = [row for part in parts for row in part]
    shortest = min(row.prompt_tokens for row in rows) - 1  # the token before an answer predicts it
    shared = shared_tokens(rows, max(0, shortest))
    if len(parts) < 2 or shared < max(1, least):
        return None
    return Beginning(rows[0].ids[:shared], len(parts))


def _copy(read: Tensor) -> Tensor:
    """The same numbers, apart; what is learnt of them joins what is learnt of the first."""
    if not read.requires_grad:
        return read
    copy = read.detach().requires_grad_()
    read.register_hook(  # type: ignore[no-untyped-call]
        lambda gradient: gradient if copy.grad is None else gradient + copy.grad
    )
    return copy
