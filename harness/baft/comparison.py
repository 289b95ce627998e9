"""The main job in one place: open the arms, run them, report, decide.

Commands call ``prepare`` (or ``reopen``), ``run`` and ``conclude``; each stage leaves on disk what
the next one needs, so any of them can be taken again.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import gate
from .errors import DataError, UsageError
from .execution import Prepared, assemble
from .loader import describe, off_stdout, tell
from .opening import anchor, git_commit, open_arms, versions
from .protocols import Bounded
from .records import Limits, Manifest, RuleResult
from .reports import write_reports
from .sealed import settle, settle_again
from .store import RunStore, new_run_id
from .store.benchmarks import check_dataset, check_sealed
from .store.datasets import read_examples, survey
from .store.lineage import sources_of
from .store.looks import Look, LookLedger
from .summary import build_report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from . import engine
    from .loader import Plugins
    from .protocols import Context, GateRule, Metric
    from .records import ArmManifest, Decision, Looks, Policy, Report
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a comparison ended."""

    report: Report
    decision: Decision
    paths: Mapping[str, Path]
    problems: tuple[str, ...] = ()
    """What kept the run from being completed; empty where nothing did."""


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


def conclude(
    prepared: Prepared,
    problems: list[str],
    observe: Callable[[engine.Progress], None] = lambda progress: None,
) -> Outcome:
    """Report and decide; tells the plugins and runs their reporters.

    Args:
        prepared: the run, which is over.
        problems: what kept it from being completed.
        observe: told of progress on the sealed set, if that is asked.
    """
    plugins, store, manifest = prepared.plugins, prepared.store, prepared.manifest
    sources = sources_of(manifest, prepared.job.role)
    looks = _looked(prepared)
    report = build_report(store, manifest, prepared.job.metric, sources, looks)

    def take(found: Report) -> Decision:
        return take_decision(found, manifest.policy, manifest.incumbent, plugins)

    decision = settle(prepared, take(report), take, observe)
    paths = write_reports(store, report, decision)
    problems = [
        *problems,
        *(
            f"{arm.name} has no scored example: {_first(arm.failed)}"
            for arm in report.arms
            if not arm.scores
        ),
    ]
    tell(plugins, "baft_run_finished", prepared.warn, run=store.folder, report=report)
    tell(plugins, "baft_decision_made", prepared.warn, run=store.folder, decision=decision)
    for name in plugins.names("reporters"):
        try:
            with off_stdout():
                report_to = plugins.make("reporters", name, prepared.context.env)
                for path in report_to(report, decision, store.folder):
                    paths[f"{name}: {path.name}"] = path
        except (Exception, SystemExit) as error:  # border: plugin call
            prepared.warn(f"Reporter {name!r} failed: {describe(error)}.")
    return Outcome(report=report, decision=decision, paths=paths, problems=tuple(problems))


def _looked(prepared: Prepared) -> Looks | None:
    """Write down which candidates were tried on this dataset, and count them all.

    An arm that stands alone is on trial too: whoever evaluates many models and compares the best
    has looked at them all.
    """
    manifest, ledger = prepared.manifest, LookLedger(prepared.project)
    tried = [arm for arm in manifest.arms if arm.name != manifest.incumbent] or manifest.arms
    date = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        ledger.record(
            [
                Look(
                    kind="look",
                    dataset_sha256=manifest.dataset_sha256,
                    fingerprint=arm.fingerprint,
                    run=manifest.run_id,
                    date=date,
                    arm=arm.name,
                    spec=arm.spec,
                    limit=manifest.limit,
                )
                for arm in tried
            ]
        )
        return _counted(ledger, manifest)
    except DataError as error:
        prepared.warn(f"Looks at this dataset were not counted: {error.message}")
        return None


def _counted(ledger: LookLedger, manifest: Manifest) -> Looks:
    alone = len(manifest.arms) == 1
    served = (arm.fingerprint for arm in manifest.arms if arm.name == manifest.incumbent)
    incumbent = "" if alone else next(served, "")
    return ledger.count(manifest.dataset_sha256, incumbent, manifest.run_id)


def _first(failed: Mapping[str, str]) -> str:
    return next(iter(failed.values()), "none was asked") if failed else "none was answered"


def take_decision(report: Report, policy: Policy, incumbent: str, plugins: Plugins) -> Decision:
    """The gate's decision with the rules of all plugins."""
    extra = {name: _contained(name, plugins) for name in plugins.names("gate_rules")}
    return gate.decide(report, policy, incumbent, extra)


def _contained(name: str, plugins: Plugins) -> GateRule:
    """A plugin's rule; one that fails does not pass, and says so."""

    def judge(report: Report, policy: Policy, candidate: str, incumbent: str) -> RuleResult:
        try:
            rule = plugins.make("gate_rules", name)
            with off_stdout():
                result = rule(report, policy, candidate, incumbent)
            if not isinstance(result, RuleResult) or not isinstance(result.passed, bool):
                raise TypeError(f"it gave {result!r:.80} and no RuleResult that is True or False")
            return result
        except (Exception, SystemExit) as error:  # border: plugin call
            return RuleResult(
                name=name,
                passed=False,
                observed=None,
                required="a rule that works",
                why=f"It failed, so it cannot be verified: {describe(error)}.",
                strength="cannot decide",
            )

    return judge


def report_again(folder: Path, plugins: Plugins, project: Path) -> Outcome:
    """Build and write the reports of a stored run anew; no model is called.

    Args:
        folder: the run's.
        plugins: all plugins.
        project: whose ledger says how many looks there were.
    """
    store = RunStore.open(folder)
    manifest = store.manifest()
    sources = sources_of(manifest, plugins.role(manifest.role))
    metric = plugins.metric(manifest.metric)
    looks = _counted(LookLedger(project), manifest)
    report = build_report(store, manifest, metric, sources, looks)

    def take(found: Report) -> Decision:
        return take_decision(found, manifest.policy, manifest.incumbent, plugins)

    decision = settle_again(store, manifest, take(report), take)
    paths = write_reports(store, report, decision)
    store.close()
    return Outcome(report=report, decision=decision, paths=paths)


def decide_again(
    store: RunStore, report: Report, policy: Policy, incumbent: str, plugins: Plugins
) -> Decision:
    """Take the decision of a finished run anew and write its reports; no model is called."""

    def take(found: Report) -> Decision:
        return take_decision(found, policy, incumbent, plugins)

    decision = settle_again(store, store.manifest(), take(report), take)
    write_reports(store, report, decision)
    return decision
