"""Before a configuration is written: does the winner answer exactly as it was measured?

The model is opened as the written file will open it, and asked one validation example.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, fields
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from ..errors import BackendError, UsageError
from ..loader import describe
from ..protocols import Context
from ..records import Prompt
from ..scoring import score_one

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..loader import Plugins
    from ..protocols import Backend, Role
    from ..records import ArmManifest, Example, Generation, Manifest, Message, Scored
    from ..store import RunStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Servability:
    """What one question to the winner, as it will be served, showed."""

    spec: str
    """The model as the written configuration opens it."""
    fingerprint: str
    is_evaluated: bool
    """The fingerprint is the evaluated arm's; False where a replay was evaluated."""
    example_id: str
    """The example that it was asked."""
    prompt: Literal["tokens", "messages"]
    """How far its prompt was compared with the evaluated one: token by token where the backend
    makes the tokens itself, else message by message."""
    finish_reason: str
    validity: str
    """How the answer parsed, see ``Prediction``."""
    score: float
    measured_score: float | None
    """Of the same example in the run; None where it has no score there."""
    wall_s: float
    """Seconds to open the model and have the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """One example as the arm answered it in the run."""

    example: Example
    messages: tuple[Message, ...]
    result: Scored | None
    """None where the arm left none."""
    lowest: float | None
    """Of the arm's answers that ended and parsed; None where there is none."""


def check_servable(
    plugins: Plugins, store: RunStore, arm: ArmManifest, spec: str, env: Mapping[str, str]
) -> Servability:
    """Open ``spec`` and ask it one example of the run, prompt and decoding as evaluated.

    The example is the one that the arm answered best, the first of several. The answer must end by
    itself, parse, and score as the run said: the same text exactly as much, another text (models
    that sample, servers) no less than the lowest of the arm's answers that ended and parsed.

    Args:
        plugins: all plugins.
        store: the run that holds the evidence.
        arm: the winner as it was evaluated.
        spec: the winner as the written configuration will name it.
        env: the environment variables.

    Raises:
        UsageError: it is another model, its prompt has changed, or its answer is cut off, cannot
            be read or scores otherwise; the reason is given.
        BackendError: it cannot answer at all.
    """
    started = time.monotonic()
    manifest = store.manifest()
    role, metric = plugins.role(manifest.role), plugins.metric(manifest.metric)
    measured = _measured(store, arm.name)
    prompt = role.prompt(measured.example)
    if prompt.messages != measured.messages:
        raise _refused(spec, "the role renders another prompt than the one that was evaluated")
    backend = plugins.open(spec, serving_context(plugins, role, env, manifest.options))
    fingerprint, generation = asyncio.run(_ask(backend, prompt, manifest))
    is_evaluated = fingerprint == arm.fingerprint
    if not is_evaluated and not is_replay(arm):
        raise _refused(spec, "it is not the model that was evaluated (fingerprints differ)")
    before = measured.result.generation if measured.result else None
    prompted = _same_prompt(spec, before, generation)
    _check_end(spec, before, generation)
    scored = score_one(role, metric, measured.example, generation, 0, manifest.extraction)
    score = _checked_score(spec, measured, scored)
    return Servability(
        spec=spec,
        fingerprint=fingerprint,
        is_evaluated=is_evaluated,
        example_id=measured.example.id,
        prompt=prompted,
        finish_reason=generation.finish_reason,
        validity=scored.prediction.validity if scored.prediction else "none",
        score=score,
        measured_score=_value(measured.result),
        wall_s=time.monotonic() - started,
    )


def _same_prompt(
    spec: str, before: Generation | None, now: Generation
) -> Literal["tokens", "messages"]:
    """Refuse a prompt that differs from the evaluated one; say how far they were compared."""
    if before is None:
        return "messages"
    if before.sent is not None and now.sent is not None and before.sent != now.sent:
        raise _refused(spec, "its backend sends another prompt than it sent in the run")
    if before.prompt_sha256 is None or now.prompt_sha256 is None:
        return "messages"
    if before.prompt_sha256 != now.prompt_sha256:
        count = f"{now.prompt_tokens} of them, {before.prompt_tokens} in the run"
        raise _refused(spec, f"its prompt has other tokens than the evaluated one ({count})")
    return "tokens"


