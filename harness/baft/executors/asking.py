"""Asking a backend that is open in this process: batches, workers, retries, timeouts."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import BackendError
from ..loader import describe
from ..protocols import Outcome, Streaming
from ..records import Failure, Generation
from .breaker import PAUSE, ArmGone, Breaker
from .watching import watched

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tenacity import RetryCallState

    from ..protocols import Backend, Deliver
    from ..records import Decoding, Limits, Prompt

WINDOW = 1_000
"""So many prompts are read at a time, and sorted by length where they are asked in batches."""


async def ask_here(
    backend: Backend,
    prompts: Sequence[Prompt],
    decoding: Decoding,
    limits: Limits,
    deliver: Deliver,
) -> None:
    """Ask for every prompt, several at once, and deliver each answer when it arrives.

    Args:
        backend: what answers.
        prompts: what it is asked.
        decoding: how it draws.
        limits: how many at once, how often again, how long, streamed or not.
        deliver: told of every answer and failure; a slow one holds the asking back.

    Raises:
        ArmGone: the backend cannot answer any more (in an exception group).
    """
    width = min(backend.max_concurrency or limits.concurrency, len(prompts)) or 1
    size = max(1, backend.batch_size)
    if decoding.deterministic:
        width = size = 1
    asking = _Asking(backend, decoding, limits, deliver, width)
    batches = _batches(prompts, size)

    async def worker() -> None:
        while batch := asking.again() or next(batches, []):  # shared: each goes to one worker
            await asking.ask(batch)

    with watched(backend.spec, limits.timeout_s, _Asking.call.__code__):
        async with asyncio.TaskGroup() as group:
            for _ in range(width):
                group.create_task(worker())
    await asking.breaker.flush()


def _batches(prompts: Sequence[Prompt], size: int) -> Iterator[list[Prompt]]:
    """All prompts in batches; they may lie on disk, so no more than ``WINDOW`` are held."""
    for first in range(0, len(prompts), WINDOW):
        window = list(prompts[first : first + WINDOW])
        if size > 1:  # neighbours of one length waste no padding
            window.sort(key=lambda p: sum(len(m.content) for m in p.messages), reverse=True)
        for start in range(0, len(window), size):
            yield window[start : start + size]


class _Asking:
    """What the workers of one arm share."""

    def __init__(
        self,
        backend: Backend,
        decoding: Decoding,
        limits: Limits,
        deliver: Deliver,
        width: int,
    ) -> None:
        self._backend = backend
        self._decoding = decoding
        self._limits = limits
        self._deliver = deliver
        self._streams = limits.stream and backend.batch_size <= 1 and isinstance(backend, Streaming)
        self.breaker = Breaker(width, PAUSE * limits.backoff_s, self._probe, deliver)

    def again(self) -> list[Prompt]:
        """One prompt that failed while the server was away; empty where there is none."""
        return [self.breaker.again.popleft()] if self.breaker.again else []

    async def ask(self, batch: list[Prompt]) -> None:
        """One call with its retries; a batch that fails is asked again one by one."""
        attempts = 0
        failed: list[Exception] = []
        passing: BackendError | None = None

        async def attempt() -> list[Generation]:
            nonlocal attempts
            if failed:
                raise failed.pop()
            attempts += 1
            return await self.call(batch)

        try:
            try:
                generations = await attempt()
            except (BackendError, TimeoutError) as error:
                failed.append(error)  # tenacity, as dear as a request, only sees tries that fail
                generations = await _retrying(self._limits)(attempt)
            _check_answers(batch, generations)
        except BackendError as error:
            if error.gone and not error.retryable:
                raise ArmGone(error.message, error.hint, gone=True) from error
            problem = str(error)
            passing = error if error.retryable else None
        except TimeoutError:
            problem = f"No answer within {self._limits.timeout_s:g} s."
            passing = BackendError(problem, "Raise --timeout.", retryable=True)
        except (Exception, SystemExit) as error:  # border: one example's backend call
            problem = describe(error)
        else:
            await self.breaker.answered()
            await self._deliver(Outcome(generations=tuple(generations), retried=attempts - 1))
            return
        if len(batch) > 1:
            for prompt in batch:
                await self.ask([prompt])
            return
        failure = Failure(
            example_id=batch[0].example_id, stage="generate", reason=problem, attempts=attempts
        )
        outcome = Outcome(failure=failure, retried=attempts - 1)
        if passing is not None:
            await self.breaker.lost(batch[0], outcome, passing)
        else:
            await self._deliver(outcome)

    async def call(self, batch: list[Prompt]) -> list[Generation]:
        """One call, no longer than it may take."""
        async with asyncio.timeout(self._limits.timeout_s):
            if self._streams and isinstance(self._backend, Streaming):
                return [await _streamed(self._backend, batch[0], self._decoding)]
            return await self._backend.generate(batch, self._decoding)

    async def _probe(self, prompt: Prompt) -> Outcome:
        try:
            generations = await self.call([prompt])
        except (BackendError, TimeoutError):
            raise
        except (Exception, SystemExit) as error:  # border: one example's backend call
            raise BackendError(describe(error)) from error
        _check_answers([prompt], generations)
        return Outcome(generations=tuple(generations), retried=self._limits.retries + 1)


async def _streamed(backend: Streaming, prompt: Prompt, decoding: Decoding) -> Generation:
    """One answer as a stream, with the time to its first piece."""
    first_token_s: float | None = None
    started = time.perf_counter()

    def heard(piece: str) -> None:
        nonlocal first_token_s
        if first_token_s is None and piece:
            first_token_s = time.perf_counter() - started

    generation = await backend.stream(prompt, decoding, heard)
    if isinstance(generation, Generation):
        return replace(generation, first_token_s=first_token_s)
    return generation


def _check_answers(batch: list[Prompt], generations: object) -> None:
    """A backend must give one generation for each prompt, in order."""
    asked = [prompt.example_id for prompt in batch]
    given = (
        [g.example_id if isinstance(g, Generation) else type(g).__name__ for g in generations]
        if isinstance(generations, list)
        else [type(generations).__name__]
    )
    if asked != given:
        raise BackendError(f"The backend was asked for {asked[:3]} and answered {given[:3]}.")
    for generation in generations:  # type: ignore[attr-defined]
        wrong = _wrong_field(generation)
        if wrong:
            value = repr(getattr(generation, wrong))
            raise BackendError(f"The backend gave a generation whose {wrong} is {value:.80}.")


def _wrong_field(generation: Generation) -> str:
    """The first field that is not of its type; empty where all are."""
    counts = (generation.prompt_tokens, generation.completion_tokens)
    latency_s, first_token_s = generation.latency_s, generation.first_token_s
    holds = {
        "text": isinstance(generation.text, str),
        "fields": generation.fields is None or isinstance(generation.fields, Mapping),
        "finish_reason": generation.finish_reason in ("stop", "length", "unknown"),
        "prompt_tokens": counts[0] is None or isinstance(counts[0], int),
        "completion_tokens": counts[1] is None or isinstance(counts[1], int),
        "latency_s": latency_s is None or _is_number(latency_s),
        "first_token_s": first_token_s is None or _is_number(first_token_s),
        "notes": all(isinstance(note, str) for note in generation.notes),
    }
    return next((name for name, good in holds.items() if not good), "")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _retrying(limits: Limits):  # type: ignore[no-untyped-def]
    """Tenacity's loop: backoff with jitter; ``Retry-After`` is obeyed up to the timeout."""
    from tenacity import (
        AsyncRetrying,
        retry_if_exception,
        stop_after_attempt,
        wait_exponential,
        wait_random,
    )

    jitter = wait_random(0, limits.backoff_s)
    backoff = wait_exponential(multiplier=limits.backoff_s, max=60) + jitter

    def wait(call: RetryCallState) -> float:
        error = call.outcome.exception() if call.outcome else None
        asked = error.retry_after_s if isinstance(error, BackendError) else None
        return min(asked, limits.timeout_s) if asked is not None else backoff(call)

    return AsyncRetrying(
        stop=stop_after_attempt(limits.retries + 1),
        wait=wait,
        retry=retry_if_exception(
            lambda e: isinstance(e, TimeoutError) or (isinstance(e, BackendError) and e.retryable)
        ),
        reraise=True,
    )
