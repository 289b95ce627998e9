"""The sealed set: examples that are opened once for a candidate, when everything else passes.

A validation set that many candidates were tried on wears out. The sealed set is asked last, by the
same rules, and only once for each candidate: the ledger of looks says who opened it and what it
said. The run on it lies in the folder ``sealed/`` of the run and can be resumed like any other.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .audit.leaks import shared
from .errors import BaftError, DataError
from .execution import assemble, run
from .opening import anchor
from .records import RuleResult
from .reports import read_report, write_reports
from .store import RunStore, file_sha256, read_dataset
from .store.lineage import sources_of
from .store.looks import Look, LookLedger
from .summary import build_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from . import engine
    from .execution import Prepared
    from .protocols import Backend
    from .records import Decision, Manifest, Report, Strength

    Take = Callable[[Report], Decision]

FOLDER = "sealed"
REQUIRED = "the same rules on the sealed set, opened once"


def settle(
    prepared: Prepared, decision: Decision, take: Take, observe: Callable[[engine.Progress], None]
) -> Decision:
    """The decision after the sealed set was asked, where there is one and all else passes.

    Args:
        prepared: the run.
        decision: by the ordinary rules.
        take: the same rules on another report.
        observe: told of progress.
    """
    manifest = prepared.manifest
    if not manifest.sealed or decision.verdict == "keep":
        return decision
    if manifest.limit is not None:
        return _kept(decision, "A smoke run does not open the sealed set.")
    try:
        return _open(prepared, decision, take, observe)
    except BaftError as error:
        return _kept(decision, f"The sealed set could not be asked: {error.message}")


def settle_again(store: RunStore, manifest: Manifest, decision: Decision, take: Take) -> Decision:
    """The same from what is on disk: no model is called and nothing is opened."""
    if not manifest.sealed or decision.verdict == "keep":
        return decision
    path = store.folder / FOLDER / "report.json"
    if path.is_file():
        report = read_report(path)
        if decision.candidate is not None and report.arm(decision.candidate) is not None:
            return _judged(decision, report, take(report))
    return _kept(decision, "The sealed set was not asked for this candidate in this run.")


def _open(
    prepared: Prepared, decision: Decision, take: Take, observe: Callable[[engine.Progress], None]
) -> Decision:
    manifest, ledger = prepared.manifest, LookLedger(prepared.project)
    arm = next(arm for arm in manifest.arms if arm.name == decision.candidate)
    look = Look(
        kind="opened",
        dataset_sha256=manifest.sealed_sha256,
        fingerprint=arm.fingerprint,
        run=manifest.run_id,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        arm=arm.name,
        spec=arm.spec,
    )
    with ledger.locked():
        opened, said = ledger.opening(look.dataset_sha256, look.fingerprint)
        if opened is not None and opened.run != manifest.run_id:
            return _refused(decision, opened, said)
        ledger.add([look])
    on_seal = _prepare(prepared, decision)
    try:
        problems = run(on_seal, observe)
        report = build_report(
            on_seal.store,
            on_seal.manifest,
            on_seal.job.metric,
            sources_of(on_seal.manifest, on_seal.job.role),
        )
        if problems:
            return _kept(decision, f"The sealed set is not finished: {' '.join(problems)}")
        judged = take(report)
        write_reports(on_seal.store, report, judged)
    finally:
        on_seal.store.close()
    result = _judged(decision, report, judged)
    found = report.arm(arm.name)
    mean = found.summary.mean if found is not None else None
    passed = judged.verdict == "promote"
    ledger.record([replace(look, kind="sealed", passed=passed, mean=mean)])
    return result


def _prepare(prepared: Prepared, decision: Decision) -> Prepared:
    """The run on the sealed set, begun or found where it was left."""
    asked, role = prepared.manifest, prepared.job.role
    start = Path(str(asked.options.get("cwd", ".")))
    path = start / asked.sealed
    if not path.is_file() or file_sha256(path) != asked.sealed_sha256:
        raise DataError(
            f"{path} is not the sealed set that this run was begun with.", "Restore the file."
        )
    examples = read_dataset(path, role).examples
    known = shared(examples, prepared.store.examples())
    if known:
        raise DataError(
            f"{len(known)} of its {len(examples)} examples are in the validation set, so it is no "
            f"sealed set (the first is {examples[min(known)].id!r}).",
        )
    arms = tuple(a for a in asked.arms if a.name in (decision.candidate, decision.incumbent))
    manifest = replace(
        asked,
        run_id=f"{asked.run_id}-{FOLDER}",
        dataset=asked.sealed,
        dataset_sha256=asked.sealed_sha256,
        num_examples=len(examples),
        skipped=0,
        arms=arms,
        sealed="",
        sealed_sha256="",
    )
    backends: dict[str, Backend] = {}
    for arm in arms:
        backend = prepared.plugins.open(anchor(arm.spec, start), prepared.context)
        if backend.fingerprint() != arm.fingerprint:
            raise DataError(f"{arm.name} is no longer the model that was compared.")
        backends[arm.name] = backend
    folder = prepared.store.folder / FOLDER
    begun = (folder / "run.json").is_file()
    store = RunStore.open(folder) if begun else RunStore.create(folder, manifest)
    store.add_examples(examples, role.prompt)
    return assemble(
        store,
        store.manifest(),
        role,
        prepared.job.metric,
        backends,
        prepared.plugins,
        prepared.context,
        prepared.project,
        prepared.warn,
    )


def _judged(decision: Decision, report: Report, judged: Decision) -> Decision:
    arm = report.arm(decision.candidate or "")
    passed = judged.verdict == "promote"
    failed = ", ".join(rule.name for rule in judged.rules if not rule.passed)
    rule = RuleResult(
        name="sealed",
        passed=passed,
        observed=arm.summary.mean if arm is not None else None,
        required=REQUIRED,
        why=f"On {report.num_examples} sealed examples "
        + ("every rule holds too." if passed else f"it does not pass: {failed}."),
        strength=judged.strength,
    )
    if passed:
        return replace(decision, rules=(*decision.rules, rule))
    return _with(decision, rule, judged.strength)


def _refused(decision: Decision, opened: Look, said: Look | None) -> Decision:
    if said is None:
        how = f"and not finished; go on with: baft compare --resume with the folder of {opened.run}"
        return _kept(decision, f"It was opened for this candidate on {opened.date} {how}.")
    result = "passed" if said.passed else "did not pass"
    mean = "" if said.mean is None else f" with a mean of {said.mean:.4f}"
    return _kept(
        decision,
        f"It was opened for this candidate before, in run {said.run} on {said.date}: it "
        f"{result}{mean}. A sealed set answers once.",
    )


def _kept(decision: Decision, why: str) -> Decision:
    """Keep: what cannot be verified keeps the incumbent."""
    rule = RuleResult(
        name="sealed",
        passed=False,
        observed=None,
        required=REQUIRED,
        why=why,
        strength="cannot decide",
    )
    return _with(decision, rule, "cannot decide")


def _with(decision: Decision, rule: RuleResult, strength: Strength) -> Decision:
    return replace(
        decision,
        verdict="keep",
        conclusive=strength != "cannot decide",
        strength=strength,
        rules=(*decision.rules, rule),
        next_steps=(
            f"Keep {decision.incumbent}: the validation set alone does not settle it. A further "
            "candidate needs other training, not another try.",
        ),
    )
