"""Asking a model on several nodes at once: actors open it, shards of prompts go to whoever is free.

Only outcomes come back; they are committed and scored where the run was started. What a lost node
had not answered yet is asked again elsewhere, what it had answered is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
import ray.exceptions

import baft
from baft.executors import ArmGone, Worker, parcel_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

LOSSES = 5
"""So often may actors be lost by one arm before it is given up."""

START_S = 120.0
"""Seconds that a node gets to take an actor."""

LOST = (
    ray.exceptions.RayActorError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.OutOfMemoryError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one arm asks of the cluster."""

    actors: int | None = None
    """So many at once; None takes what the cluster has room for."""
    cpus: float = 1.0
    """Of each actor."""
    gpus: float = 0.0
    memory: int = 0
    """Bytes that Ray sets aside for each actor."""
    shard: int = 8
    """Prompts that are sent together."""

    @classmethod
    def of(cls, options: Mapping[str, str], arm: str) -> Needs:
        """The options of ``--executor ray?…``; ``ARM.key`` stands above ``key``.

        >>> Needs.of({"gpus": "1", "finetuned.gpus": "2", "memory": "4G"}, "finetuned").gpus
        2.0

        Raises:
            UsageError: an option is unknown or no number.
        """
        known: dict[str, Callable[[str], Any]] = {
            "actors": int,
            "cpus": float,
            "gpus": float,
            "memory": _bytes,
            "shard": int,
        }
        given: dict[str, Any] = {}
        for name, text in sorted(options.items(), key=lambda item: "." in item[0]):
            owner, dot, key = name.rpartition(".")
            if key not in known:
                raise baft.UsageError(
                    f"The executor ray has no option {name!r}.",
                    "Options are actors, cpus, gpus, memory, shard; finetuned.gpus for one arm.",
                )
            try:
                value = known[key](text)
            except ValueError as error:
                raise baft.UsageError(f"{name}={text} is not a number.", "Write gpus=1.") from error
            if value < (1 if key in ("actors", "shard") else 0):
                raise baft.UsageError(f"{name}={text} is too small.")
            if not dot or owner == arm:
                given[key] = value
        return cls(**given)


class RayExecutor:
    """Asks on a Ray cluster; see the package for how one is named."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = options
        self._started = False
        Needs.of(options, "")

    async def ask(self, work: baft.Work, deliver: baft.Deliver) -> None:
        """Send shards to actors until every prompt has an outcome.

        Raises:
            ArmGone: no cluster, no room for an actor, too many lost, or the model cannot be asked.
        """
        needs = Needs.of(self._options, work.arm)
        await asyncio.to_thread(self._connect)
        asking = _Asking(work, deliver, needs)
        shards = -(-len(work.prompts) // needs.shard)
        width = min(shards, needs.actors or _room(needs))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(width):
                    group.create_task(asking.drive())
        finally:
            asking.end()

    async def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._started:
            await asyncio.to_thread(ray.shutdown)

    def _connect(self) -> None:
        if ray.is_initialized():
            return
        try:
            ray.init(log_to_driver=False, logging_level="error", include_dashboard=False)
        except (ConnectionError, ValueError, OSError, TimeoutError) as error:
            raise ArmGone(
                f"No Ray cluster could be reached or started: {str(error).splitlines()[0]}",
                "Check RAY_ADDRESS; without it a local cluster is started.",
                gone=True,
            ) from error
        self._started = True


class _Asking:
    """One arm under way: the shards that wait, what was delivered, how often an actor was lost."""

    def __init__(self, work: baft.Work, deliver: baft.Deliver, needs: Needs) -> None:
        self._work = work
        self._deliver = deliver
        self._needs = needs
        self._waiting = deque(_slices(work.prompts, needs.shard))
        self._delivered: set[str] = set()
        self._losses = 0
        self._drivers = 0
        self._actors: list[Any] = []

    async def drive(self) -> None:
        """One actor's life: shard after shard, and a new actor where it was lost."""
        self._drivers += 1
        actor = self._actor()
        while self._waiting:
            shard: list[baft.Prompt] = []
            try:
                if not await self._placed(actor):
                    break
                if not self._waiting:  # the others were faster
                    break
                shard = self._waiting.popleft()
                await self._ask(actor, shard)
            except LOST as error:
                self._losses += 1
                if self._losses > LOSSES:
                    raise ArmGone(
                        f"Actors for {self._work.spec} were lost {self._losses} times: "
                        f"{str(error).splitlines()[0]}",
                        "Look at the nodes' memory; memory=16G sets some aside for each actor.",
                        gone=True,
                    ) from error
                left = [p for p in shard if p.example_id not in self._delivered]
                if left:
                    self._waiting.append(left)
                actor = self._actor()
        self._drivers -= 1
        _end(actor)  # its place may be what another driver waits for

    async def _placed(self, actor: Any) -> bool:
        """Wait until some node has taken the actor; False if others can do without it.

        Raises:
            ArmGone: no node takes it, and nobody else is left.
        """
        try:
            await asyncio.wait_for(_value(actor.ready.remote()), START_S)
        except TimeoutError as error:
            if self._drivers > 1:
                return False
            raise ArmGone(
                f"No node of the cluster took an actor for {self._work.spec} in {START_S:g} s.",
                "Add a node, or ask for less: --executor 'ray?cpus=1'.",
                gone=True,
            ) from error
        return True

    async def _ask(self, actor: Any, shard: Sequence[baft.Prompt]) -> None:
        parcel = {**parcel_of(self._work, shard), "cwd": os.getcwd()}
        async for reference in actor.answer.remote(parcel):
            kind, content = await reference
            if kind == "gone":
                raise ArmGone(*content, gone=True)
            failure = content.failure
            answered = [generation.example_id for generation in content.generations]
            self._delivered.update([failure.example_id] if failure else answered)
            await self._deliver(content)

    def _actor(self) -> Any:
        needs = self._needs
        actor = _RemoteWorker.options(  # type: ignore[attr-defined]
            num_cpus=needs.cpus, num_gpus=needs.gpus, memory=needs.memory or None
        ).remote()
        self._actors.append(actor)
        return actor

    def end(self) -> None:
        """Give the actors' places back."""
        for actor in self._actors:
            _end(actor)


