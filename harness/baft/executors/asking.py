"""Asking a backend that is open in this process: batches, workers, retries, timeouts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import BackendError
from ..loader import describe
from ..protocols import Outcome
from ..records import Failure, Generation
from .watching import watched

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tenacity import RetryCallState

    from ..protocols import Backend, Deliver
    from ..records import Decoding, Limits, Prompt


class ArmGone(BackendError):
    """The backend stopped answering at all; the arm is unfinished and can be resumed."""


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
        limits: how many at once, how often again, how long.
        deliver: told of every answer and failure; a slow one holds the asking back.

    Raises:
        ArmGone: the backend cannot answer any more (in an exception group).
    """
    ordered = list(prompts)
    if backend.batch_size > 1:  # neighbours of one length waste no padding
        ordered.sort(key=lambda p: sum(len(m.content) for m in p.messages), reverse=True)
    batches = _slices(ordered, max(1, backend.batch_size))

    async def worker() -> None:
        for batch in batches:  # one shared iterator: each batch goes to one worker
            await _ask(batch, backend, decoding, limits, deliver)

    width = backend.max_concurrency or limits.concurrency
    with watched(backend.spec, limits.timeout_s, _ask.__code__):
        async with asyncio.TaskGroup() as group:
            for _ in range(min(width, len(ordered)) or 1):
                group.create_task(worker())


def _slices(prompts: list[Prompt], size: int) -> Iterator[list[Prompt]]:
    for start in range(0, len(prompts), size):
        yield prompts[start : start + size]


async def _ask(
    batch: list[Prompt], backend: Backend, decoding: Decoding, limits: Limits, deliver: Deliver
) -> None:
    """One call with its retries; a batch that fails is asked again one by one."""
    attempts = 0
    failed: list[Exception] = []

    async def attempt() -> list[Generation]:
        nonlocal attempts
        if failed:
            raise failed.pop()
        attempts += 1
        async with asyncio.timeout(limits.timeout_s):
            return await backend.generate(batch, decoding)

    try:
        try:
            generations = await attempt()
        except (BackendError, TimeoutError) as error:
            failed.append(error)  # tenacity, as dear as a whole request, only sees tries that fail
            generations = await _retrying(limits)(attempt)
        _check_answers(batch, generations)
    except BackendError as error:
        if error.gone:
            raise ArmGone(error.message, error.hint, gone=True) from error
        problem = str(error)
    except TimeoutError:
        problem = f"No answer within {limits.timeout_s:g} s."
    except (Exception, SystemExit) as error:  # border: one example's backend call
        problem = describe(error)
    else:
        await deliver(Outcome(generations=tuple(generations), retried=attempts - 1))
        return
    if len(batch) > 1:
        for prompt in batch:
            await _ask([prompt], backend, decoding, limits, deliver)
        return
    failure = Failure(
        example_id=batch[0].example_id, stage="generate", reason=problem, attempts=attempts
    )
    await deliver(Outcome(failure=failure, retried=attempts - 1))


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
    seconds = generation.latency_s
    holds = {
        "text": isinstance(generation.text, str),
        "fields": generation.fields is None or isinstance(generation.fields, Mapping),
        "finish_reason": generation.finish_reason in ("stop", "length", "unknown"),
        "prompt_tokens": counts[0] is None or isinstance(counts[0], int),
        "completion_tokens": counts[1] is None or isinstance(counts[1], int),
        "latency_s": seconds is None
        or (isinstance(seconds, int | float) and math.isfinite(seconds)),
        "notes": all(isinstance(note, str) for note in generation.notes),
    }
    return next((name for name, good in holds.items() if not good), "")


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
