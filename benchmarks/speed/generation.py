"""Local generation: baft beside one-by-one ``generate`` and transformers' continuous batching.

Run it: .venv/bin/python benchmarks/speed/generation.py [--rounds 3] [--ways baft one batch]
        .venv/bin/python benchmarks/speed/generation.py --shape 7b

``pocket`` answers the 22 validation examples at temperature 0.7, each way on the threads that it is
fastest on; ``7b`` is a model of Mistral-7B's shape with random weights, and needs a CUDA GPU.
Ways take turns, so that a busy moment hits all alike; printed is the best round of each, by seconds
of CPU and by wall time. Draws differ, and with them the tokens made, so rates are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig, MistralConfig
from transformers import MistralForCausalLM as Mistral

import baft
from baft.loader import load_plugins
from baft.store import read_dataset
from baft_lora.backend import LocalBackend
from baft_lora.loading import load_tokenizer, load_weights, quiet
from baft_lora.rendering import prompt_ids
from baft_lora.sampling import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[2]
POCKET = ROOT / "artifacts" / "models" / "pocket"
VAL = ROOT / "artifacts" / "synthetic" / "ba_val_v2_fixed.jsonl"

TEMPERATURE, MAX_TOKENS, SEED = 0.7, 1024, 42
BATCHING = (
    {"num_blocks": 64, "max_batch_tokens": 64},
    {"num_blocks": 128, "max_batch_tokens": 256},
)
"""Settings of continuous batching that were fast here, of those tried; the best counts."""

SHAPE = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "sliding_window": None,
}
"""Of Mistral-7B-Instruct-v0.2."""
ROWS, NEW = (22, 500), 256
"""Examples of the 7B shape, and tokens made for each: random weights draw no end token."""


@dataclass
class Way:
    """One way to generate, on so many threads; gives the tokens that it made."""

    name: str
    threads: int
    run: Callable[[], int]
    tokens: int = 0
    cpu: list[float] = field(default_factory=list)  # tokens by second of CPU
    wall: list[float] = field(default_factory=list)  # tokens by second

    def measure(self) -> None:
        """Run it once."""
        torch.set_num_threads(self.threads)
        cpu, wall = time.process_time(), time.perf_counter()
        with quiet():
            self.tokens = self.run()
        self.cpu.append(self.tokens / (time.process_time() - cpu))
        self.wall.append(self.tokens / (time.perf_counter() - wall))
        said = f"{self.name}, {self.threads} threads: {self.tokens} tokens"
        print(f"{said}, {self.wall[-1]:.0f} a second, {self.cpu[-1]:.0f} by CPU", file=sys.stderr)


def sampling_config(new: int, stops: Sequence[int]) -> GenerationConfig:
    """The softmax at a temperature, nothing cut off: what baft draws from."""
    return GenerationConfig(
        do_sample=True,
        temperature=TEMPERATURE,
        top_k=0,
        top_p=1.0,
        max_new_tokens=new,
        min_new_tokens=None if stops else new,
        eos_token_id=list(stops) or None,
        pad_token_id=0,
    )


def one_by_one(model: Any, ids: list[list[int]], config: GenerationConfig) -> int:
    """``model.generate`` for each prompt."""
    made = 0
    for row in ids:
        asked = torch.tensor([row], device=model.device)
        output = model.generate(
            asked, attention_mask=torch.ones_like(asked), generation_config=config
        )
        made += output.shape[1] - len(row)
    return made


def batched(model: Any, ids: list[list[int]], config: GenerationConfig, **how: int) -> int:
    """``model.generate_batch`` for all of them."""
    found = model.generate_batch(
        inputs=ids,
        generation_config=config,
        continuous_batching_config=ContinuousBatchingConfig(**how),
        warmup=False,
    )
    if len(found) < len(ids) or any(result.error for result in found.values()):
        sys.exit(f"Continuous batching with {how} did not answer all prompts.")
    return sum(len(result.generated_tokens) for result in found.values())


def pocket_ways(limit: int | None) -> list[Way]:
    """The validation examples on the pocket model."""
    role = load_plugins().role("ba")
    examples = read_dataset(VAL, role).examples[:limit]
    prompts = [role.prompt(example) for example in examples]
    tokenizer = load_tokenizer(POCKET)
    ids = [list(prompt_ids(tokenizer, prompt.messages)) for prompt in prompts]
    model = load_weights(POCKET, dtype="float32", device="cpu")
    backend = LocalBackend.open_model(str(POCKET), load_plugins().context(device="cpu"))
    decoding = baft.Decoding(temperature=TEMPERATURE, max_tokens=MAX_TOKENS, seed=SEED)
    first = baft.Decoding(max_tokens=1)
    asyncio.run(backend.generate(prompts[:1], first))  # loads the weights, as ``model`` has

    def ours() -> int:
        made = 0
        for start in range(0, len(prompts), backend.batch_size):
            batch = prompts[start : start + backend.batch_size]
            answers = asyncio.run(backend.generate(batch, decoding))
            made += sum(answer.completion_tokens or 0 for answer in answers)
        return made

    config = sampling_config(MAX_TOKENS, sorted(backend.describe()["stop_ids"]))
    cores = torch.get_num_threads()
    ways = [Way("baft", cores, ours)]  # it chooses its threads itself
    for threads in sorted({1, cores}):
        ways.append(Way("one by one", threads, lambda: one_by_one(model, ids, config)))
        ways += [
            Way(f"batch {how}", threads, lambda how=how: batched(model, ids, config, **how))
            for how in BATCHING
        ]
    return ways


def large_ways(rows: int) -> list[Way]:
    """Random prompts of 200 tokens, 150 of them shared, on a 7B shape in bfloat16."""
    torch.manual_seed(SEED)
    with torch.device("cuda"):
        model = Mistral(MistralConfig(**SHAPE, dtype="bfloat16")).to(torch.bfloat16).eval()
    shared = torch.randint(3, 32000, (150,)).tolist()
    ids = [shared + torch.randint(3, 32000, (50,)).tolist() for _ in range(rows)]
    config = sampling_config(NEW, ())
    size = 256  # rows of 450 tokens keep 15 GB of cache

    def ours() -> int:
        made = 0
        for start in range(0, rows, size):
            batch = ids[start : start + size]
            answers = decode(
                model,
                batch,
                temperature=TEMPERATURE,
                seed=SEED,
                limits=[NEW] * len(batch),
                stop_ids=(),
            )
            made += sum(map(len, answers))
        return made

    threads = torch.get_num_threads()
    return [
        Way("baft", threads, ours),
        Way("one by one", threads, lambda: one_by_one(model, ids[:22], config)),
        Way("batch {}", threads, lambda: batched(model, ids, config)),
    ]


def show(ways: Sequence[Way]) -> None:
    """One line for each way, then baft beside the best of each other kind."""
    print(f"{'way':<52} threads  tokens  tokens/s  by CPU second")
    for way in ways:
        print(
            f"{way.name:<52} {way.threads:>7} {way.tokens:>7} {max(way.wall):>9.0f}"
            f" {max(way.cpu):>14.0f}"
        )
    ours = [way for way in ways if way.name == "baft"]
    for kind in ("one by one", "batch"):
        others = [way for way in ways if way.name.startswith(kind)]
        if ours and others:
            wall = max(ours[0].wall) / max(max(way.wall) for way in others)
            cpu = max(ours[0].cpu) / max(max(way.cpu) for way in others)
            print(f"baft beside the best '{kind}': {wall:.1f} by wall time, {cpu:.1f} by CPU")


def main() -> None:
    """Measure in turns and print the best of each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=("pocket", "7b"), default="pocket")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="so many of the examples")
    parser.add_argument("--threads", type=int, help="only ways on so many threads, and baft")
    parser.add_argument("--ways", nargs="+", default=["baft", "one", "batch"])
    given = parser.parse_args()
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)
    if given.shape == "7b" and not torch.cuda.is_available():
        for rows in ROWS:
            print(f"7b, {rows} examples: not measured, no CUDA GPU is at hand")
        return
    sets = (
        [pocket_ways(given.limit)]
        if given.shape == "pocket"
        else [large_ways(rows) for rows in ROWS]
    )
    for found in sets:
        ways = [
            way
            for way in found
            if way.name.startswith(tuple(given.ways))
            and (given.threads in (None, way.threads) or way.name == "baft")
        ]
        for _ in range(given.rounds):
            for way in ways:
                way.measure()
        show(ways)


if __name__ == "__main__":
    main()
