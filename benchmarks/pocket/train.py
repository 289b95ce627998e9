"""Train the pocket model from scratch: corpus, tokenizer, weights.

``PYTHONPATH=harness:plugins python benchmarks/pocket/train.py --work DIR --export
artifacts/models/pocket --tokens 9_000_000`` takes an hour or more on one core and continues where
it stopped. ``--quick`` takes seconds and teaches nothing.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import induction
import tokenizer as pocket_tokenizer
import torch
from corpus import Corpus
from model import Group, Pocket, Shape, export
from optimizer import Optimizer
from tokenizers import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from corpus import ChatGroup

# Share of copying groups from so many tokens on.
COPY_SHARES = {0: 0.3, 500_000: 0.12, 1_700_000: 0.06}
QUICK = Shape(vocab_size=512, hidden_size=64, intermediate_size=128, num_hidden_layers=2)


def tokenize(tokenizer: Tokenizer, chats: ChatGroup, longest: int = 3072) -> Group | None:
    """Token ids with the common beginning of all prompts split off; too long chats are dropped."""
    prompts, answers = [], []
    for chat in chats.chats:
        prompt = tokenizer.encode(pocket_tokenizer.render(chat.messages)).ids
        answer = tokenizer.encode(chat.answer + "</s>").ids
        if len(prompt) + len(answer) <= longest:
            prompts.append(prompt)
            answers.append(answer)
    if not prompts:
        return None
    shared = 0
    while all(len(p) > shared + 1 and p[shared] == prompts[0][shared] for p in prompts):
        shared += 1
    branches = tuple(tuple(p[shared:] + a) for p, a in zip(prompts, answers, strict=True))
    return Group(
        prefix=tuple(prompts[0][:shared]),
        branches=branches,
        answers=tuple(map(len, answers)),
        kind=chats.kind,
    )


def batches(
    tokenizer: Tokenizer, corpus: Corpus, copy_share: float, size: int
) -> Iterator[list[Group]]:
    """Lists of groups with at least ``size`` tokens together."""
    batch: list[Group] = []
    for chats in corpus.groups(copy_share):
        group = tokenize(tokenizer, chats)
        batch += [group] if group else []
        if sum(g.tokens for g in batch) >= size:
            yield batch
            batch = []


def rate(progress: float) -> float:
    """The learning rate's factor: up for 3 %, level, then down over the last 40 %."""
    return min(1.0, progress / 0.03 + 0.02, max(0.0, (1 - progress) / 0.4) + 0.01)


class Run:
    """A training run: model, optimizer and what has been seen so far."""

    def __init__(self, shape: Shape, work: Path, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = Pocket(shape)
        if shape != QUICK:
            induction.write(self.model)
        self.model.to(torch.bfloat16)
        self.optimizer = Optimizer(self.model)
        self.work, self.seed = work, seed
        self.seen: dict[str, Any] = {"tokens": 0, "answer_tokens": 0, "seconds": 0.0, "steps": 0}
        self.file = work / "checkpoint.pt"
        if self.file.exists():
            state = torch.load(self.file, weights_only=True)
            self.optimizer.load(state["optimizer"])
            self.seen = state["seen"]

    def save(self) -> None:
        """Write the checkpoint in one move."""
        part = self.file.with_suffix(".part")
        torch.save({"optimizer": self.optimizer.state(), "seen": self.seen}, part)
        part.replace(self.file)

    def step(self, batch: list[Group], total: int) -> dict[str, float]:
        """One update; returns the loss per answer token of each kind."""
        start = time.monotonic()
        sums: dict[str, list[float]] = {}
        answers = sum(sum(group.answers) for group in batch)
        for group in batch:
            loss, count = self.model(group)
            (loss / answers).backward()
            entry = sums.setdefault(group.kind, [0.0, 0.0])
            entry[0] += loss.item()
            entry[1] += count
        self.optimizer.step(rate(self.seen["tokens"] / total), 1.0)
        self.seen["tokens"] += sum(group.tokens for group in batch)
        self.seen["answer_tokens"] += answers
        self.seen["steps"] += 1
        self.seen["seconds"] += time.monotonic() - start
        return {kind: value / count for kind, (value, count) in sums.items()}


def get_tokenizer(directory: Path, vocab: int, seed: int, chats: int) -> Tokenizer:
    """The tokenizer of this run, trained on first use."""
    file = directory / "tokenizer.json"
    if not file.exists():
        corpus = Corpus(seed)
        stream = (chat for group in corpus.groups(0.1) for chat in group.chats)
        words = corpus.grammar.words
        extra = [" ".join(words[lang].rare + words[lang].nouns[::3]) for lang in ("en", "es")]
        material = [*pocket_tokenizer.texts(stream, chats, 20), *extra]
        pocket_tokenizer.save(pocket_tokenizer.train(iter(material), vocab - 2), directory)
    return Tokenizer.from_file(str(file))


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Train until the tokens are seen, with a checkpoint and an export every few minutes."""
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    shape = QUICK if options.quick else Shape()
    tokenizer = get_tokenizer(options.export, shape.vocab_size, options.seed, options.chats)
    ids = {f"{n}_token_id": tokenizer.token_to_id(t) for n, t in MARKS.items()}
    run = Run(shape, options.work, options.seed)
    last = time.monotonic()
    smooth: dict[str, float] = {}
    corpus = Corpus(options.seed, options.written)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    while run.seen["tokens"] < options.tokens and not stopped:
        share = [s for start, s in COPY_SHARES.items() if start <= run.seen["tokens"]][-1]
        corpus.random.seed(f"{options.seed}/{run.seen['steps']}")  # the same after a resume
        stream = batches(tokenizer, corpus, share, options.batch)
        for batch in islice(stream, 50):
            for kind, loss in run.step(batch, options.tokens).items():
                smooth[kind] = 0.9 * smooth.get(kind, loss) + 0.1 * loss
            if run.seen["tokens"] >= options.tokens or stopped:
                break
        _log(run, smooth, options.work)
        due = time.monotonic() - last > options.every
        if due or stopped or run.seen["tokens"] >= options.tokens:
            last = time.monotonic()
            run.save()
            export(run.model, options.export, ids)
    return run.seen


MARKS = {"bos": "<s>", "eos": "</s>", "pad": "<pad>"}


def _log(run: Run, smooth: dict[str, float], work: Path) -> None:
    losses = {kind: round(loss, 3) for kind, loss in sorted(smooth.items())}
    line = json.dumps({**run.seen, "seconds": round(run.seen["seconds"]), "loss": losses})
    with (work / "log.jsonl").open("a") as log:
        log.write(line + "\n")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; ``--quick`` shrinks those that were left at their defaults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="checkpoint and log")
    parser.add_argument("--export", type=Path, required=True, help="the transformers directory")
    parser.add_argument("--tokens", type=int, default=9_000_000)
    parser.add_argument("--batch", type=int, default=2000, help="tokens of one update")
    parser.add_argument("--chats", type=int, default=8000, help="chats the tokenizer learns from")
    parser.add_argument("--every", type=int, default=300, help="seconds between checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--written", type=float, default=0.0, help="share of written documents")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    if options.quick:
        options.tokens, options.batch, options.chats = 12_000, 3000, 60
    return options


if __name__ == "__main__":
    print(json.dumps(train(parse())))
