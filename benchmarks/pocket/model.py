"""A small Mistral in plain torch, and its export to the transformers format.

One training group is a prompt prefix shared by several branches (the end of a prompt and its
answer). The prefix runs once; each branch attends to it and to itself, so a token of a long
prompt is paid for once. Letters: N tokens of a group, P of them prefix, C width, H heads,
D width of a head, V vocabulary, A answer tokens.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes of a model, in the words of transformers' ``MistralConfig``."""

    vocab_size: int = 4096
    hidden_size: int = 256
    intermediate_size: int = 640
    num_hidden_layers: int = 5
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    rms_norm_eps: float = 1e-5
    max_position_embeddings: int = 4096
    rope_theta: float = 10000.0

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads


IGNORED = -(10**6)
"""In place of a token that is not to be learnt."""


def unlikely(token: int) -> int:
    """In place of a token: that this one is not to come."""
    return ~token


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Token ids of one shared prefix and of its branches, and what is learnt at their ends."""

    prefix: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...]
    targets: tuple[tuple[int, ...], ...]
    """What is to come at the place of each of a branch's last tokens, or ``unlikely(what)`` is not
    to come; ``IGNORED`` is not learnt."""
    kind: str = ""

    @property
    def learnt(self) -> int:
        """How many tokens are learnt."""
        return sum(token != IGNORED for targets in self.targets for token in targets)

    @property
    def tokens(self) -> int:
        """How many tokens one pass computes."""
        return len(self.prefix) + sum(len(branch) for branch in self.branches)


class Attention(nn.Module):
    """Grouped-query attention over a prefix and its branches."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.kv_heads = shape.num_attention_heads, shape.num_key_value_heads
        self.dim = shape.head_dim
        width, kv_width = shape.hidden_size, self.kv_heads * self.dim
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, kv_width, bias=False)
        self.v_proj = nn.Linear(width, kv_width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], sizes: Sequence[int]) -> Tensor:
        """Attend; ``x`` is (N, C); ``sizes`` are the lengths of the prefix and of each branch."""
        query = _rotate(self.q_proj(x).view(-1, self.heads, self.dim).transpose(0, 1), *rope)
        key = _rotate(self.k_proj(x).view(-1, self.kv_heads, self.dim).transpose(0, 1), *rope)
        value = self.v_proj(x).view(-1, self.kv_heads, self.dim).transpose(0, 1)
        repeats = self.heads // self.kv_heads
        key = key.repeat_interleave(repeats, 0)  # (H, N, D)
        value = value.repeat_interleave(repeats, 0)
        queries, keys, values = (t.split(list(sizes), dim=1) for t in (query, key, value))
        outputs = [_attend(queries[0], keys[0], values[0])] if sizes[0] else [queries[0]]
        for q, k, v in zip(queries[1:], keys[1:], values[1:], strict=True):
            k, v = torch.cat((keys[0], k), 1), torch.cat((values[0], v), 1)
            outputs.append(_attend(q, k, v))
        flat = torch.cat(outputs, 1).transpose(0, 1).reshape(x.shape[0], -1)
        return self.o_proj(flat)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention whose queries are the last ones of the keys, each (H, tokens, D).

    Written out, because on a CPU in bf16 it takes half the time of torch's own (measured).
    """
    rows, columns = query.shape[1], key.shape[1]
    future = torch.ones(rows, columns, dtype=torch.bool).triu(columns - rows + 1)
    bias = torch.zeros(rows, columns, dtype=query.dtype).masked_fill_(future, -1e9)
    bias = bias.expand(query.shape[0], -1, -1)
    scores = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=query.shape[-1] ** -0.5)
    return torch.bmm(scores.softmax(-1), value)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding in the half-split form transformers uses for Mistral."""
    left, right = x.chunk(2, -1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), -1)


