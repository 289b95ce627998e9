"""Attention within a pack: each example's own part sees the common beginning and itself.

Letters: T tokens, N of them that ask (the last), H heads, G heads of keys, D numbers by head.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

ROWS = 96
"""Tokens that ask at once: fewer leave out more of what is not seen, more make larger products.
With 4 heads of 64 numbers and 650 tokens it was the best of 64 to 256; torch's kernel took 1.6
times as long, there and back."""

SMALL = 2048
"""Numbers of all heads up to which attention is so large a part of a model's work that its weights
are worth their memory."""


def keeps_weights(device: str, numbers: int) -> bool:
    """Whether ``attend`` multiplies blocks itself and keeps their weights for the way back.

    Args:
        device: ``cpu`` or ``cuda``.
        numbers: of all heads.
    """
    return device == "cpu" and numbers <= SMALL


def kept_weights(tokens: int) -> float:
    """Weights that are kept of an example this long, by token and head."""
    return sum((stop - start) * stop for start, stop in _blocks(tokens)) / tokens


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    sizes: Sequence[int],
    given: Mapping[int, tuple[Tensor, Tensor]] | None = None,
    keep: Callable[[int, Tensor, Tensor], None] | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention within a pack, as transformers' interface has it.

    Args:
        module: the layer.
        query: (1, H, T, D).
        key: (1, G, T, D).
        value: as ``key``.
        attention_mask: none.
        sizes: tokens of the common beginning and of each own part.
        given: by layer, keys and values of a beginning that was read before; its size is 0 here.
        keep: is told the layer, its keys and its values.
        dropout: share of the attention that is dropped.
        scaling: of the products; None for one by the root of D.

    Returns:
        (1, T, H, D)
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    quick = keeps_weights(query.device.type, query.shape[1] * query.shape[3]) and not dropout
    split = (torch.split(heads, list(sizes), dim=2) for heads in (query, key, value))
    (asked, keys, values), *parts = zip(*split, strict=True)
    if keep:
        keep(module.layer_idx, key, value)
    if given:
        keys, values = given[module.layer_idx]
    attention = (
        partial(_quick, scale=scale) if quick else partial(_plain, scale=scale, dropout=dropout)
    )
    seen = [] if given else [attention(asked, keys, values)]
    if given and not quick:  # torch's kernel wants them to ask, too
        asked = query.new_zeros(1, query.shape[1], keys.shape[2], query.shape[3])
    for own in parts:
        behind = [torch.cat(pair, dim=2) for pair in zip((keys, values), own[1:], strict=True)]
        if quick:
            seen.append(attention(own[0], *behind))
        else:
            asking = torch.cat((asked, own[0]), dim=2)
            seen.append(attention(asking, *behind)[:, :, keys.shape[2] :])
    return torch.cat(seen, dim=2).transpose(1, 2), None


def _plain(query: Tensor, key: Tensor, value: Tensor, scale: float, dropout: float) -> Tensor:
    """By torch's kernels, which leave out what is not seen only where all tokens ask."""
    groups = query.shape[1] // key.shape[1]
    key, value = (heads.repeat_interleave(groups, dim=1) for heads in (key, value))
    found: Tensor = functional.scaled_dot_product_attention(
        query, key, value, dropout_p=dropout, is_causal=True, scale=scale
    )
    return found


def _quick(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """By products of blocks: (1, H, N, D)."""
    groups = query.shape[1] // key.shape[1]
    grouped = query.view(key.shape[1], groups, *query.shape[2:])  # (G, H / G, N, D)
    found: Tensor = _Causal.apply(grouped, key[0], value[0], scale)  # type: ignore[no-untyped-call]
    return found.flatten(0, 1)[None]


class _Causal(torch.autograd.Function):
    """Causal attention of the last N of T tokens; the weights are kept for the way back.

    Vaswani et al. 2017, equation 1, in blocks of rows that leave out the columns after them. Scores
    are kept in float32 up to the softmax, as torch's kernels keep them.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """(G, H / G, N, D), (G, T, D), (G, T, D) to (G, H / G, N, D)."""
        scaled, turned = query.float() * scale, key.float().transpose(1, 2)
        later = torch.full((ROWS, ROWS), -math.inf).triu_(1)
        found, kept = torch.empty_like(query), []
        before = key.shape[1] - query.shape[2]
        for start, stop in _blocks(query.shape[2]):
            count, end = stop - start, before + stop
            asked = scaled[:, :, start:stop]
            scores = torch.bmm(asked.flatten(1, 2), turned[:, :, :end])
            last = scores.view(*asked.shape[:3], end)[..., end - count :]
            last += later[:count, :count]
            weights = scores.softmax(-1).to(query.dtype)  # (G, H / G * count, end)
            found[:, :, start:stop] = torch.bmm(weights, value[:, :end]).view_as(asked)
            kept.append(weights)
        ctx.save_for_backward(query, key, value, *kept)
        ctx.scale = scale
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients of query, key and value."""
        query, key, value, *kept = ctx.saved_tensors
        by_query = torch.empty_like(query)
        by_key, by_value = torch.zeros_like(key), torch.zeros_like(value)
        turned = value.transpose(1, 2)
        before = key.shape[1] - query.shape[2]
        for weights, (start, stop) in zip(kept, _blocks(query.shape[2]), strict=True):
            end = before + stop
            gradient = gradients[0][:, :, start:stop].flatten(1, 2)
            by_value[:, :end].baddbmm_(weights.transpose(1, 2), gradient)
            by_weights = torch.bmm(gradient, turned[:, :, :end])
            by_scores = torch._softmax_backward_data(by_weights, weights, -1, weights.dtype)
            asked = query[:, :, start:stop]
            by_query[:, :, start:stop] = torch.bmm(by_scores, key[:, :end]).view_as(asked)
            by_key[:, :end].baddbmm_(by_scores.transpose(1, 2), asked.flatten(1, 2))
        return by_query.mul_(ctx.scale), by_key.mul_(ctx.scale), by_value, None


def _blocks(rows: int) -> list[tuple[int, int]]:
    """The first row of each block, and the one after its last."""
    return [(start, min(start + ROWS, rows)) for start in range(0, rows, ROWS)]
