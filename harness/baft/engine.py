"""A run: every example through every arm, stored as it arrives.

The story, top to bottom: for each arm ask for what is missing, commit each generation, parse and
score it beside the event loop, commit the result. A model's own bad output is scored; what is not
the model's fault becomes a ``Failure`` and is never averaged.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import TYPE_CHECKING

from .executors import ArmGone as ArmGone
from .executors import ask_here
from .records import Scored
from .scoring import score_all, score_in_process, start_process
from .store.runs import Sittings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Coroutine, Sequence

    from .protocols import Backend, Deliver, Metric, Outcome, Role
    from .records import Decoding, Extraction, Generation, Limits, Prompt
    from .store.cache import ArmCache
    from .store.runs import RunStore

    Ask = Callable[[Sequence[Prompt], Decoding, Deliver], Awaitable[None]]

log = logging.getLogger(__name__)

MANY = 5_000
"""From so many examples on, processes score: YAML parsing holds the GIL, but each takes 0.5 s."""

GATHER_S = 0.02
"""Answers that came in such a time are scored together: handing them over costs as much as one."""

TOGETHER = 64
"""So many answers are enough: more at once would only take memory."""

CHUNK = 500
"""So many prompts are looked up in the cache at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all arms of a run have in common."""

    role: Role
    metric: Metric
    num_examples: int
    """Of those that are asked; they lie in the run's store."""
    decoding: Decoding
    limits: Limits
    extraction: Extraction
    repeats: int = 1
    blocked: tuple[str, ...] = ()
    """Plugins that scoring processes must not load either."""
    only: Container[str] | None = None
    """Ids of the examples that are asked; None means all in the store."""


@dataclass(slots=True)
class Progress:
    """How far an arm is; handed to the observer after every change."""

    arm: str
    total: int
    done: int = 0
    failed: int = 0
    retried: int = 0
    cached: int = 0
    before: int = 0
    """Of the done, those that earlier sittings left."""
    peak_memory_bytes: int | None = None
    """Most memory that a process computing the model held; None for servers."""
    tokens: int = 0
    """Completion tokens of answers that were asked for."""
    started: float = field(default_factory=time.monotonic)

    @property
    def tokens_per_s(self) -> float:
        """Completion tokens by second since the arm started."""
        return self.tokens / max(time.monotonic() - self.started, 1e-9)

    @property
    def left_s(self) -> float | None:
        """Seconds until the arm is done, at its pace so far; None where nothing tells."""
        new = self.done - self.before
        left = self.total - self.done
        return left * (time.monotonic() - self.started) / new if new > 0 and left > 0 else None


async def run_arm(
    arm: str,
    backend: Backend,
    job: Job,
    store: RunStore,
    pool: Executor,
    *,
    ask: Ask | None = None,
    cache: ArmCache | None = None,
    observe: Callable[[Progress], None] = lambda progress: None,
    scored: Callable[[Scored], None] | None = None,
) -> None:
    """Ask ``backend`` for every example that has no result yet; score and store the answers.

    Args:
        arm: its name in the run.
        backend: what answers.
        job: what all arms have in common.
        store: where everything is committed.
        pool: where parsing and scoring happen, see ``scoring_pool``.
        ask: how an executor asks for it elsewhere; None asks ``backend`` from here.
        cache: answers of earlier runs; None asks for every one.
        observe: told of the progress after every change.
        scored: told of every result.

    Raises:
        ArmGone: the backend cannot answer any more; what came back is stored.
    """
    started = time.monotonic()
    progress = Progress(arm=arm, total=job.num_examples * job.repeats, done=store.count(arm))
    progress.before = progress.done
    observe(progress)
    writer = _Writer(arm, job, store, pool, progress, observe, scored, cache)
    try:
        for repeat in range(job.repeats):
            await _run_repeat(repeat, backend, ask, job, store, writer)
    finally:
        await writer.drain()
        took = time.monotonic() - started
        peak = progress.peak_memory_bytes
        sitting = Sittings(wall_s=took, retried=progress.retried, peak_memory_bytes=peak)
        store.add_sitting(arm, sitting)
        log.info(
            "%s: %d of %d done, %d failed, %d tries again, %d from the cache, %d tokens in %.2f s",
            *(arm, progress.done, progress.total, progress.failed, progress.retried),
            *(progress.cached, progress.tokens, time.monotonic() - started),
        )


async def _run_repeat(
    repeat: int,
    backend: Backend,
    ask: Ask | None,
    job: Job,
    store: RunStore,
    writer: _Writer,
) -> None:
    await writer.score(repeat, store.unscored(writer.arm, repeat))
    decoding = replace(job.decoding, seed=job.decoding.seed + repeat)
    await writer.from_cache(repeat, store.missing(writer.arm, repeat, job.only), decoding)
    missing = store.missing(writer.arm, repeat, job.only)
    if not missing:
        return

    async def deliver(outcome: Outcome) -> None:
        await writer.deliver(repeat, decoding, outcome)

    if ask is not None:
        await ask(missing, decoding, deliver)
    else:
        await ask_here(backend, missing, decoding, job.limits, deliver)


