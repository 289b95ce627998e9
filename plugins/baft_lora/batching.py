"""How many prompts are answered at once, and whether that changes answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .memory import free_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_BATCH = 32
"""Beyond it a CPU gains nothing (measured on 5 M parameters) and answers come too late."""

ASSUMED_CONTEXT = 4096
"""Tokens of cache by row for which memory is set aside when the batch size is chosen."""

EXACT = 1e-3
"""Logits that move by no more draw the same tokens: on the pocket model float32 moves them by 1e-5,
bfloat16 by 1e-1."""


def free_batch_size(
    config: Any, *, parameters: int, dtype: str, device: str, context: int | None
) -> int:
    """As many rows as half of the memory that the weights leave free can hold.

    Args:
        config: of the text model.
        parameters: how many it has.
        dtype: ``float32``, ``bfloat16`` or ``bnb4``.
        device: ``cpu`` or ``cuda``.
        context: tokens that the model takes; None where it does not say.
    """
    width = 4 if dtype == "float32" else 2
    weights = parameters * (width if dtype != "bnb4" else 1)  # embeddings have two
    free = free_memory(device) - weights
    tokens = min(context or ASSUMED_CONTEXT, ASSUMED_CONTEXT)
    rows = int(free / 2 / (_cache_numbers(config) * width * tokens))
    return max(1, min(LARGEST_BATCH, rows))


def batch_notes(model: Any, ids: Sequence[Sequence[int]], dtype: str) -> tuple[str, ...]:
    """What a reader should know of answers in batches: nothing where batches change nothing.

    Args:
        model: as it answers, its adapter on.
        ids: tokens of two or more prompts.
        dtype: its numbers, in words.
    """
    from .sampling import beside_others

    moved = beside_others(model, ids)
    if moved <= EXACT:
        return ()
    return (
        f"In {dtype} the logits of a prompt move by up to {moved:.2g} beside another one, so "
        "answers may change with the batch size; --deterministic asks one at a time.",
    )


def _cache_numbers(config: Any) -> int:
    """Numbers that the cache keeps for one token."""
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    return int(2 * config.num_hidden_layers * groups * width)
