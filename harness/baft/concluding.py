"""The end of a comparison: report, decide, tell the plugins.

No model is called but for the sealed set.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from . import gate
from .errors import DataError
from .loader import describe, off_stdout, tell
from .records import RuleResult
from .reports import write_reports
from .sealed import settle, settle_again
from .store import RunStore
from .store.lineage import sources_of
from .store.looks import Look, LookLedger
from .summary import build_report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from . import engine
    from .execution import Prepared
    from .loader import Plugins
    from .protocols import GateRule
    from .records import Decision, Looks, Manifest, Policy, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a comparison ended."""

    report: Report
    decision: Decision
    paths: Mapping[str, Path]
    problems: tuple[str, ...] = ()
    """What kept the run from being completed; empty where nothing did."""


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
