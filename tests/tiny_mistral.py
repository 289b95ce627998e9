"""A Mistral of a few thousand random weights with a byte-level tokenizer, made on the spot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from pathlib import Path

SPECIAL = ("<unk>", "<s>", "</s>", "<pad>", "[INST]", "[/INST]")

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'user' %}[INST]{{ message.content }}[/INST]"
    "{% else %}{{ message.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
"""Mistral's own form in short: a user turn between two marks, the answer, the end token."""


def make_tiny_mistral(path: Path, *, seed: int = 0, template: str = TEMPLATE, **sizes: Any) -> Path:
    """Write a model with random weights and its tokenizer to ``path``, which is returned."""
    tokenizer = byte_tokenizer(template)
    tokenizer.save_pretrained(path)
    torch.manual_seed(seed)
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "vocab_size": len(tokenizer),
    }
    config = MistralConfig(
        **(shape | sizes),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        sliding_window=None,
        tie_word_embeddings=True,
        initializer_range=0.2,  # so large that greedy answers differ between prompts
    )
    MistralForCausalLM(config).save_pretrained(path)
    return path


def byte_tokenizer(template: str = TEMPLATE) -> PreTrainedTokenizerFast:
    """One token a byte, behind the special ones; no merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate((*SPECIAL, *alphabet))}
    raw = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=["[INST]", "[/INST]"],
        chat_template=template or None,
    )
