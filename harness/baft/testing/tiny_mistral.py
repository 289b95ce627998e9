"""A Mistral of a few thousand random weights with a byte-level tokenizer, made on the spot.

Written as files, so that making it takes no torch; whatever reads Hugging Face folders opens it.
Needs safetensors and numpy, which come with baft's extra ``lora``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPECIAL = ("<unk>", "<s>", "</s>", "<pad>", "[INST]", "[/INST]")

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'user' %}[INST]{{ message.content }}[/INST]"
    "{% else %}{{ message.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
"""Mistral's own form in short: a user turn between two marks, the answer, the end token."""

SPREAD = 0.2
"""Standard deviation of the weights: so large that greedy answers differ between prompts."""


def make_tiny_mistral(path: Path, *, seed: int = 0, template: str = TEMPLATE, **sizes: Any) -> Path:
    """Write a model with random weights and its tokenizer to ``path``, which is returned.

    Args:
        path: a folder, made if need be.
        seed: of the weights.
        template: chat template in Jinja; empty for none.
        sizes: entries of ``config.json`` that differ, such as ``num_hidden_layers``.
    """
    config = {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "dtype": "float32",
        "vocab_size": len(SPECIAL) + 256,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": SPECIAL.index("<s>"),
        "eos_token_id": SPECIAL.index("</s>"),
        "pad_token_id": SPECIAL.index("<pad>"),
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "initializer_range": SPREAD,
        **sizes,
    }
    path.mkdir(parents=True, exist_ok=True)
    ends = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    _write(path / "config.json", config)
    _write(path / "generation_config.json", ends)
    _write(path / "tokenizer.json", _tokenizer())
    _write(
        path / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": "<unk>",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "pad_token": "<pad>",
            "additional_special_tokens": ["[INST]", "[/INST]"],
        },
    )
    if template:
        (path / "chat_template.jinja").write_text(template, encoding="utf-8")
    _write_weights(path / "model.safetensors", dict(_shapes(config)), seed)
    return path


def _shapes(config: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every weight: H hidden, F feed-forward, K keys and values, V vocabulary."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim") or hidden // config["num_attention_heads"]
    queries, keys = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)  # (V, H)
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        yield f"{layer}.input_layernorm.weight", (hidden,)
        yield f"{layer}.self_attn.q_proj.weight", (queries, hidden)
        yield f"{layer}.self_attn.k_proj.weight", (keys, hidden)  # (K, H)
        yield f"{layer}.self_attn.v_proj.weight", (keys, hidden)
        yield f"{layer}.self_attn.o_proj.weight", (hidden, queries)
        yield f"{layer}.post_attention_layernorm.weight", (hidden,)
        yield f"{layer}.mlp.gate_proj.weight", (inner, hidden)  # (F, H)
        yield f"{layer}.mlp.up_proj.weight", (inner, hidden)
        yield f"{layer}.mlp.down_proj.weight", (hidden, inner)
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (config["vocab_size"], hidden)


def _write_weights(path: Path, shapes: dict[str, tuple[int, ...]], seed: int) -> None:
    """Norms of one, all else normal."""
    import numpy as np
    from safetensors.numpy import save_file

    draws = np.random.default_rng(seed)
    weights = {
        name: np.ones(shape) if name.endswith("norm.weight") else draws.normal(0, SPREAD, shape)
        for name, shape in shapes.items()
    }
    save_file({name: each.astype("f4") for name, each in weights.items()}, path, {"format": "pt"})


def _tokenizer() -> dict[str, Any]:
    """One token a byte, behind the special ones; no merges."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokens = (*SPECIAL, *sorted(_alphabet()))
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": number, "content": token, **flags, "special": True}
            for number, token in enumerate(SPECIAL)
        ],
        "pre_tokenizer": {**byte_level, "use_regex": True},
        "decoder": {**byte_level, "use_regex": True},
        "model": {
            "type": "BPE",
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [],
        },
    }


def _alphabet() -> Iterator[str]:
    """The 256 signs that stand for bytes in GPT-2's tokenizer: printable ones for themselves.

    Radford et al. (2019), ``bytes_to_unicode`` in ``src/encoder.py`` of openai/gpt-2.

    >>> len(set(_alphabet())), next(_alphabet())
    (256, 'Ā')
    """
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = 0
    for byte in range(256):
        yield chr(byte) if byte in printable else chr(256 + others)
        others += byte not in printable


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
