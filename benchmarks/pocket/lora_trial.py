"""A quick LoRA trial on surrogate documents, to see how far fine-tuning can move the model.

The real contender learns from the 98 training examples; nothing here touches them. A surrogate
says plain dictionary definitions about a random idea in a complete style, so its text is as
surprising to the model as a person's.
``PYTHONPATH=harness:plugins python benchmarks/pocket/lora_trial.py --model DIR --out DIR``
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import torch
from document import Document, compose, plain_answer
from evaluate import load
from grammar import Grammar
from peft import LoraConfig, get_peft_model
from styles import complete
from tokenizer import render
from train import rate

from baft_ba import role

if TYPE_CHECKING:
    from grammar import Idea


def surrogate(grammar: Grammar, random: Random, foreign: float) -> tuple[str, str]:
    """A concept and a complete document; ``foreign`` of its sentences are definitions."""
    idea = grammar.idea(random)
    style = replace(complete(random), counts=(random.randint(4, 7), random.randint(3, 5), 3))
    document = compose(grammar, idea, style, random)
    lists = {
        name: tuple(
            replace(item, text=_definition(grammar, idea, random))
            if random.random() < foreign
            else item
            for item in items
        )
        for name, items in document.lists.items()
    }
    document = Document(title=document.title, description=document.description, lists=lists)
    return role.render(idea.concept), plain_answer(document, style, idea.lang, random)


def _definition(grammar: Grammar, idea: Idea, random: Random) -> str:
    first, second = random.sample(grammar.words["en"].glosses, 2)
    return f"{first.capitalize()} and {idea.slots['o1']} or {second}"


def train(
    model: torch.nn.Module, rows: list[tuple[list[int], list[int]]], epochs: int, lr: float
) -> torch.nn.Module:
    """Three epochs of AdamW in batches of 4 on the answers only."""
    config = LoraConfig(
        r=8,
        lora_alpha=32,
        lora_dropout=0.1,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
        task_type="CAUSAL_LM",
    )
    tuned = get_peft_model(model, config).train()
    weights = [p for p in tuned.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0)
    batches = [rows[i : i + 4] for _ in range(epochs) for i in range(0, len(rows), 4)]
    for step, batch in enumerate(batches):
        optimizer.param_groups[0]["lr"] = lr * rate(step / len(batches))
        answers = sum(len(answer) for _, answer in batch)
        for prompt, answer in batch:
            labels = torch.tensor([[-100] * len(prompt) + answer])
            out = tuned(input_ids=torch.tensor([prompt + answer]), labels=labels)
            (out.loss * len(answer) / answers).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return tuned.eval()


def main() -> None:
    """Train an adapter on surrogates and save it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--foreign", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    model, tokenizer = load(options.model)
    grammar, random = Grammar(), Random(options.seed)
    rows = []
    for _ in range(98):
        prompt, answer = surrogate(grammar, random, options.foreign)
        ids = tokenizer(render((("user", prompt),)), add_special_tokens=False)["input_ids"]
        rows.append((ids, tokenizer(answer + "</s>", add_special_tokens=False)["input_ids"]))
    train(model, rows, 3, options.lr).save_pretrained(options.out)


if __name__ == "__main__":
    main()