def _check_end(spec: str, before: Generation | None, now: Generation) -> None:
    """An answer ends by itself; where a server does not say, the run must not have known better."""
    if now.finish_reason == "length":
        raise _refused(spec, f"its answer to {now.example_id} was cut off by a limit")
    if now.finish_reason != "stop" and before is not None and before.finish_reason == "stop":
        raise _refused(spec, f"its answer to {now.example_id} does not end by itself any more")


def _checked_score(spec: str, measured: _Measured, now: Scored) -> float:
    """The answer's score, if it is what the run led to expect."""
    if now.failure is not None:
        raise _refused(
            spec, f"its answer to {now.example_id} cannot be scored ({now.failure.reason})"
        )
    if now.prediction is None or now.prediction.validity == "none":
        raise _refused(spec, f"its answer to {now.example_id} holds no document that can be read")
    value, before = _value(now) or 0.0, measured.result
    then = _value(before)
    if before is not None and then is not None and _text(before) == _text(now) and value != then:
        why = f"the metric gives its answer to {now.example_id} {value:.4f}, and gave it {then:.4f}"
        raise _refused(spec, f"{why} in the run: role or metric have changed")
    if measured.lowest is not None and value < measured.lowest:
        why = f"its answer to {now.example_id} scores {value:.4f}"
        raise _refused(spec, f"{why}; the lowest in the run was {measured.lowest:.4f}")
    return value


def _value(scored: Scored | None) -> float | None:
    return scored.score.value if scored and scored.score else None


def _text(scored: Scored) -> tuple[str, Mapping[str, Any] | None] | None:
    found = scored.generation
    return (found.text, found.fields) if found else None


def is_replay(arm: ArmManifest) -> bool:
    """Were the arm's answers generated elsewhere?"""
    return arm.spec.startswith("replay:") or arm.config.get("provider") == "replay"


def serving_context(
    plugins: Plugins, role: Role, env: Mapping[str, str], options: Mapping[str, Any]
) -> Context:
    """Surroundings of a model in service; of ``options`` those that a context knows."""
    known = {field.name for field in fields(Context)} - {"open", "shared", "env", "role"}
    given = {key: value for key, value in options.items() if key in known}
    return plugins.context(env=env, role=role, **given)


def _measured(store: RunStore, arm: str) -> _Measured:
    """The example that the arm answered best in the run, else the first of all."""
    answered = [
        (row.value, row)
        for row in store.score_rows(arm)
        if row.value is not None and row.validity != "none" and row.finish_reason != "length"
    ]
    first = [(value, row.example_id) for value, row in answered if row.repeat == 0]
    _, best = max(first, key=lambda pair: pair[0], default=(0.0, None))
    found = [best] if best is not None else [e.id for e in islice(store.examples(), 1)]
    if not found:
        raise UsageError(f"The run {store.folder} holds no example.", "Run the comparison again.")
    ((example, prompt),) = store.asked(found)
    return _Measured(
        example=example,
        messages=prompt.messages,
        result=next(store.results(arm, example.id), None),
        lowest=min((value for value, _ in answered), default=None),
    )


async def _ask(backend: Backend, prompt: Prompt, manifest: Manifest) -> tuple[str, Generation]:
    try:
        fingerprint = backend.fingerprint()
        async with asyncio.timeout(manifest.limits.timeout_s):
            generations = await backend.generate([prompt], manifest.decoding)
    except TimeoutError as error:
        raise BackendError(
            f"{backend.spec} gave no answer within {manifest.limits.timeout_s:g} s.",
            "Is the machine busy? Nothing was changed.",
        ) from error
    except BackendError:
        raise
    except Exception as error:  # border: plugin call
        raise _refused(backend.spec, f"it fails to answer ({describe(error)})") from error
    finally:
        await backend.close()
    if len(generations) != 1:
        raise _refused(backend.spec, f"it gave {len(generations)} answers to one question")
    return fingerprint, generations[0]


def _refused(spec: str, why: str) -> UsageError:
    return UsageError(
        f"{spec} is not promoted: {why}.",
        "Nothing was changed; mend it, or run the comparison again with the model as it is.",
    )
