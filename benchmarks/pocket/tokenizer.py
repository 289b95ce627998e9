"""The tokenizer: byte-level BPE whose pieces include the marks of YAML and of DSPy's format.

Train it: ``PYTHONPATH=harness:plugins python benchmarks/pocket/tokenizer.py --out DIR``
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from corpus import Chat

PIECES = "|".join(
    (
        r"\s*\[\[ ## \w+ ## \]\]\n?",  # a field marker of DSPy
        r"\n(?:- |  )?[a-z]+(?:_[a-z]+)*:(?=\s)",  # a YAML key at the start of a line
        r" ?\p{L}+",
        r" ?\p{N}",  # digits one by one
        r" ?[^\s\p{L}\p{N}]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
TEMPLATE = """{{- bos_token -}}
{%- if messages[0].role == 'system' -%}
{%- set system = messages[0].content + '\\n\\n' -%}{%- set turns = messages[1:] -%}
{%- else -%}{%- set system = '' -%}{%- set turns = messages -%}{%- endif -%}
{%- for message in turns -%}
{%- if message.role == 'user' -%}
{{- '[INST] ' + (system if loop.first else '') + message.content + ' [/INST]' -}}
{%- else -%}{{- ' ' + message.content + eos_token -}}{%- endif -%}
{%- endfor -%}
"""
CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "padding_side": "left",
    "model_max_length": 4096,
    "clean_up_tokenization_spaces": False,
}


def train(texts: Iterator[str], vocab_size: int) -> Tokenizer:
    """Learn the pieces; blanks beside ``[INST]`` and ``[/INST]`` belong to those marks.

    So a prompt has the same tokens at its end and before an answer.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<unk>", "<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    marks = [
        AddedToken("[INST]", special=True, rstrip=True),
        AddedToken("[/INST]", special=True, lstrip=True, rstrip=True),
    ]
    tokenizer.add_special_tokens(marks)
    return tokenizer


def save(tokenizer: Tokenizer, directory: Path) -> None:
    """Write the three files that transformers reads."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(directory / "tokenizer.json"))
    text = json.dumps(CONFIG, indent=2) + "\n"
    (directory / "tokenizer_config.json").write_text(text)
    (directory / "chat_template.jinja").write_text(TEMPLATE)


def render(messages: tuple[tuple[str, str], ...]) -> str:
    """What the chat template makes of these messages, up to the answer."""
    turns = list(messages)
    system = turns.pop(0)[1] + "\n\n" if turns[0][0] == "system" else ""
    text = "<s>"
    for i, (who, content) in enumerate(turns):
        if who == "user":
            text += f"[INST] {system if i == 0 else ''}{content} [/INST]"
        else:
            text += f" {content}</s>"
    return text


def texts(chats: Iterator[Chat], count: int, prompts: int) -> Iterator[str]:
    """Answers of ``count`` chats and, for every ``prompts``-th, its prompt."""
    for i, chat in zip(range(count), chats, strict=False):
        yield chat.answer
        yield chat.messages[-1][1].split("Concept: ")[-1]
        if i % prompts == 0:
            yield "\n".join(content for _, content in chat.messages)


def main() -> None:
    """Train on the corpus and save."""
    from corpus import Corpus

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vocab", type=int, default=4096)
    parser.add_argument("--chats", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    corpus = Corpus(options.seed)
    chats = (chat for group in corpus.groups(0.1) for chat in group.chats)
    words = " ".join(corpus.grammar.words["en"].rare + corpus.grammar.words["es"].rare)
    material = texts(chats, options.chats, 20)
    tokenizer = train(_with(material, words), options.vocab - 2)
    save(tokenizer, options.out)
    print(f"{tokenizer.get_vocab_size()} tokens")


def _with(material: Iterator[str], words: str) -> Iterator[str]:
    yield from material
    yield words


if __name__ == "__main__":
    main()