class _Writer:
    """Commits what arrives and scores it beside the event loop.

    All that arrived in one turn of the loop, answers and scores, is one transaction; whoever
    delivered an answer is held until it is committed, and asks for no other one before.
    """

    def __init__(
        self,
        arm: str,
        job: Job,
        store: RunStore,
        pool: Executor,
        progress: Progress,
        observe: Callable[[Progress], None],
        scored: Callable[[Scored], None] | None,
        cache: ArmCache | None,
    ) -> None:
        self.arm = arm
        self.progress = progress
        self._job = job
        self._store = store
        self._pool = pool
        self._observe = observe
        self._scored = scored
        self._cache = cache
        self._repeat = 0
        """Of the answers that wait; the next one is asked for when they all are committed."""
        self._generations: list[Generation] = []
        self._results: list[Scored] = []
        self._commit: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._unscored: dict[int, list[Generation]] = {}
        """Committed answers by repeat, which are gathered to be scored."""
        self._enough = asyncio.Event()  # are gathered
        self._places = asyncio.Semaphore(4)  # bounds what waits to be scored

    async def deliver(self, repeat: int, decoding: Decoding, outcome: Outcome) -> None:
        """Take what was asked for: commit it, leave it to later runs."""
        self.progress.retried += outcome.retried
        if outcome.peak_memory_bytes is not None:
            most = self.progress.peak_memory_bytes or 0
            self.progress.peak_memory_bytes = max(most, outcome.peak_memory_bytes)
        self._log(repeat, outcome)
        self._repeat = repeat
        if outcome.failure is not None:
            failure = outcome.failure
            result = Scored(example_id=failure.example_id, repeat=repeat, failure=failure)
            self._results.append(result)
            await self._committed()
            return
        generations = list(outcome.generations)
        self.progress.tokens += sum(g.completion_tokens or 0 for g in generations)
        self._generations += generations
        await self._committed()
        if self._cache is not None:
            asked = self._store.asked(g.example_id for g in generations)
            self._cache.keep([prompt for _, prompt in asked], decoding, generations)

    def _log(self, repeat: int, outcome: Outcome) -> None:
        failure = outcome.failure
        if failure is not None:
            log.warning(
                "%s: %s (repeat %d) failed at attempt %d: %s",
                *(self.arm, failure.example_id, repeat, failure.attempts, failure.reason),
            )
        elif outcome.retried:
            ids = ", ".join(g.example_id for g in outcome.generations)
            log.info("%s: %s (repeat %d) took %d tries", self.arm, ids, repeat, outcome.retried + 1)
        if log.isEnabledFor(logging.DEBUG):
            for g in outcome.generations:
                log.debug(
                    "%s: %s (repeat %d) %s, %s tokens in %s s",
                    *(self.arm, g.example_id, repeat, g.finish_reason, g.completion_tokens),
                    f"{g.latency_s:.3f}" if g.latency_s is not None else "?",
                )

    async def from_cache(self, repeat: int, prompts: Sequence[Prompt], decoding: Decoding) -> None:
        """Take what the cache has."""
        if self._cache is None:
            return
        for start in range(0, len(prompts), CHUNK):
            found = self._cache.find(prompts[start : start + CHUNK], decoding)
            if found:
                self.progress.cached += len(found)
                self._store.add_cached(self.arm, found)
                self._repeat = repeat
                self._generations += found
                await self._committed()

    async def _committed(self) -> None:
        """Wait until what was taken is on disk, and there is a place to score it."""
        await asyncio.shield(self._soon())  # others wait for the same commit

    def _soon(self) -> asyncio.Task[None]:
        """The next commit; it starts when this turn of the loop is over."""
        if self._commit is None:
            self._commit = self._start(self._commit_all())
        return self._commit

    async def _commit_all(self) -> None:
        self._commit, repeat = None, self._repeat
        generations, self._generations = self._generations, []
        results, self._results = self._results, []
        self._store.add(self.arm, repeat, generations, results)
        if results:
            self._tell(results)
        if not generations:
            return
        if repeat not in self._unscored:
            await self._places.acquire()
            task = self._start(self._score_gathered(repeat))
            task.add_done_callback(lambda _: self._places.release())
        gathered = self._unscored.setdefault(repeat, [])
        gathered += generations
        if len(gathered) >= TOGETHER:
            self._enough.set()

    async def _score_gathered(self, repeat: int) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._enough.wait(), GATHER_S)
        self._enough.clear()
        await self.score(repeat, self._unscored.pop(repeat, []))

    def _tell(self, results: list[Scored]) -> None:
        """Tell whoever listens of what was committed."""
        self.progress.done += len(results)
        self.progress.failed += sum(result.failure is not None for result in results)
        self._observe(self.progress)
        if self._scored is not None:
            for result in results:
                self._scored(result)

    async def score(self, repeat: int, generations: list[Generation]) -> None:
        """Parse and score in the pool; the next commit takes the results along."""
        if not generations:
            return
        examples = self._store.some(g.example_id for g in generations)
        pairs = list(zip(examples, generations, strict=True))
        loop = asyncio.get_running_loop()
        if isinstance(self._pool, ProcessPoolExecutor):
            call = self._pool.submit(score_in_process, pairs, repeat, self._job.extraction)
        else:
            job = self._job
            call = self._pool.submit(score_all, job.role, job.metric, pairs, repeat, job.extraction)
        results = await asyncio.wrap_future(call, loop=loop)
        if isinstance(self._pool, ProcessPoolExecutor):  # it sends no answer back that is here
            results = [replace(r, generation=g) for r, g in zip(results, generations, strict=True)]
        self._results += results
        self._soon()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not task.exception():
            self._under_way.discard(task)  # what went wrong stays until ``drain`` raises it

    async def drain(self) -> None:
        """Wait for everything that is being scored and committed."""
        if self._cache is not None:
            self._cache.flush()
        while self._under_way:
            await asyncio.gather(*self._under_way)


def scoring_pool(job: Job) -> Executor:
    """One thread for small runs, one process a core for large ones."""
    if job.num_examples * job.repeats < MANY:
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="baft-score")
    return ProcessPoolExecutor(
        max_workers=min(os.cpu_count() or 1, 8),
        mp_context=get_context("spawn"),
        initializer=start_process,
        initargs=(job.role.name, job.metric.name, job.blocked),
    )
