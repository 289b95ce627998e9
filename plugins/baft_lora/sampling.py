"""Batched decoding in which a row's answer does not depend on the rows beside it.

Written out instead of ``model.generate``: the cache grows in place, rows that are finished leave
the batch, and what all prompts begin with is run once. Letters: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from torch import Tensor

ROOM = 256
"""Tokens by which a cache layer grows when it is full."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A cache layer that appends in place, where its parent copies everything at every token."""

    keys: Tensor
    values: Tensor
    room: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append the states, each (B, heads, T, width); returns all there are."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        used = self.get_seq_length()
        end = used + key_states.shape[-2]
        if self.room is None or end > self.room[0].shape[-2]:
            self.room = self._bigger(key_states, end), self._bigger(value_states, end)
            if used:
                self.room[0][..., :used, :] = self.keys
                self.room[1][..., :used, :] = self.values
        self.room[0][..., used:end, :] = key_states
        self.room[1][..., used:end, :] = value_states
        self.keys, self.values = (states[..., :end, :] for states in self.room)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows of the batch."""
        super().batch_select_indices(indices)
        self.room = None

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        super().batch_repeat_interleave(repeats)
        self.room = None

    @staticmethod
    def _bigger(states: Tensor, end: int) -> Tensor:
        batch, heads, _, width = states.shape
        return states.new_empty(batch, heads, end + ROOM, width)


class Draw:
    """Draws the next token of one row: a function of the seed, the prompt and the logits alone.

    Adding Gumbel noise to ``logits / temperature`` and taking the largest draws from the softmax
    (Maddison, Tarlow and Minka 2014, A* Sampling, section 2). Two models whose logits are close
    then mostly draw the same token, which makes a paired comparison sharper.
    """

    def __init__(self, seed: int, prompt: Sequence[int]) -> None:
        content = json.dumps([seed, list(prompt)]).encode()
        entropy = int.from_bytes(hashlib.sha256(content).digest(), "big")
        self.generator = np.random.Generator(np.random.PCG64(entropy))

    def noise(self, out: np.ndarray[Any, Any]) -> None:
        """Fill ``out`` (V,) with exponential noise; minus its logarithm is Gumbel noise."""
        self.generator.standard_exponential(out=out, dtype=np.float32)


def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    temperature: float,
    seed: int,
    limits: Sequence[int],
    stop_ids: Collection[int],
    stopped: Callable[[], bool] = lambda: False,
    heard: Callable[[int, int], None] | None = None,
) -> list[list[int]]:
    """New token ids for each prompt, the end token included where one was drawn.

    Args:
        model: a causal language model of transformers, in evaluation mode.
        prompts: token ids, one sequence a row, none empty.
        temperature: 0 is greedy.
        seed: with a row's prompt, the seed of its draws.
        limits: most new tokens, by row.
        stop_ids: tokens that end an answer.
        stopped: asked before each step; True gives up and returns what there is.
        heard: told of each new token: the row, and the token.
    """
    draws = [Draw(seed, prompt) for prompt in prompts]
    answers: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))  # rows[i] is the prompt that batch row i answers
    open_rows = set(rows)
    with torch.inference_mode():
        cache, logits, mask = _prefill(model, prompts)
        positions = mask.sum(-1, keepdim=True)  # (B, 1), of the token about to be drawn
        while not stopped():
            tokens = _pick(logits, [draws[row] for row in rows], temperature)  # (B,)
            for row, token in zip(rows, tokens.tolist(), strict=True):
                if row not in open_rows:
                    continue
                answers[row].append(token)
                if heard is not None:
                    heard(row, token)
                if token in stop_ids or len(answers[row]) >= limits[row]:
                    open_rows.remove(row)
            if not open_rows:
                break
            if len(open_rows) <= 0.75 * len(rows):  # worth a copy of the cache
                keep = [i for i, row in enumerate(rows) if row in open_rows]
                rows = [rows[i] for i in keep]
                chosen = torch.tensor(keep, device=tokens.device)
                cache.batch_select_indices(chosen)
                tokens, mask, positions = tokens[chosen], mask[chosen], positions[chosen]
            mask = torch.cat((mask, mask.new_ones(len(rows), 1)), 1)
            logits = _forward(model, tokens[:, None], mask, positions, cache)
            positions = positions + 1
    return answers


def beside_others(model: Any, prompts: Sequence[Sequence[int]]) -> float:
    """How far a prompt's next logits move when another prompt is run with it.

    Args:
        model: as in ``decode``.
        prompts: token ids; the longest and the shortest are run together, then the shortest alone.
    """
    shortest, longest = min(prompts, key=len), max(prompts, key=len)
    with torch.inference_mode():
        together = _prefill(model, [longest, shortest])[1][1]
        alone = _prefill(model, [shortest])[1][0]
        return float((together - alone).abs().max())


def _prefill(model: Any, prompts: Sequence[Sequence[int]]) -> tuple[Any, Tensor, Tensor]:
    """Run the prompts; gives the cache, the last logits (B, V) and the attention mask (B, T)."""
    device = model.device
    cache = DynamicCache(config=model.config)
    is_plain = all(type(layer) is DynamicLayer for layer in cache.layers)
    if is_plain:
        cache.layers = [RoomyLayer() for _ in cache.layers]
    # A sliding window counts padding, so only full attention may have it behind the prefix.
    shared = _shared_length(prompts) if is_plain else 0
    mask = torch.ones(1, shared, dtype=torch.long, device=device)
    if shared:
        prefix = torch.tensor([prompts[0][:shared]], device=device)
        _forward(model, prefix, mask, torch.arange(shared, device=device)[None], cache)
        cache.batch_repeat_interleave(len(prompts))
    rests = [prompt[shared:] for prompt in prompts]
    width = max(map(len, rests))
    padded = [[0] * (width - len(rest)) + list(rest) for rest in rests]
    real = [[0] * (width - len(rest)) + [1] * len(rest) for rest in rests]
    mask = torch.cat((mask.expand(len(prompts), -1), torch.tensor(real, device=device)), 1)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, shared:]
    ids = torch.tensor(padded, device=device)
    return cache, _forward(model, ids, mask, positions, cache), mask


def _shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, at least one being left to each."""
    if len(prompts) < 2:
        return 0
    shortest = min(map(len, prompts)) - 1
    columns = itertools.islice(zip(*prompts, strict=False), shortest)
    return sum(1 for _ in itertools.takewhile(lambda column: len(set(column)) == 1, columns))


def _forward(model: Any, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Tensor:
    """Logits after the last token, (B, V)."""
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    last: Tensor = output.logits[:, -1].float()
    return last


def _pick(logits: Tensor, draws: Sequence[Draw], temperature: float) -> Tensor:
    """The next token of each row, (B,)."""
    if temperature == 0:
        return logits.argmax(-1)
    noise = np.empty(logits.shape, dtype=np.float32)
    for draw, row in zip(draws, noise, strict=True):
        draw.noise(row)
    # float32 noise may be 0, whose logarithm would make any token win
    exponential = torch.from_numpy(noise).clamp_(min=1e-8).to(logits.device)
    return (logits / temperature - exponential.log_()).argmax(-1)
