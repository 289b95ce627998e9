"""The beginning of a comparison: read the data, open the arms, create the run.

Commands call ``prepare`` (or ``reopen``), ``execution.run`` and ``concluding.conclude``; each stage
leaves on disk what the next one needs, so any of them can be taken again.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import DataError, UsageError
from .execution import Prepared, assemble
from .opening import anchor, git_commit, open_arms, versions
from .protocols import Bounded
from .records import Limits, Manifest
from .store import RunStore, new_run_id
from .store.benchmarks import check_dataset, check_sealed
from .store.datasets import read_examples, survey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .loader import Plugins
    from .protocols import Context, Metric
    from .records import ArmManifest
    from .store import Benchmark
    from .store.datasets import Survey


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a comparison is asked beyond its benchmark."""

    limits: Limits = field(default_factory=Limits)
    limit: int | None = None
    """Only the first so many examples."""
    repeats: int = 1
    allow_invalid: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    """Device, batch size, allow_download, allow_pickle: see ``Context``."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1, not {self.limit}")
        if self.repeats < 1:
            raise ValueError(f"repeats must be at least 1, not {self.repeats}")


def prepare(
    benchmark: Benchmark,
    dataset: Path,
    folder: Path,
    plugins: Plugins,
    context: Context,
    asked: Asked,
    *,
    project: Path,
    warn: Callable[[str], None],
) -> Prepared:
    """Read the data, open every arm, create the run.

    Args:
        benchmark: with every override applied; its specs work from here.
        dataset: path of the examples.
        folder: where runs are kept, or the run's own folder if it ends with the run's name.
        plugins: all plugins.
        context: surroundings of the backends.
        asked: limits and the like.
        project: whose commit and ledgers they are.
        warn: told of what a person should know.

    Raises:
        UsageError: an arm is not available; all of them are named, with how to get them.
        DataError: the dataset is missing, empty, broken, or not the one that was frozen.
    """
    if not benchmark.models:
        raise UsageError(
            "No model was named.",
            "Name one with --baseline, --optimized, --finetuned, --candidate.",
        )
    role = plugins.role(benchmark.role)
    metric = plugins.metric(benchmark.metric)
    _check_metric(benchmark, metric)
    check_dataset(benchmark, dataset)
    data = survey(dataset, role, allow_invalid=asked.allow_invalid)
    arms, backends = open_arms(benchmark, plugins, context)
    run_id = new_run_id(benchmark.name)
    manifest = _manifest(run_id, benchmark, data, metric, arms, plugins, asked)
    manifest = replace(manifest, git_commit=git_commit(project))
    store = RunStore.create(folder / run_id, manifest)
    examples = read_examples(dataset, role, [] if asked.allow_invalid else None)
    store.add_examples(islice(examples, asked.limit), role.prompt)
    return assemble(store, manifest, role, metric, backends, plugins, context, project, warn)


def reopen(
    folder: Path,
    plugins: Plugins,
    context_for: Callable[[Manifest], Context],
    *,
    project: Path,
    warn: Callable[[str], None],
) -> Prepared:
    """A run that was begun, ready to go on; examples and prompts come from its store.

    Raises:
        DataError: there is no run, or an arm is no longer the model it was.
    """
    store = RunStore.open(folder)
    manifest = store.manifest()
    role, metric = plugins.role(manifest.role), plugins.metric(manifest.metric)
    context = context_for(manifest)
    backends = {}
    start = Path(str(manifest.options.get("cwd", ".")))
    for arm in manifest.arms:
        backend = plugins.open(anchor(arm.spec, start), context)
        if backend.fingerprint() != arm.fingerprint:
            raise DataError(
                f"{arm.name} ({arm.spec}) is not the model that this run began with.",
                "Start a new comparison, or put the former model back.",
            )
        backends[arm.name] = backend
    return assemble(store, manifest, role, metric, backends, plugins, context, project, warn)


def _check_metric(benchmark: Benchmark, metric: Metric) -> None:
    if metric.version != benchmark.metric_version:
        raise UsageError(
            f"Benchmark {benchmark.name!r} was frozen with version {benchmark.metric_version} of "
            f"{metric.name}, but version {metric.version} is installed.",
            "Install the baft that the benchmark names, or raise metric_version in the file.",
        )


def _manifest(
    run_id: str,
    benchmark: Benchmark,
    data: Survey,
    metric: Metric,
    arms: tuple[ArmManifest, ...],
    plugins: Plugins,
    asked: Asked,
) -> Manifest:
    return Manifest(
        run_id=run_id,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        benchmark=benchmark.name,
        benchmark_version=benchmark.version,
        role=benchmark.role,
        dataset=str(data.path),
        dataset_sha256=data.sha256,
        num_examples=min(data.num_examples, asked.limit or data.num_examples),
        limit=asked.limit,
        allow_invalid=asked.allow_invalid,
        skipped=len(data.skipped),
        train=benchmark.train,
        sealed=benchmark.sealed,
        sealed_sha256=check_sealed(benchmark, data.sha256),
        metric=metric.name,
        metric_version=metric.version,
        attainable_max=metric.attainable_max,
        floor=metric.floor if isinstance(metric, Bounded) else None,
        ceilings=dict(metric.ceilings) if isinstance(metric, Bounded) else {},
        component_max=dict(metric.components),
        extraction=benchmark.extraction,
        repeats=asked.repeats,
        decoding=benchmark.decoding,
        limits=asked.limits,
        policy=benchmark.policy,
        incumbent=benchmark.incumbent,
        arms=arms,
        blocked=tuple(sorted(i.name for i in plugins.infos if "--no-plugin" in i.problem)),
        versions=versions(plugins),
        platform=platform.platform(),
        options={**asked.options, "cwd": str(Path.cwd())},
    )
