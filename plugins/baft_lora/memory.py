"""Bytes: what is free, within the limits of a container too, and what a training step keeps."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NO_LIMIT = 1 << 60
"""Version 1 of cgroups writes a greater number where there is no limit."""

VERSIONS = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Files of a limit and of what is used of it, and the part of that which gives way: Linux,
Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst."""

SHARED = {"k_proj": "q_proj", "v_proj": "q_proj", "up_proj": "gate_proj"}
"""Modules that have the same input as another."""


def free_memory(device: str) -> int:
    """Bytes that can be had: of the GPU, or of the machine and of every container around us."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    import psutil  # type: ignore[import-untyped]  # comes with peft

    return min([int(psutil.virtual_memory().available), *_free_in_groups(Path("/"))])


def free_disk(path: Path) -> int:
    """Bytes free where ``path`` lies or would lie."""
    folder = next(f for f in (path.resolve(), *path.resolve().parents) if f.is_dir())
    return shutil.disk_usage(folder).free


def _free_in_groups(root: Path) -> Iterator[int]:
    """Bytes left in each control group of this process that has a limit; ``root`` is ``/``."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return  # no Linux
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers not in VERSIONS:
            continue
        mount = root / "sys/fs/cgroup" / controllers
        group = mount / name.lstrip("/")
        if not group.is_dir():  # a container sees its own group as the root
            group = mount
        while True:
            yield from _free_in(group, *VERSIONS[controllers])
            if group == mount:
                break
            group = group.parent


def _free_in(group: Path, limit_file: str, used_file: str, yielding: str) -> Iterator[int]:
    try:
        limit = (group / limit_file).read_text().strip()
        if limit == "max" or int(limit) > NO_LIMIT:
            return
        used = int((group / used_file).read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return  # not the root's to say
    yield max(0, int(limit) - used + int(stat.get(yielding, 0)))


def activation_bytes(
    config: Any,
    targets: Sequence[str],
    *,
    tokens: int,
    logit_tokens: int,
    seen: float,
    width: int,
    dropout: bool,
    recompute: bool,
    device: str,
) -> int:
    """What the forward pass of a LoRA keeps for its backward pass, and the logits.

    Counted on Llama-like layers of transformers 5.23 and PEFT 0.21 (float32 norms and adapters):
    13 bytes by hidden unit, gate, up and their product, keys and values; by adapted module its
    input in float32 and the mask of its dropout, or on a CPU (``adding``) the input as it is, once
    for modules that share it, and a mask of two bytes; by head the weights of what is attended to.

    Args:
        config: of the text model.
        targets: names of the adapted modules, such as ``q_proj``.
        tokens: of the batch, padding included.
        logit_tokens: those of them whose logits are computed.
        seen: tokens that a token attends to in the mean, if their weights are kept; else 0.
        width: bytes of a number between the layers, 2 or 4.
        dropout: whether the adapters drop inputs.
        recompute: whether only the inputs of the layers are kept (gradient checkpointing).
        device: ``cpu`` or ``cuda``.
    """
    hidden = config.hidden_size
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or hidden // heads
    experts = getattr(config, "num_experts_per_tok", None) or 1
    inner = (getattr(config, "intermediate_size", None) or 4 * hidden) * experts
    groups = getattr(config, "num_key_value_heads", None) or heads
    inputs = {"o_proj": head * heads, "down_proj": inner}
    adapted = sum(inputs.get(name, hidden) for name in targets)
    if device == "cpu":
        shared = {SHARED.get(name, name): inputs.get(name, hidden) for name in targets}
        adapted = sum(shared.values()) * width + adapted * (2 if dropout else 0)
    else:
        adapted *= 8 if dropout else 4
    numbers = 3 * inner + 2 * head * groups + heads * seen
    layer = 13 * hidden + numbers * width + adapted  # bytes by token
    kept = config.num_hidden_layers * (hidden * width if recompute else layer)
    if recompute:
        kept += layer  # of the one that is computed again
    logits = config.vocab_size * (width + 3 * 4)  # as they come, in float32, normed, gradient
    return int(tokens * kept + logit_tokens * logits)
