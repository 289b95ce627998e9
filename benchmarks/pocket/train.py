"""Train the pocket model from scratch: corpus, tokenizer, weights.

``PYTHONPATH=harness:plugins python benchmarks/pocket/train.py --work DIR --export
artifacts/models/pocket`` takes hours and continues where it stopped. Each of ``--processes`` draws
its own chats on one core; they add up their gradients, so all hold the same weights. ``--quick``
takes seconds and teaches nothing.
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
import loops
import tokenizer as pocket_tokenizer
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from corpus import Corpus
from model import IGNORED, Group, Pocket, Shape, export, load, unlikely
from optimizer import Optimizer
from tokenizers import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from corpus import ChatGroup

# Share of copying groups from so many tokens on.
COPY_SHARES = {0: 0.3, 500_000: 0.12, 1_700_000: 0.06}
LESSONS = 1  # loop shown in each process's update
SCALE = 1000.0  # keeps the sums of bf16 gradients small until they are divided
QUICK = Shape(vocab_size=512, hidden_size=64, intermediate_size=128, num_hidden_layers=2)


def slip(answer: Sequence[int], random: Random, share: float = 0.01) -> tuple[list[int], list[int]]:
    """An answer with slips: its last tokens said again, or others of it thrown in.

    A model that once said a wrong word, as sampling makes it do, so learns to go on with the text
    instead of repeating that word for ever.

    Returns:
        What the model sees, and what is to be learnt before each of these tokens: the text at the
        beginning of a slip and of each of its rounds, within the first of them nothing
        (``IGNORED``), within more of them that they are unlikely.
    """
    seen: list[int] = []
    learnt: list[int] = []
    for token in answer:
        if seen and random.random() < share:
            back = min(len(seen), random.choice((1, 1, 2, 3, 4, 8, 12, 20)))
            if random.random() < 0.6:
                again = seen[-back:]
                rounds = min(random.choice((1, 1, 2, 3, 6)), 48 // back)
            else:
                again = random.choices(answer, k=random.choice((1, 1, 2, 3)))
                rounds = 1
            seen += again * rounds
            more = [token, *(unlikely(said) for said in again[1:])]
            learnt += [token, *[IGNORED] * (len(again) - 1), *more * (rounds - 1)]
        seen.append(token)
        learnt.append(token)
    return seen, learnt


def tokenize(
    tokenizer: Tokenizer, chats: ChatGroup, random: Random, longest: int = 3072
) -> Group | None:
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
    slipped = [slip(answer, random) for answer in answers]
    return Group(
        prefix=tuple(prompts[0][:shared]),
        branches=tuple((*p[shared:], *seen) for p, (seen, _) in zip(prompts, slipped, strict=True)),
        targets=tuple(tuple(learnt) for _, learnt in slipped),
        kind=chats.kind,
    )


def batches(
    tokenizer: Tokenizer, corpus: Corpus, copy_share: float, size: int
) -> Iterator[list[Group]]:
    """Lists of groups with at least ``size`` tokens together."""
    batch: list[Group] = []
    for chats in corpus.groups(copy_share):
        group = tokenize(tokenizer, chats, corpus.random)
        batch += [group] if group else []
        if sum(g.tokens for g in batch) >= size:
            yield batch
            batch = []


def rate(progress: float) -> float:
    """The learning rate's factor: up for 3 %, level, then down over the last 40 %."""
    return min(1.0, progress / 0.03 + 0.02, max(0.0, (1 - progress) / 0.4) + 0.01)


class Run:
    """A training run: model, optimizer and what all processes have seen so far."""

    def __init__(self, shape: Shape, options: argparse.Namespace) -> None:
        torch.manual_seed(options.seed)
        self.model = Pocket(shape)
        if options.weights:
            load(self.model, options.weights, options.sharpness)
        elif shape != QUICK:
            induction.write(self.model)
        self.model.to(torch.bfloat16)
        self.optimizer = Optimizer(self.model)
        self.seen: dict[str, Any] = {"tokens": options.seen, "answer_tokens": 0}
        self.seen |= {"seconds": 0.0, "steps": 0}
        self.file = options.work / "checkpoint.pt"
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
        """One update of all processes; returns this one's loss per answer token of each kind."""
        start = time.monotonic()
        sums: dict[str, list[float]] = {}
        for group in batch:
            loss, count = self.model(group)
            (loss / SCALE).backward()
            entry = sums.setdefault(group.kind, [0.0, 0.0])
            entry[0] += loss.item()
            entry[1] += count
        tokens, answers = sum(g.tokens for g in batch), sum(g.learnt for g in batch)
        tokens, answers = self._together(tokens, answers)
        self.optimizer.step(rate(self.seen["tokens"] / total), SCALE / answers)
        self.seen["tokens"] += tokens
        self.seen["answer_tokens"] += answers
        self.seen["steps"] += 1
        self.seen["seconds"] += time.monotonic() - start
        return {kind: value / count for kind, (value, count) in sums.items()}

    def _together(self, tokens: int, answers: int) -> tuple[int, int]:
        """Add up the gradients and the two counts of all processes."""
        if not dist.is_initialized():
            return tokens, answers
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten().float() for g in gradients])
        counts = torch.tensor([tokens, answers])
        dist.all_reduce(flat)
        dist.all_reduce(counts)
        sizes = [g.numel() for g in gradients]
        for gradient, part in zip(gradients, flat.split(sizes), strict=True):
            gradient.copy_(part.view_as(gradient))
        return int(counts[0]), int(counts[1])


