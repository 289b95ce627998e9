"""A start for the weights that can copy already: an induction circuit written in by hand.

From random weights, four million tokens taught the model every format and no copying (the phase
in which attention learns it comes later than this training ends). So training begins with the
circuit of Olsson et al. 2022 (arXiv:2209.11895): heads that look one and two tokens back, and a
head that finds where the present two tokens stood before and passes on what followed them.
A last head takes the present token out of its own prediction. Training is free to change it all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from model import Attention, Pocket

CODE = 64  # width of a token's code, and of a head
CONSTANT, PRESENT, BACK, BACK2 = 0, slice(1, 65), slice(65, 129), slice(129, 193)
FAST = 8  # the fastest rotary pairs tell neighbours apart
SLOW = range(20, 32)  # the slowest hardly turn within a prompt, so they compare contents


@torch.no_grad()
def write(model: Pocket, sharpness: float = 1.0, match: float = 2.0, gain: float = 2.0) -> None:
    """Write the circuit into heads 2 and 3 of three layers; the rest adds nothing at first."""
    embedding = model.embed_tokens.weight
    embedding.normal_(std=0.01)
    embedding[:, CONSTANT] = 0.5
    codes = torch.randn(embedding.shape[0], CODE)
    embedding[:, PRESENT] = 0.8 * nn.functional.normalize(codes, dim=1)
    for layer in model.layers:
        nn.init.zeros_(layer.self_attn.o_proj.weight)
        nn.init.zeros_(layer.mlp.down_proj.weight)
    first, second, last = (model.layers[i].self_attn for i in (0, 2, -1))
    _look_back(first, model, (1, 2), sharpness)
    _place(first, 2, BACK, 0.05)
    _place(first, 3, BACK2, 0.05)
    _match(second, match)
    _place(second, 2, PRESENT, 0.06 * gain)
    _place(second, 3, PRESENT, 0.06 * gain)
    _look_back(last, model, (0, 0), sharpness)
    _place(last, 2, PRESENT, -0.03)
    _place(last, 3, PRESENT, -0.03)


def _look_back(attention: Attention, model: Pocket, steps: tuple[int, int], sharp: float) -> None:
    """Heads 2 and 3 attend so many tokens back and read the code there."""
    width = attention.dim
    direction = torch.zeros(width)
    direction[:FAST] = sharp * 5 / 3
    for head, back in zip((2, 3), steps, strict=True):
        rows = attention.q_proj.weight[head * width : (head + 1) * width]
        rows.zero_()
        rows[:, CONSTANT] = _turn(direction, model, -back)
    attention.k_proj.weight[width:] = 0
    attention.k_proj.weight[width:, CONSTANT] = direction
    _read(attention)


def _match(attention: Attention, match: float) -> None:
    """Heads 2 and 3 find the place whose two tokens before are the present two."""
    width, pairs = attention.dim, len(SLOW)
    slow = [*SLOW, *(f + width // 2 for f in SLOW)]
    near = match * torch.linalg.qr(torch.randn(CODE, CODE))[0][: pairs + 4]
    far = 0.7 * match * torch.linalg.qr(torch.randn(CODE, CODE))[0][: pairs - 4]
    for head in (2, 3):
        rows = torch.zeros(width, attention.q_proj.weight.shape[1])
        rows[slow, PRESENT] = torch.cat((near, 0 * far))
        rows[slow, BACK] = torch.cat((0 * near, far))
        attention.q_proj.weight[head * width : (head + 1) * width] = rows
    rows = torch.zeros(width, attention.k_proj.weight.shape[1])
    rows[slow, BACK] = torch.cat((near, 0 * far))
    rows[slow, BACK2] = torch.cat((0 * near, far))
    attention.k_proj.weight[width:] = rows
    _read(attention)


def _read(attention: Attention) -> None:
    """The second value head carries the code of the token it looks at."""
    attention.v_proj.weight[attention.dim :] = 0
    attention.v_proj.weight[attention.dim :, PRESENT] = torch.eye(CODE)


def _place(attention: Attention, head: int, target: slice, scale: float) -> None:
    """Write what a head carries into a part of the stream."""
    columns = slice(head * attention.dim, (head + 1) * attention.dim)
    attention.o_proj.weight[target, columns] = scale * torch.eye(CODE)


def _turn(x: Tensor, model: Pocket, steps: int) -> Tensor:
    """Rotate as the position ``steps`` would."""
    cos, sin = model.cos[abs(steps)], model.sin[abs(steps)] * (1 if steps >= 0 else -1)
    left, right = x.chunk(2)
    return torch.cat((left * cos - right * sin, right * cos + left * sin))
