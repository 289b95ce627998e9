"""What ``baft export`` starts from and ends with: the model as it was measured, and as served."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .common import Exit

if TYPE_CHECKING:
    from ..exporting import Source
    from ..protocols import Mergeable
    from ..records import Prompt
    from ..store import Benchmark
    from .common import State


def find_source(here: State, model: str, arm: str | None, benchmark: str) -> Source:
    """A run's arm where there is a run of that name, else the model that the spec names.

    Raises:
        UsageError: it is neither; the run has no such arm.
    """
    from ..errors import UsageError
    from ..exporting import Source, source_of_run
    from ..store import find_benchmark
    from .running import anchored
    from .runs import find_run

    try:
        run = find_run(here, Path(model))
    except UsageError as no_run:
        try:
            scheme, target = here.plugins.resolve(model)
        except UsageError:
            raise no_run from None
        frozen = replace(
            anchored(find_benchmark(benchmark, here.project)),
            models={"adapter": f"{scheme}:{target}"},
        )
        return Source(arm="adapter", benchmark=frozen)
    source = source_of_run(run, arm)
    return replace(source, benchmark=anchored(source.benchmark))


def open_mergeable(here: State, spec: str, source: Source, options: dict[str, Any]) -> Mergeable:
    """The model's backend, which can write it as one whole.

    Raises:
        UsageError: its weights are not here.
        DataError: it is not what the run measured.
    """
    from ..errors import DataError, UsageError
    from ..protocols import Mergeable

    backend = here.plugins.open(spec, here.plugins.context(env=here.env, **options))
    if not isinstance(backend, Mergeable):
        raise UsageError(
            f"{spec} cannot be merged: its weights are not here.", "Name lora:DIR or hf:DIR."
        )
    if source.fingerprint and backend.fingerprint() != source.fingerprint:
        raise DataError(
            f"{spec} is not the model that the run measured.",
            "Put the former files back, or compare again.",
        )
    asyncio.run(backend.close())
    return backend


def prompts_of(here: State, benchmark: Benchmark, limit: int | None) -> list[Prompt]:
    """What the model is asked on the benchmark."""
    from ..store import read_dataset

    role = here.plugins.role(benchmark.role)
    examples = read_dataset(Path(benchmark.dataset), role).examples[:limit]
    return [role.prompt(example) for example in examples]


def judge(
    here: State,
    source: Source,
    served: str,
    max_loss: float,
    limit: int | None,
    options: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Score what is served, print the loss; exit 4 where it is too large."""
    from ..exporting import EXPORTED
    from ..reports import served_text
    from ..store.codec import to_data
    from .running import asked_for, finish, start

    asked = asked_for(
        concurrency=8,
        timeout=600.0,
        retries=3,
        limit=limit or source.limit,
        repeats=source.repeats,
        allow_invalid=False,
        options={**(source.options or {}), **options},
    )
    outcome = finish(here, start(here, source.beside(served, max_loss), asked, None))
    exported = outcome.report.arm(EXPORTED)
    if outcome.problems or exported is None or exported.failed:
        here.warn(f"{served} could not be scored on every example; it is not adopted")
        raise typer.Exit(Exit.INCOMPLETE)
    test = source.loss(outcome.report)
    loss = test.mean_difference
    is_close = loss is not None and loss <= max_loss
    run = outcome.paths["report.json"].parent
    if as_json:
        found = {"spec": served, "run": str(run), "loss": loss, "max_loss": max_loss}
        here.emit({**found, "adoptable": is_close, "test": to_data(test)}, True)
    else:
        print(served_text(test, exported.summary.mean, max_loss))
    if not is_close:
        raise typer.Exit(Exit.UNSETTLED)
    force = "" if outcome.decision.verdict == "promote" else " --force  (its verdict is keep)"
    here.say(f"Next: baft promote {run.name}{force}")
