"""A run in motion: its store, its open models, and asking them for what is missing."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from . import engine
from .errors import BaftError
from .loader import describe, listeners, tell
from .logs import logged_to
from .protocols import Work
from .records import Failure, Scored
from .store.cache import GenerationCache
from .store.codec import to_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor as Pool
    from pathlib import Path

    from .loader import Plugins
    from .protocols import Backend, Context, Deliver, Executor, Metric, Role
    from .records import ArmManifest, Decoding, Manifest, Prompt
    from .store import RunStore
    from .store.cache import ArmCache


log = logging.getLogger(__name__)

TURN_S = 0.001
"""Seconds after which a thread that waits gets its turn; Python's own 0.005 is what the event loop
would wait for at each answer while another thread scores. Shorter turns cost more than they save.
"""


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A run that can start: its store, its open arms and what they have in common."""

    store: RunStore
    manifest: Manifest
    job: engine.Job
    backends: Mapping[str, Backend]
    plugins: Plugins
    context: Context
    """Surroundings in which further models may be opened."""
    project: Path
    """Whose ledgers are written."""
    warn: Callable[[str], None]


def assemble(
    store: RunStore,
    manifest: Manifest,
    role: Role,
    metric: Metric,
    backends: Mapping[str, Backend],
    plugins: Plugins,
    context: Context,
    project: Path,
    warn: Callable[[str], None],
) -> Prepared:
    """A run ready to start or go on; its examples are in its store."""
    job = engine.Job(
        role=role,
        metric=metric,
        num_examples=manifest.num_examples,
        decoding=manifest.decoding,
        limits=manifest.limits,
        extraction=manifest.extraction,
        repeats=manifest.repeats,
        blocked=manifest.blocked,
    )
    return Prepared(
        store=store,
        manifest=manifest,
        job=job,
        backends=backends,
        plugins=plugins,
        context=context,
        project=project,
        warn=warn,
    )


def run(prepared: Prepared, observe: Callable[[engine.Progress], None]) -> list[str]:
    """Ask every arm for what is missing, one arm after another.

    Returns:
        One sentence for each arm that could not be finished.
    """
    folder = prepared.store.folder
    tell(
        prepared.plugins,
        "baft_run_started",
        prepared.warn,
        run=folder,
        manifest=to_data(prepared.manifest),
    )
    level = str(prepared.manifest.options.get("log_level", "info"))
    with logged_to(folder / "run.log", level, prepared.context.env), _short_turns():
        return asyncio.run(_run(prepared, observe))


@contextmanager
def _short_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


async def _run(prepared: Prepared, observe: Callable[[engine.Progress], None]) -> list[str]:
    problems = []
    manifest = prepared.manifest
    cache = None
    if not prepared.manifest.options.get("no_cache"):
        cache = GenerationCache.of_project(prepared.project, prepared.warn)
    log.info("%s: %d examples, %d arms", manifest.run_id, manifest.num_examples, len(manifest.arms))
    name, _, query = str(prepared.manifest.options.get("executor", "local")).partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    executor = prepared.plugins.make("executors", name, options)
    try:
        with engine.scoring_pool(prepared.job) as pool:
            for arm in prepared.manifest.arms:
                kept = cache.of(arm) if cache is not None else None
                ask = _asking(prepared, arm, executor)
                log.info("%s: %s, fingerprint %s", arm.name, arm.spec, arm.fingerprint[:12])
                try:
                    wrong = await _run_arm(prepared, arm, ask, pool, kept, observe)
                    problems += wrong
                    for problem in wrong:
                        log.error("%s", problem)
                finally:
                    await close(prepared.backends[arm.name], prepared.warn)
    finally:
        await executor.close()
        if cache is not None:
            cache.close()
    return problems


def _asking(prepared: Prepared, arm: ArmManifest, executor: Executor) -> engine.Ask:
    """How the executor asks one arm."""
    context, backend = prepared.context, prepared.backends[arm.name]
    surroundings = {
        name: getattr(context, name)
        for name in ("device", "batch_size", "allow_download", "allow_pickle")
    }
    surroundings |= {
        "env": dict(context.env),
        "role": context.role.name if context.role is not None else None,
        "blocked": prepared.manifest.blocked,
    }

    async def ask(prompts: Sequence[Prompt], decoding: Decoding, deliver: Deliver) -> None:
        work = Work(
            arm=arm.name,
            spec=backend.spec,
            fingerprint=arm.fingerprint,
            config=arm.config,
            prompts=prompts,
            decoding=decoding,
            limits=prepared.job.limits,
            backend=backend,
            surroundings=surroundings,
        )
        await executor.ask(work, deliver)

    return ask


async def _run_arm(
    prepared: Prepared,
    arm: ArmManifest,
    ask: engine.Ask,
    pool: Pool,
    cache: ArmCache | None,
    observe: Callable[[engine.Progress], None],
) -> list[str]:
    """Ask one arm for what is missing; returns what went wrong with it as a whole."""
    store = prepared.store
    told = listeners(prepared.plugins, "baft_example_scored", prepared.warn)
    finished = store.count(arm.name)

    def scored(result: Scored) -> None:
        if told is not None:
            told(run=store.folder, arm=arm.name, scored=result)

    try:
        await engine.run_arm(
            arm.name,
            prepared.backends[arm.name],
            prepared.job,
            store,
            pool,
            ask=ask,
            cache=cache,
            observe=observe,
            scored=scored if told is not None else None,
        )
    except* engine.ArmGone as group:
        problems = [f"{arm.name} stopped answering: {group.exceptions[0]}"]
    else:
        problems = []
    if problems or store.count(arm.name) == finished:
        return problems
    if await _same_model(prepared, arm):
        return []
    if cache is not None:
        cache.withdraw()
    store.add_results(arm.name, (_void(*key) for key in sorted(store.finished(arm.name))))
    return [f"{arm.name} is not the model it was when the run began; its scores are void."]


async def _same_model(prepared: Prepared, arm: ArmManifest) -> bool:
    """Whether the spec still names the model that the run began with.

    A tag that was pulled anew, or an adapter that was trained again in the same folder, would mix
    the answers of two models under one name.
    """
    given = prepared.context
    options = {f.name: getattr(given, f.name) for f in fields(given)}
    fresh = {name: value for name, value in options.items() if name not in ("open", "shared")}
    try:
        backend = prepared.plugins.open(
            prepared.backends[arm.name].spec, prepared.plugins.context(**fresh)
        )
        now = backend.fingerprint()
        await close(backend, prepared.warn)
    except BaftError as error:
        prepared.warn(f"{arm.name} could not be checked at the end: {error.message}")
        return True
    return now == arm.fingerprint


def _void(example_id: str, repeat: int) -> Scored:
    reason = "The model was replaced by another one of this name while it was asked."
    failure = Failure(example_id=example_id, stage="generate", reason=reason)
    return Scored(example_id=example_id, repeat=repeat, failure=failure)


async def close(backend: Backend, warn: Callable[[str], None]) -> None:
    """Give back what a backend holds; what goes wrong in it changes nothing."""
    try:
        await backend.close()
    except Exception as error:  # border: plugin call
        warn(f"{backend.spec} did not close cleanly: {describe(error)}.")
