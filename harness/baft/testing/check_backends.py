"""The promises of a backend."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import BackendError
from ..records import Generation
from .promises import DECODING, HUGE_TEXT, is_count, must, must_be_json, prompt_of, silence

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..protocols import Backend
    from ..records import Prompt

ODD_PROMPTS = ("", "\x00 🦊", "half a character: \ud800", HUGE_TEXT)


def check_backend(
    make: Callable[[], Backend],
    prompts: Sequence[Prompt] = (),
    *,
    other: Callable[[], Backend] | None = None,
    unreachable: Callable[[], Backend] | None = None,
    deterministic: bool = True,
    timeout_s: float = 120.0,
) -> None:
    """Check a backend: identity, order, concurrency, cancellation, odd inputs, errors.

    Args:
        make: opens the same model anew each time.
        prompts: what it can answer, ids all different; three short prompts by default.
        other: opens a model of other content, whose fingerprint must differ.
        unreachable: opens one whose server is gone; the factory may raise as well.
        deterministic: greedy answers are the same each time; False where it makes no such claim.
        timeout_s: seconds after which a call counts as hanging.

    Raises:
        AssertionError: the first promise that is broken.
    """
    prompts = prompts or [prompt_of(f"Say {word}.", word) for word in ("one", "two", "three")]
    backend = make()
    with silence("a backend"):
        _check_identity(backend, make(), other() if other is not None else None)
        asyncio.run(_check_generating(backend, prompts, deterministic, timeout_s))
        asyncio.run(_check_cancelling(make(), prompts, timeout_s))
        if unreachable is not None:
            _check_unreachable(unreachable, timeout_s)


def _check_identity(backend: Backend, again: Backend, other: Backend | None) -> None:
    must(isinstance(backend.spec, str) and ":" in backend.spec, "spec must be SCHEME:TARGET")
    must(is_count(backend.batch_size), "batch_size must be an integer of at least 1")
    must(
        backend.max_concurrency is None or is_count(backend.max_concurrency),
        "max_concurrency must be None or an integer of at least 1",
    )
    first = backend.fingerprint()
    must(
        isinstance(first, str) and bool(re.fullmatch("[0-9a-f]{64}", first)),
        f"fingerprint {first!r} is no SHA-256 in hex",
    )
    must(backend.fingerprint() == first, "the fingerprint changes from one call to the next")
    must(again.fingerprint() == first, "opened again, the same model has another fingerprint")
    facts = backend.describe()
    must(isinstance(facts, Mapping), "describe() must return a mapping")
    must_be_json(dict(facts), "describe()")
    must(bool(facts.get("provider")), "describe() must name a provider")
    asyncio.run(again.close())
    if other is not None:
        must(other.fingerprint() != first, "a model of other content has the same fingerprint")
        asyncio.run(other.close())


async def _check_generating(
    backend: Backend, prompts: Sequence[Prompt], deterministic: bool, timeout_s: float
) -> None:
    size = backend.batch_size
    texts: list[dict[str, str]] = []

    async def ask(batch: Sequence[Prompt]) -> list[Generation]:
        answers = await _within(timeout_s, backend.generate(list(batch), DECODING))
        _check_answers(batch, answers)
        return answers

    try:
        for order in (prompts, prompts[::-1]):
            batches = [order[i : i + size] for i in range(0, len(order), size)]
            answers = [answer for batch in batches for answer in await ask(batch)]
            texts.append({answer.example_id: answer.text for answer in answers})
        width = min(backend.max_concurrency or 8, 8)
        alone: dict[str, str] = {}
        for i in range(0, len(prompts), width):
            for (answer,) in await asyncio.gather(*(ask([p]) for p in prompts[i : i + width])):
                alone[answer.example_id] = answer.text
        must(
            not deterministic or texts[0] == texts[1] == alone,
            "greedy answers change with order, batch or time; if that is so, deterministic=False",
        )
        for text in ODD_PROMPTS:
            with suppress(BackendError):  # may be refused, but in no other way
                await ask([prompt_of(text)])
    finally:
        await backend.close()


async def _check_cancelling(backend: Backend, prompts: Sequence[Prompt], timeout_s: float) -> None:
    """A call that is given up ends, and takes nothing down with it."""
    first = list(prompts[:1])
    try:
        for waits in (0.0, 0.001):
            task = asyncio.ensure_future(backend.generate(first, DECODING))
            await asyncio.sleep(waits)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=timeout_s)
            must(bool(done), f"a cancelled generate() did not end within {timeout_s:g} s")
            if not task.cancelled():  # it was done before
                error = task.exception()
                must(error is None, f"a cancelled generate() raised {error!r}")
                _check_answers(first, task.result())
        answers = await _within(timeout_s, backend.generate(first, DECODING))
        _check_answers(first, answers)
    finally:
        await backend.close()


async def _within(timeout_s: float, call: Awaitable[list[Generation]]) -> list[Generation]:
    try:
        return await asyncio.wait_for(call, timeout_s)
    except TimeoutError as error:
        raise AssertionError(f"generate() gave no answer within {timeout_s:g} s") from error


def _check_answers(batch: Sequence[Prompt], answers: Any) -> None:
    must(isinstance(answers, list), "generate() must return a list")
    must(all(isinstance(a, Generation) for a in answers), "generate() must return Generations")
    asked, given = [p.example_id for p in batch], [a.example_id for a in answers]
    must(asked == given, f"asked for {asked}, generate() answered {given}: one each, in order")
    for answer in answers:
        must(isinstance(answer.text, str), "the text of a generation must be a string")
        reasons = ("stop", "length", "unknown")
        must(answer.finish_reason in reasons, f"finish_reason {answer.finish_reason!r}")
        tokens = (answer.prompt_tokens, answer.completion_tokens)
        must(
            all(t is None or (isinstance(t, int) and t >= 0) for t in tokens),
            f"token counts {tokens} are no counts",
        )
        seconds = answer.latency_s
        must(seconds is None or 0 <= seconds < math.inf, f"latency of {seconds} s")
        must_be_json(asdict(answer), "a generation")


def _check_unreachable(make: Callable[[], Backend], timeout_s: float) -> None:
    try:
        backend = make()
        backend.fingerprint()
    except BackendError as error:
        must(error.gone, "a backend that cannot be reached at all must say gone=True")
        must(bool(error.hint), "an error must say what to do next")
    else:
        must(False, "fingerprint() of a backend that cannot be reached must raise BackendError")
    backend = make()

    async def ask() -> None:
        try:
            await _within(timeout_s, backend.generate([prompt_of("Say one.")], DECODING))
        except BackendError:
            return
        finally:
            await backend.close()
        must(False, "generate() of a backend that cannot be reached must raise BackendError")

    asyncio.run(ask())
