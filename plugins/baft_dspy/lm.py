"""A baft backend as DSPy's language model, asked from any number of threads.

DSPy programs run in threads and block while the model answers. Backends are asynchronous, keep
clients that belong to one event loop, and local ones want batches. So every backend gets one loop
in one thread here; requests that wait at the same time are put into one call.
"""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import dspy

from baft import Backend, BackendError, Decoding, Generation, Message, Prompt, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

LINGER_S = 0.05
"""How long a request waits for company when other programs are busy with something else."""

ADAPTER = dspy.ChatAdapter(use_json_adapter_fallback=False)
"""Without the fallback, which would ask the model a second time after an answer it cannot parse."""


@dataclass(slots=True)
class Asking:
    """One run of a program for one example: what it asked and what it got."""

    example_id: str
    inputs: Mapping[str, Any]
    decoding: Decoding
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


class Engine:
    """DSPy's engine contract (3.4): one canonical request in, one response out."""

    def __init__(
        self,
        batcher: Batcher,
        decoding: Decoding,
        *,
        vary_seed: bool = False,
        heard: Callable[[Generation], None] = lambda generation: None,
    ) -> None:
        self._batcher = batcher
        self._decoding = decoding
        self._vary_seed = vary_seed
        self._heard = heard
        self._asked = 0

    def complete(self, request: Any) -> Any:
        """Ask the backend what DSPy's request asks."""
        from dspy import lm15

        system = [("system", request.system)] if request.system else []
        turns = [*system, *((message.role, message.parts) for message in request.messages)]
        messages = tuple(
            Message(role="system" if role == "developer" else role, content=_text(parts))
            for role, parts in turns
        )
        generation = self.answer(messages, request.config.temperature, request.config.max_tokens)
        return lm15.Response(
            id=None,
            model=request.model,
            message=lm15.Message.assistant(generation.text),
            finish_reason="stop",  # for "length" DSPy would log; the generation keeps the truth
            usage=lm15.Usage(
                input_tokens=generation.prompt_tokens, output_tokens=generation.completion_tokens
            ),
        )

    def answer(
        self, messages: tuple[Message, ...], temperature: float | None, max_tokens: int | None
    ) -> Generation:
        """The backend's generation, noted in the run that the thread is in."""
        asking = ASKING.get()
        decoding = self._decoding if asking is None else asking.decoding
        if temperature is not None:
            decoding = replace(decoding, temperature=temperature)
        if max_tokens is not None:
            decoding = replace(decoding, max_tokens=max_tokens)
        if self._vary_seed:  # a proposer that asks twice wants two proposals
            decoding = replace(decoding, seed=decoding.seed + self._asked)
            self._asked += 1
        name = digest([m.content for m in messages])[:12] if asking is None else asking.example_id
        inputs = {} if asking is None else asking.inputs
        prompt = Prompt(example_id=name, inputs=inputs, messages=messages)
        if asking is not None:
            asking.sent = messages
        generation = self._batcher.ask(prompt, decoding)
        if asking is not None:
            asking.generations.append(generation)
        self._heard(generation)
        return generation


def _text(content: Any) -> str:
    """The text of a canonical message; other media have no place in a role's fields."""
    if isinstance(content, str):
        return content
    if any(part.type != "text" for part in content):
        raise BackendError("DSPy sent something other than text.", "Use text fields only.")
    return "".join(part.text for part in content)


def language_model(engine: Engine) -> Any:
    """The engine as what ``dspy.context(lm=…)`` takes; DSPy neither caches nor retries.

    The engine contract is DSPy 3.4's; before it a subclass of ``BaseLM`` had to be written.
    """
    if hasattr(dspy, "lm15"):
        return dspy.LM("baft/backend", engine=engine, cache=False, num_retries=0)
    return _legacy_model(engine)


def _legacy_model(engine: Engine) -> Any:
    from types import SimpleNamespace

    class BackendLM(dspy.BaseLM):  # type: ignore[misc]  # dspy is not typed
        def forward(self, prompt: Any = None, messages: Any = None, **options: Any) -> Any:
            turns = messages or [{"role": "user", "content": prompt}]
            sent = tuple(Message(role=t["role"], content=t["content"]) for t in turns)
            merged = {**self.kwargs, **options}
            generation = engine.answer(sent, merged.get("temperature"), merged.get("max_tokens"))
            message = SimpleNamespace(content=generation.text)
            choice = SimpleNamespace(message=message, finish_reason="stop")
            return SimpleNamespace(choices=[choice], usage={}, model=self.model)

    return BackendLM("baft/backend", cache=False)


def surroundings(lm: Any) -> Any:
    """A ``dspy.context`` in which programs run: nothing global is read, changed or kept."""
    return dspy.context(
        lm=lm,
        adapter=ADAPTER,
        callbacks=[],
        disable_history=True,
        send_stream=None,
        trace=None,
        track_usage=False,
        usage_tracker=None,
        warn_on_type_mismatch=False,
    )


def run_program(program: Any, lm: Any, asking: Asking) -> Generation:
    """Run a program for one example; the answer is what the model wrote, word for word.

    Raises:
        BackendError: the model failed, or the program did.
    """
    names = program.generate.signature.input_fields
    inputs = {name: _input(asking.inputs.get(name, "")) for name in names}
    token = ASKING.set(asking)
    try:
        with surroundings(lm):
            prediction = program(**inputs)
    except Exception as error:  # border: single example
        raise backend_error(error, asking.example_id) from error
    finally:
        ASKING.reset(token)
    if not asking.generations:
        raise BackendError(f"The DSPy program asked nothing for example {asking.example_id}.")
    outputs = program.generate.signature.output_fields
    fields = {name: str(prediction[name]) for name in outputs if prediction.get(name) is not None}
    last = asking.generations[-1]
    return replace(
        last,
        example_id=asking.example_id,
        fields=fields or None,
        prompt_tokens=_total(g.prompt_tokens for g in asking.generations),
        completion_tokens=_total(g.completion_tokens for g in asking.generations),
        latency_s=_total(g.latency_s for g in asking.generations),
        sent=last.sent or asking.sent,
    )


def _input(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _total(counts: Any) -> Any:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def backend_error(error: BaseException, example_id: str) -> BackendError:
    """The backend's own error under whatever DSPy wrapped around it, else one that says what."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, BackendError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return BackendError(
            cause.message,
            cause.hint,
            retryable=cause.retryable,
            gone=cause.gone,
            retry_after_s=cause.retry_after_s,
        )
    root = error.__cause__ or error
    text = str(root).strip().split("\n")[0].rstrip(".")
    return BackendError(
        f"The DSPy program failed for example {example_id}: {type(root).__name__}: {text}."
    )
