"""Several processes that train as one, as ``torchrun`` and ``accelerate launch`` start them.

Each has its share of every optimizer step's examples, all have the same adapter, and the first
alone writes.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState
from torch import distributed

import baft

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .lessons import Lesson
    from .options import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The processes of a run; one, unless a launcher started more."""

    rank: int
    """Which of them this is, from 0."""
    size: int
    device: torch.device
    """What this one computes on."""

    @classmethod
    def join(cls, device: str) -> Group:
        """The group that a launcher's environment tells of; waits until all are there.

        Args:
            device: ``cpu`` or ``cuda``; processes on CPUs talk by gloo.
        """
        state = PartialState(cpu=device == "cpu")
        return cls(rank=state.process_index, size=state.num_processes, device=state.device)

    @property
    def is_writer(self) -> bool:
        """Whether this process writes files; exactly one does."""
        return self.rank == 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """What each process does for itself; after it all go on, or none does.

        Raises:
            BaftError: what went wrong here, in the first process where something did.
            Interrupted: in the others.
        """
        problem = None
        try:
            yield
        except baft.BaftError as error:
            problem = error
        first = self._reduced(self.size if problem is None else self.rank, "MIN")
        if problem is not None and first == self.rank:
            raise problem
        if first < self.size:
            raise baft.Interrupted(f"Process {first} of this run could not go on.")

    def total(self, number: int) -> int:
        """The sum of everybody's number."""
        return self._reduced(number, "SUM")

    def least(self, number: int) -> int:
        """The smallest of everybody's numbers."""
        return self._reduced(number, "MIN")

    def is_same(self, sha256: str) -> bool:
        """Whether everybody has this digest."""
        number = int(sha256[:15], 16)  # 60 bits
        return self._reduced(number, "MIN") == self._reduced(number, "MAX")

    def _reduced(self, number: int, how: str) -> int:
        if self.size == 1:
            return number
        value = torch.tensor(number, dtype=torch.int64, device=self.device)
        distributed.all_reduce(value, getattr(distributed.ReduceOp, how))
        return int(value)

    def leave(self) -> None:
        """The end; nothing can be asked of the others any more."""
        if self.size > 1:
            distributed.destroy_process_group()
            PartialState._reset_state()


def share(options: Options, group: Group) -> Options:
    """The options of one process: its share of the batches of an optimizer step.

    Raises:
        UsageError: the batches cannot be dealt out evenly.
    """
    if options.grad_accum % group.size:
        near = max(group.size, round(options.grad_accum / group.size) * group.size)
        raise baft.UsageError(
            f"{options.grad_accum} batches by optimizer step cannot be shared evenly by "
            f"{group.size} processes.",
            f"Give --grad-accum {near}, or start another number of processes.",
        )
    return replace(options, grad_accum=options.grad_accum // group.size)


def filler(lesson: Lesson) -> Lesson:
    """A lesson of which nothing is learnt, for a process that has no other at an epoch's end."""
    return replace(lesson, ids=lesson.ids[:2], prompt_tokens=2)


class Order(torch.utils.data.Sampler[int]):
    """The order of an epoch's examples: by seed and epoch, the same for any number of processes.

    Args:
        count: examples.
        seed: of the first epoch; the next has the next.
        shares: how they are dealt out, if several processes learn from them.
    """

    def __init__(self, count: int, *, seed: int, shares: Shares | None = None) -> None:
        self._count = count
        self._fillers = -count % shares.batches if shares else 0
        self._seed = seed
        self._shares = shares
        self._epoch = 0

    def __len__(self) -> int:
        return self._count + self._fillers

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        order = torch.randperm(self._count, generator=generator).tolist()
        order += [self._count] * self._fillers
        yield from self._shares.even(order) if self._shares else order

    def set_epoch(self, epoch: int) -> None:
        """Which epoch comes next, from 0."""
        self._epoch = epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """An optimizer step's examples, dealt out so that no process waits long for another."""

    processes: int
    batch_size: int
    accum: int
    """Batches of a step, by process."""
    tokens: Sequence[int]
    """Of each example, and of the filler after them."""

    @property
    def batches(self) -> int:
        """Examples of a batch of every process."""
        return self.batch_size * self.processes

    def even(self, order: list[int]) -> Iterator[int]:
        """The same examples in each step; the longest go to each process in turn, back and forth.

        >>> shares = Shares(processes=2, batch_size=1, accum=2, tokens=[10, 40, 20, 30])
        >>> list(shares.even([0, 1, 2, 3]))  # one process has 40 + 10, the other 30 + 20
        [1, 3, 0, 2]
        """
        size, step = self.batch_size, self.batches * self.accum
        for start in range(0, len(order), step):
            rows = sorted(order[start : start + step], key=lambda i: -self.tokens[i])
            batches = [rows[at : at + size] for at in range(0, len(rows), size)]
            for turn, at in enumerate(range(0, len(batches), self.processes)):
                for batch in batches[at : at + self.processes][:: -1 if turn % 2 else 1]:
                    yield from batch


def dealt(
    lessons: Sequence[Lesson], group: Group, *, batch_size: int, accum: int, seed: int
) -> tuple[list[Lesson], Order]:
    """What a loader reads from, and in which order; it deals the batches out by turns."""
    if group.size == 1:
        return [*lessons], Order(len(lessons), seed=seed)
    rows = [*lessons, filler(lessons[0])]
    shares = Shares(
        processes=group.size,
        batch_size=batch_size,
        accum=accum,
        tokens=[len(row.ids) for row in rows],
    )
    return rows, Order(len(lessons), seed=seed, shares=shares)


def same_everywhere(group: Group, weights: Iterable[torch.Tensor]) -> None:
    """Make sure that all processes have the same adapter, bit by bit.

    Raises:
        DataError: they have not.
    """
    if group.size == 1:
        return
    found = hashlib.sha256()
    for weight in weights:
        found.update(weight.detach().float().cpu().numpy().tobytes())
    if not group.is_same(found.hexdigest()):
        raise baft.DataError(
            "The processes of this run came to different adapters.",
            "Check that all machines have the same versions, base model and data.",
        )