class MLP(nn.Module):
    """The gated feed-forward layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.up_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.down_proj = nn.Linear(shape.intermediate_size, shape.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to (N, C)."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """One layer, with the parameter names of transformers."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(shape), MLP(shape)
        self.input_layernorm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_eps)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], sizes: Sequence[int]) -> Tensor:
        """Attention, then the feed-forward layer, each added to (N, C)."""
        x = x + self.self_attn(self.input_layernorm(x), rope, sizes)
        return x + self.mlp(self.post_attention_layernorm(x))


class Pocket(nn.Module):
    """The whole model with tied embeddings; ``forward`` gives the loss of one group."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.num_hidden_layers))
        self.norm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
        inverse = shape.rope_theta ** -(torch.arange(0, shape.head_dim, 2) / shape.head_dim)
        angles = torch.outer(torch.arange(shape.max_position_embeddings).float(), inverse)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, group: Group) -> tuple[Tensor, int]:
        """Summed loss of what is learnt, and how many tokens that are.

        Cross-entropy; of an unlikely token minus log(1 - p) (Welleck et al. 2020, equation 4).
        """
        sizes = [len(group.prefix), *(len(branch) for branch in group.branches)]
        ids = list(group.prefix)
        positions = list(range(sizes[0]))
        sources: list[int] = []  # rows of x whose next token is an answer token
        targets: list[int] = []
        for branch, learnt in zip(group.branches, group.targets, strict=True):
            ids += branch
            positions += range(sizes[0], sizes[0] + len(branch))
            sources += range(len(ids) - len(learnt) - 1, len(ids) - 1)
            targets += learnt
        rows = torch.tensor(positions)
        x = self.embed_tokens(torch.tensor(ids))  # (N, C)
        rope = (self.cos[rows].to(x.dtype), self.sin[rows].to(x.dtype))
        for layer in self.layers:
            x = layer(x, rope, sizes)
        x = self.norm(x[torch.tensor(sources)])
        logits = F.linear(x, self.embed_tokens.weight).float()  # (A, V)
        wanted = torch.tensor(targets)
        said = wanted.where(wanted >= 0, IGNORED)
        loss = F.cross_entropy(logits, said, reduction="sum", ignore_index=IGNORED)
        refused = (wanted < 0) & (wanted != IGNORED)
        if refused.any():
            rows, tokens = logits[refused], ~wanted[refused, None]
            others = rows.scatter(1, tokens, -torch.inf)
            loss = loss + (rows.logsumexp(1) - others.logsumexp(1)).sum()
        return loss, group.learnt


def load(model: Pocket, directory: Path, sharpness: float = 1.0) -> None:
    """Take over the weights of an export; ``sharpness`` is what its logits were multiplied by."""
    weights = load_file(directory / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] / sharpness
    model.load_state_dict({name.removeprefix("model."): w for name, w in weights.items()})


def export(model: Pocket, directory: Path, ids: dict[str, int], sharpness: float = 1.0) -> None:
    """Write ``config.json``, ``generation_config.json`` and bf16 weights for transformers.

    ``sharpness`` multiplies the logits, through the last norm: the exported model answers at
    temperature 0.7 as the trained one would at 0.7 / sharpness. Models that were tuned to be
    assistants are far surer of themselves than freshly trained ones; this one is made so by hand.
    """
    directory.mkdir(parents=True, exist_ok=True)
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    weights["model.norm.weight"] = weights["model.norm.weight"] * sharpness
    save_file(
        {name: value.to(torch.bfloat16).contiguous() for name, value in weights.items()},
        directory / "model.safetensors",
        metadata={"format": "pt"},
    )
    sizes = asdict(model.shape)
    theta = sizes.pop("rope_theta")
    config = {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        **sizes,
        "head_dim": model.shape.head_dim,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "hidden_act": "silu",
        "sliding_window": None,
        "attention_dropout": 0.0,
        "tie_word_embeddings": True,
        "dtype": "bfloat16",
        "use_cache": True,
        **ids,
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    generation = {**ids, "do_sample": True, "temperature": 0.7, "max_new_tokens": 1024}
    (directory / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
