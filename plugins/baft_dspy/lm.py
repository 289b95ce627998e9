"""A baft backend as DSPy's language model, and one run of a program over it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dspy

from baft import BackendError, Generation, Message, Prompt, digest

from .batcher import ASKING
from .program import as_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baft import Decoding

    from .batcher import Asking, Batcher
    from .journal import Recorded

ADAPTER = dspy.ChatAdapter(use_json_adapter_fallback=False)
"""Without the fallback, which would ask the model a second time after an answer it cannot parse."""


class Engine:
    """DSPy's engine contract (3.4): one canonical request in, one response out."""

    def __init__(
        self, batcher: Batcher | Recorded, decoding: Decoding, *, vary_seed: bool = False
    ) -> None:
        self._batcher = batcher
        self._decoding = decoding
        self._vary_seed = vary_seed
        self._asked = 0

    def rolled(self, rollout: int) -> Engine:
        """The same for DSPy's rollout of that number: another seed; 0 is the engine itself."""
        if self._vary_seed or not rollout:
            return self
        decoding = replace(self._decoding, seed=self._decoding.seed + rollout)
        return Engine(self._batcher, decoding)

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
        decoding = (asking and asking.decoding) or self._decoding
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
    return _model(engine) if hasattr(dspy, "lm15") else _legacy_model(engine)


def _model(engine: Engine, **settings: Any) -> Any:
    class EngineLM(dspy.LM):  # type: ignore[misc]  # dspy is not typed
        def copy(self, rollout_id: int | None = None, **changes: Any) -> Any:
            """Another model; an engine is not told of rollouts, so a rollout has its own."""
            return _model(engine.rolled(rollout_id or 0), **{**self.kwargs, **changes})

    return EngineLM("baft/backend", engine=engine, cache=False, num_retries=0, **settings)


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


def surroundings(lm: Any, callbacks: Sequence[Any] = ()) -> Any:
    """A ``dspy.context`` in which programs run: nothing global is read, changed or kept."""
    return dspy.context(
        lm=lm,
        adapter=ADAPTER,
        callbacks=list(callbacks),
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
    inputs = {name: as_text(asking.inputs.get(name, "")) for name in names}
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
    return answered(program, prediction, asking)


def answered(program: Any, prediction: Any, asking: Asking) -> Generation:
    """What the model wrote in a run of a program, with the fields that DSPy read from it."""
    outputs = program.generate.signature.output_fields
    fields = {name: str(prediction[name]) for name in outputs if prediction.get(name) is not None}
    last = asking.generations[-1]
    return replace(
        last,
        example_id=asking.example_id,
        fields=fields or None,
        prompt_tokens=_total(g.prompt_tokens for g in asking.generations),
        completion_tokens=_total(g.completion_tokens for g in asking.generations),
        prompt_sha256=_together([g.prompt_sha256 for g in asking.generations]),
        latency_s=_total(g.latency_s for g in asking.generations),
        sent=last.sent or asking.sent,
    )


def _together(hashes: list[str | None]) -> str | None:
    """One hash for the prompts of all calls; None where a call's is not known."""
    if None in hashes:
        return None
    return digest(hashes)


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
