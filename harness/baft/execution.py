"""A run in motion: its store, its open models, and asking them for what is missing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import engine
from .loader import describe, listeners, tell
from .records import Prompt
from .store.codec import to_data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .loader import Plugins
    from .protocols import Backend, Context, Metric, Role
    from .records import Manifest, Scored
    from .store import RunStore


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
    """A run ready to start or go on; examples and prompts come from its store."""
    examples, prompts = [], []
    for example, messages in store.examples():
        examples.append(example)
        prompts.append(Prompt(example_id=example.id, inputs=example.inputs, messages=messages))
    job = engine.Job(
        role=role,
        metric=metric,
        examples=examples,
        prompts=prompts,
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
    return asyncio.run(_run(prepared, observe))


async def _run(prepared: Prepared, observe: Callable[[engine.Progress], None]) -> list[str]:
    problems = []
    told = listeners(prepared.plugins, "baft_example_scored", prepared.warn)
    folder = prepared.store.folder
    with engine.scoring_pool(prepared.job) as pool:
        for name, backend in prepared.backends.items():

            def scored(result: Scored, name: str = name) -> None:
                if told is not None:
                    told(run=folder, arm=name, scored=result)

            try:
                await engine.run_arm(
                    name,
                    backend,
                    prepared.job,
                    prepared.store,
                    pool,
                    observe=observe,
                    scored=scored if told is not None else None,
                )
            except* engine.ArmGone as group:
                error = group.exceptions[0]
                problems.append(f"{name} stopped answering: {error}")
            finally:
                await _close(backend, prepared.warn)
    return problems


async def _close(backend: Backend, warn: Callable[[str], None]) -> None:
    try:
        await backend.close()
    except Exception as error:  # border: plugin call
        warn(f"{backend.spec} did not close cleanly: {describe(error)}.")