@ray.remote
class _RemoteWorker:
    """A worker on some node."""

    def __init__(self) -> None:
        self._worker = Worker()

    def ready(self) -> bool:
        """Answers once the actor runs."""
        return True

    async def answer(self, parcel: dict[str, Any]) -> AsyncIterator[tuple[str, Any]]:
        """Outcomes as they arrive, and how it ended where it ended badly."""
        if os.path.isdir(parcel["cwd"]):
            os.chdir(parcel["cwd"])
        arrived: asyncio.Queue[baft.Outcome | None] = asyncio.Queue()

        async def deliver(outcome: baft.Outcome) -> None:
            await arrived.put(outcome)

        async def ask() -> None:
            try:
                await self._worker.answer(parcel, deliver)
            finally:
                await arrived.put(None)

        asking = asyncio.create_task(ask())
        while (outcome := await arrived.get()) is not None:
            yield "outcome", outcome
        error = await _ended(asking)
        if error is not None:
            yield "gone", (error.message, error.hint)


async def _value(reference: Any) -> Any:
    return await reference


def _end(actor: Any) -> None:
    with contextlib.suppress(*LOST):
        ray.kill(actor)


async def _ended(asking: asyncio.Task[None]) -> baft.BaftError | None:
    try:
        await asking
    except* baft.BaftError as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        found = error if isinstance(error, baft.BaftError) else None
    else:
        found = None
    return found


def _room(needs: Needs) -> int:
    """Actors that the free nodes can hold at once."""
    free = ray.available_resources()
    asked = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": float(needs.memory)}
    holds = [int(free.get(name, 0.0) // amount) for name, amount in asked.items() if amount]
    room = min(holds, default=1)
    if room < 1:
        wanted = ", ".join(f"{amount:g} {name}" for name, amount in asked.items() if amount)
        raise ArmGone(
            f"The cluster has no room for an actor with {wanted}.",
            "Wait, add a node, or ask for less: --executor 'ray?cpus=1'.",
            gone=True,
        )
    return room


def _slices(prompts: Sequence[baft.Prompt], size: int) -> list[list[baft.Prompt]]:
    return [list(prompts[start : start + size]) for start in range(0, len(prompts), size)]


def _bytes(text: str) -> int:
    """Bytes: a number, with K, M or G for powers of 1024."""
    scale = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    raw = text.strip().upper().removesuffix("B")
    return int(float(raw.rstrip("KMG")) * scale.get(raw[-1:], 1))
