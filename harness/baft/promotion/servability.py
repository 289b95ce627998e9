"""Before a configuration is written: does the winner answer exactly as it was measured?

The model is opened as the written file will open it, and asked one validation example.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ..errors import BackendError, UsageError
from ..loader import describe
from ..protocols import Context
from ..records import Prompt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..loader import Plugins
    from ..protocols import Backend, Role
    from ..records import ArmManifest, Example, Generation, Manifest, Message
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
    finish_reason: str
    validity: str
    """How the answer parsed, see ``Prediction``."""
    wall_s: float
    """Seconds to open the model and have the answer."""


def check_servable(
    plugins: Plugins, store: RunStore, arm: ArmManifest, spec: str, env: Mapping[str, str]
) -> Servability:
    """Open ``spec`` and ask it one example of the run, prompt and decoding as evaluated.

    Args:
        plugins: all plugins.
        store: the run that holds the evidence.
        arm: the winner as it was evaluated.
        spec: the winner as the written configuration will name it.
        env: the environment variables.

    Raises:
        UsageError: it is another model, its prompt has changed, or its answer is cut off or
            cannot be read; the reason is given.
        BackendError: it cannot answer at all.
    """
    started = time.monotonic()
    manifest = store.manifest()
    role = plugins.role(manifest.role)
    example, messages, sent = _question(store, arm.name)
    prompt = role.prompt(example)
    if prompt.messages != messages:
        raise _refused(spec, "the role renders another prompt than the one that was evaluated")
    backend = plugins.open(spec, serving_context(plugins, role, env, manifest.options))
    fingerprint, generation = asyncio.run(_ask(backend, prompt, manifest))
    is_evaluated = fingerprint == arm.fingerprint
    if not is_evaluated and not is_replay(arm):
        raise _refused(spec, "it is not the model that was evaluated (fingerprints differ)")
    if sent is not None and generation.sent is not None and sent != generation.sent:
        raise _refused(spec, "its backend sends another prompt than it sent in the run")
    if generation.finish_reason == "length":
        raise _refused(spec, f"its answer to {example.id} was cut off by a limit")
    prediction = role.parse(generation, manifest.extraction)
    if prediction.validity == "none":
        raise _refused(spec, f"its answer to {example.id} holds no document that can be read")
    return Servability(
        spec=spec,
        fingerprint=fingerprint,
        is_evaluated=is_evaluated,
        example_id=example.id,
        finish_reason=generation.finish_reason,
        validity=prediction.validity,
        wall_s=time.monotonic() - started,
    )


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


def _question(
    store: RunStore, arm: str
) -> tuple[Example, tuple[Message, ...], tuple[Message, ...] | None]:
    """The first example that the arm answered well in the run, else the first of all."""
    answered = {
        row.example_id
        for row in store.score_rows(arm)
        if row.failure is None and row.validity != "none" and row.finish_reason != "length"
    }
    examples = list(store.examples())
    if not examples:
        raise UsageError(f"The run {store.folder} holds no example.", "Run the comparison again.")
    example, messages = next((e for e in examples if e[0].id in answered), examples[0])
    result = next(iter(store.results(arm, example.id)), None)
    return example, messages, result.generation.sent if result and result.generation else None


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