def get_tokenizer(options: argparse.Namespace, vocab: int) -> None:
    """Train the tokenizer of this run, if it is not there yet."""
    if not (options.export / "tokenizer.json").exists():
        corpus = Corpus(options.seed, options.written)
        stream = (chat for group in corpus.groups(0.1) for chat in group.chats)
        words = corpus.grammar.words
        extra = [" ".join(words[lang].rare + words[lang].nouns[::3]) for lang in ("en", "es")]
        material = [*pocket_tokenizer.texts(stream, options.chats, 20), *extra]
        learnt = pocket_tokenizer.train(iter(material), vocab - 2)
        pocket_tokenizer.save(learnt, options.export)


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Train until the tokens are seen, on as many processes as asked for."""
    options.work.mkdir(parents=True, exist_ok=True)
    shape = QUICK if options.quick else Shape()
    get_tokenizer(options, shape.vocab_size)
    if options.processes == 1:
        work(0, options, shape)
    else:
        (options.work / "meeting").unlink(missing_ok=True)
        mp.spawn(work, (options, shape), nprocs=options.processes)
    state = torch.load(options.work / "checkpoint.pt", weights_only=True)
    return dict(state["seen"])


def work(rank: int, options: argparse.Namespace, shape: Shape) -> None:
    """One process: its own chats, the common weights; the first one writes every few minutes."""
    torch.set_num_threads(1)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    if options.processes > 1:
        meeting = (options.work / "meeting").resolve().as_uri()
        dist.init_process_group(
            "gloo", init_method=meeting, rank=rank, world_size=options.processes
        )
    tokenizer = Tokenizer.from_file(str(options.export / "tokenizer.json"))
    ids = {f"{n}_token_id": tokenizer.token_to_id(t) for n, t in MARKS.items()}
    run = Run(shape, options)
    last = time.monotonic()
    smooth: dict[str, float] = {}
    corpus = Corpus(options.seed, options.written)
    lessons = loops.read(options.loops)
    over = False
    while not over:
        share = [s for start, s in COPY_SHARES.items() if start <= run.seen["tokens"]][-1]
        # The same chats after a resume, others in every process.
        corpus.random.seed(f"{options.seed}/{rank}/{run.seen['tokens']}")
        stream = batches(tokenizer, corpus, share, options.batch)
        for batch in islice(stream, 50):
            batch += corpus.random.sample(lessons, min(LESSONS, len(lessons)))
            for kind, loss in run.step(batch, options.tokens).items():
                smooth[kind] = 0.9 * smooth.get(kind, loss) + 0.1 * loss
            if run.seen["tokens"] >= options.tokens:
                break
        parent = mp.parent_process()
        ending = bool(stopped) or (parent is not None and not parent.is_alive())
        over = run.seen["tokens"] >= options.tokens or _any(ending)
        if rank == 0:
            _log(run, smooth, options.work)
            if over or time.monotonic() - last > options.every:
                last = time.monotonic()
                run.save()
                export(run.model, options.export, ids, options.sharpness)


def _any(flag: bool) -> bool:
    """Whether one of the processes says so."""
    if not dist.is_initialized():
        return flag
    flags = torch.tensor([int(flag)])
    dist.all_reduce(flags)
    return bool(flags[0])


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
    parser.add_argument("--tokens", type=int, default=30_000_000)
    parser.add_argument("--batch", type=int, default=2500, help="tokens of one update and process")
    parser.add_argument("--chats", type=int, default=8000, help="chats the tokenizer learns from")
    parser.add_argument("--every", type=int, default=300, help="seconds between checkpoints")
    parser.add_argument("--processes", type=int, default=2, help="one core each")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--written", type=float, default=0.4, help="share of written documents")
    parser.add_argument("--loops", type=Path, nargs="*", default=[], help="files of loops.py")
    parser.add_argument("--weights", type=Path, help="an export to start with, of this sharpness")
    parser.add_argument("--seen", type=int, default=0, help="tokens that --weights has seen")
    parser.add_argument("--sharpness", type=float, default=1.3, help="factor of the logits")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    if options.quick:
        options.tokens, options.batch, options.chats = 12_000, 3000, 60
        options.processes = 1
    return options


if __name__ == "__main__":
    print(json.dumps(train(parse())))
