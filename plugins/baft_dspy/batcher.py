"""Many threads ask, few calls are made: the way from blocking programs to an asynchronous backend.

DSPy programs run in threads and block while the model answers. Backends are asynchronous, keep
clients that belong to one event loop, and local ones want batches. So every backend gets one loop
in one thread here; requests that wait at the same time are put into one call.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from baft import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from baft import Backend, Decoding, Generation, Message, Prompt

T = TypeVar("T")

LINGER_S = 0.05
"""How long a request waits for company when other programs are busy with something else."""


@dataclass(slots=True)
class Asking:
    """One run of a program for one example: what it asked and what it got."""

    example_id: str
    inputs: Mapping[str, Any]
    decoding: Decoding | None = None
    """None: that of the language model."""
    counted: bool = True
    """Whether who started the run counts its failure."""
    sent: tuple[Message, ...] = ()
    """The messages of the last request."""
    generations: list[Generation] = field(default_factory=list)
    """One for each request, in order."""
    pending: Future[Generation] | None = None
    cancelled: bool = False

    def cancel(self) -> None:
        """Let the waiting program go; a request that is not needed any more is dropped."""
        self.cancelled = True
        if self.pending is not None:
            self.pending.cancel()


ASKING: ContextVar[Asking | None] = ContextVar("baft_dspy_asking", default=None)
"""The run that the current thread is in."""


@dataclass(slots=True, eq=False)
class _Request:
    prompt: Prompt
    decoding: Decoding
    answer: Future[Generation] = field(default_factory=Future)
    arrived: float = 0.0
    call: asyncio.Task[None] | None = None


class Batcher:
    """One backend on a loop of its own, and the threads of the programs that ask it.

    A call is made as soon as it is full (``backend.batch_size``), or every running program waits
    for an answer, or nobody joined for ``LINGER_S``; calls under way never exceed
    ``backend.max_concurrency``.
    """

    def __init__(self, backend: Backend, *, threads: int) -> None:
        self.backend = backend
        self.threads = threads
        self.calls = 0
        """Calls of ``backend.generate`` so far."""
        self._size = max(1, backend.batch_size)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="dspy-program")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ended = False
        self._lock = threading.Lock()
        # Below: read and written on the loop's thread only.
        self._waiting: list[_Request] = []
        self._answering: set[_Request] = set()
        self._under_way: set[asyncio.Task[None]] = set()
        self._unfinished = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False

    def run(self, program: Callable[[T], Generation], items: Sequence[T]) -> list[Future[Any]]:
        """Start ``program(item)`` for each item in threads that are waited for as one crowd."""
        self._post(self._expect, len(items))
        futures = [self._pool.submit(program, item) for item in items]
        for future in futures:
            future.add_done_callback(lambda _: self._post(self._expect, -1))
        return futures

    def ask(self, prompt: Prompt, decoding: Decoding) -> Generation:
        """The backend's answer; blocks the calling thread, which must not be the loop's own.

        Raises:
            BackendError: as the backend raised it for this prompt.
        """
        request = _Request(prompt, decoding)
        asking = ASKING.get()
        if asking is not None:
            asking.pending = request.answer
            if asking.cancelled:
                request.answer.cancel()
        request.answer.add_done_callback(lambda _: self._drop_if_cancelled(request))
        if not self._post(self._arrive, request):
            raise BackendError("The language model was closed.", gone=True)
        return request.answer.result()

    async def close(self) -> None:
        """Close the backend on its own loop, then end the loop and let all threads go."""
        with self._lock:
            loop, thread = self._started()
        try:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._close(), loop))
        finally:
            with self._lock:  # what was posted before runs before the loop stops
                self._ended = True
                loop.call_soon_threadsafe(loop.stop)
            await asyncio.get_running_loop().run_in_executor(None, thread.join)
            loop.close()
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _started(self) -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
        """The loop and its thread, which start with the first request; called under the lock."""
        if self._loop is None or self._thread is None:
            self._loop = asyncio.new_event_loop()
            run = self._loop.run_forever
            self._thread = threading.Thread(target=run, name="dspy-lm", daemon=True)
            self._thread.start()
        return self._loop, self._thread

    def _post(self, function: Callable[..., None], *arguments: Any) -> bool:
        """Have a function run on the loop's thread; False where the loop has ended."""
        with self._lock:
            if not self._ended:
                self._started()[0].call_soon_threadsafe(function, *arguments)
            return not self._ended

    # From here on everything runs on the loop's thread.

    async def _close(self) -> None:
        self._closing = True
        for request in [*self._waiting, *self._answering]:
            request.answer.cancel()
        for call in self._under_way:
            call.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self.backend.close()

    def _expect(self, programs: int) -> None:
        self._unfinished += programs
        self._consider()

    def _arrive(self, request: _Request) -> None:
        if self._closing:
            request.answer.cancel()
        if not request.answer.cancelled():
            request.arrived = asyncio.get_running_loop().time()
            self._waiting.append(request)
            self._consider()

    def _consider(self) -> None:
        """Make every call that is due; look again when the wait for company is over."""
        bound, loop = self.backend.max_concurrency, asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and (bound is None or len(self._under_way) < bound):
            running = min(self._unfinished, self.threads)
            everyone = len(self._waiting) + len(self._answering) >= running
            left_s = self._waiting[-1].arrived + LINGER_S - loop.time()
            if not (everyone or left_s <= 0 or len(self._waiting) >= self._size):
                self._timer = loop.call_later(left_s, self._consider)
                return
            self._call(self._take())

    def _take(self) -> list[_Request]:
        """The requests of the next call, oldest first, all with the same decoding."""
        decoding = self._waiting[0].decoding
        batch = [r for r in self._waiting if r.decoding == decoding][: self._size]
        self._waiting = [r for r in self._waiting if r not in batch]
        return batch

    def _call(self, batch: list[_Request]) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(batch))
        for request in batch:
            request.call = task
        self._answering.update(batch)
        self._under_way.add(task)
        task.add_done_callback(lambda _: self._called(task, batch))

    def _called(self, task: asyncio.Task[None], batch: list[_Request]) -> None:
        self._under_way.discard(task)
        self._answering.difference_update(batch)
        for request in batch:
            request.answer.cancel()  # only where the call was cancelled under it
        self._consider()

    async def _answer(self, batch: list[_Request]) -> None:
        self.calls += 1
        try:
            prompts = [request.prompt for request in batch]
            generations = await self.backend.generate(prompts, batch[0].decoding)
            if len(generations) != len(batch):
                raise BackendError(
                    f"The backend was asked for {len(batch)} answers and gave {len(generations)}."
                )
        except Exception as error:  # border: it belongs to the programs that asked
            alone = len(batch) == 1 or getattr(error, "gone", False)
            if alone or getattr(error, "retryable", False):
                for request in batch:
                    _settle(request.answer, error)
                return
            for request in batch:  # so that the error finds the example it belongs to
                await self._answer([request])
            return
        for request, generation in zip(batch, generations, strict=True):
            _settle(request.answer, generation)

    def _drop_if_cancelled(self, request: _Request) -> None:
        if request.answer.cancelled():
            self._post(self._drop, request)

    def _drop(self, request: _Request) -> None:
        self._waiting = [other for other in self._waiting if other is not request]
        mates = [other for other in self._answering if other.call is request.call]
        if request.call is not None and all(mate.answer.cancelled() for mate in mates):
            request.call.cancel()
        self._consider()


def _settle(answer: Future[Generation], outcome: Generation | Exception) -> None:
    try:
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
    except InvalidStateError:  # cancelled meanwhile: nobody waits any more
        pass
