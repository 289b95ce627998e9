"""Measure the pocket model on the development concepts, prompt form by prompt form.

``PYTHONPATH=harness:plugins python benchmarks/pocket/evaluate.py --model artifacts/models/pocket``
prints one line per arm: mean score over concepts and seeds, its parts, and concept recall.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy_form
import metric
import torch
from tokenizer import render
from transformers import AutoModelForCausalLM, AutoTokenizer

from baft_ba import role

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
CLAUSES = (
    "Number items FR001, NFR001 and C001 with three digits. The title has 20 to 80 characters. "
    "Write a description of at least two sentences. Give at least three items in each list. "
    "Every item needs id, description and priority. Write plain YAML without fences or Markdown. "
    "Always include constraints."
)
DEMO_CONCEPT = "Bakery owners want regular customers to reserve sourdough loaves the night before."
DEMO = {
    "title": "Overnight Sourdough Reservations for Bakeries",
    "description": "Regular customers reserve sourdough loaves the night before and pay at pickup. "
    "Bakery owners see how many loaves to bake, so that nothing is thrown away in the evening.",
    "functional_requirements": """- id: FR001
  description: Customers choose loaves and a pickup hour until nine in the evening
  priority: High
- id: FR002
  description: Bakery owners see the total for each kind of bread before baking starts
  priority: High
- id: FR003
  description: Reserved loaves that nobody collects are offered at half price after noon
  priority: Low""",
    "non_functional_requirements": """- id: NFR001
  description: A reservation takes less than 30 seconds on an ordinary phone
  priority: Medium
- id: NFR002
  description: The list for the bakers is ready at two in the morning on 99 percent of days
  priority: High""",
    "constraints": """- id: C001
  description: The till of the shop cannot be replaced this year
  priority: Medium
- id: C002
  description: Prices may not change after a reservation was confirmed
  priority: High""",
}
Form = "Callable[[str], tuple[tuple[str, str], ...]]"


def forms() -> dict[str, Form]:
    """How each arm asks."""
    keys = role.INSTRUCTION.removeprefix(role.TASK)
    better = f"{role.TASK} {CLAUSES}"
    demo = {"concept": DEMO_CONCEPT, **DEMO}
    return {
        "plain": lambda c: (("user", role.render(c)),),
        "clauses": lambda c: (("user", f"{better}{keys}\n\nConcept: {c}"),),
        "dspy": lambda c: dspy_form.messages(role.TASK, [], c),
        "dspy+clauses": lambda c: dspy_form.messages(better, [], c),
        "dspy+demo": lambda c: dspy_form.messages(role.TASK, [demo], c),
        "dspy+both": lambda c: dspy_form.messages(better, [demo], c),
    }


@torch.inference_mode()
def generate(
    model: Any, tokenizer: Any, prompts: Sequence[str], seed: int, temperature: float = 0.7
) -> list[str]:
    """One sampled answer per prompt, all in one batch."""
    torch.manual_seed(seed)
    batch = tokenizer(list(prompts), return_tensors="pt", padding=True, add_special_tokens=False)
    batch.pop("token_type_ids", None)
    out = model.generate(
        **batch,
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        max_new_tokens=900,
        pad_token_id=tokenizer.pad_token_id,
    )
    answers = out[:, batch["input_ids"].shape[1] :]
    return [str(text) for text in tokenizer.batch_decode(answers, skip_special_tokens=True)]


def measure(
    model: Any, tokenizer: Any, form: Form, concepts: Sequence[str], seeds: Sequence[int]
) -> dict[str, Any]:
    """Mean score and recall over concepts and seeds, with the answers."""
    prompts = [render(form(concept)) for concept in concepts]
    start = time.monotonic()
    answers = [generate(model, tokenizer, prompts, seed) for seed in seeds]
    scores = [
        [metric.score(concept, text) for concept, text in zip(concepts, texts, strict=True)]
        for texts in answers
    ]
    recalls = [
        metric.recall(concept, text)
        for texts in answers
        for concept, text in zip(concepts, texts, strict=True)
    ]
    means = [sum(row) / len(row) for row in scores]
    flat = [value for row in scores for value in row]
    return {
        "score": round(sum(means) / len(means), 4),
        "by_seed": [round(value, 4) for value in means],
        "zero": round(sum(value == 0 for value in flat) / len(flat), 3),
        "full": round(sum(value > 0.92 for value in flat) / len(flat), 3),
        "recall": round(sum(recalls) / len(recalls), 3),
        "seconds": round((time.monotonic() - start) / len(seeds), 1),
        "answers": answers,
    }


def load(directory: Path) -> tuple[Any, Any]:
    """Model in fp32 and tokenizer, from disk alone."""
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, local_files_only=True
    )
    return model.eval(), tokenizer


def dev_concepts() -> list[str]:
    """The development concepts; the validation examples are none of them."""
    lines = (HERE / "dev_concepts.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["concept"] for line in lines]


def main() -> None:
    """Measure the arms asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--adapter", type=Path, help="a LoRA adapter, measured on the plain prompt")
    parser.add_argument("--arms", nargs="*", default=None)
    parser.add_argument("--seeds", nargs="*", type=int, default=[42, 43, 44])
    parser.add_argument("--limit", type=int, default=None, help="use only the first concepts")
    parser.add_argument("--show", type=int, default=0, help="print so many answers per arm")
    options = parser.parse_args()
    model, tokenizer = load(options.model)
    if options.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, options.adapter).eval()
    concepts = dev_concepts()[slice(None, None) if not options.limit else slice(options.limit)]
    for name, form in forms().items():
        if options.arms is None or name in options.arms:
            result = measure(model, tokenizer, form, concepts, options.seeds)
            answers = result.pop("answers")
            print(json.dumps({"arm": name, "n": len(concepts), **result}), flush=True)
            for concept, text in list(zip(concepts, answers[0], strict=True))[: options.show]:
                print(f"### {concept}\n{text}\n")


if __name__ == "__main__":
    main()
