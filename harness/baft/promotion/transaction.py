"""A decision becomes the new incumbent in ``config.yaml``: checked, whole, recorded."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError, UsageError
from ..records import Promotion
from ..store import RunStore
from ..store.codec import to_data
from .config import InService, absolute_spec, in_service, portable_spec, read_config
from .ledger import Ledger, check_unchanged, check_writable
from .servability import Servability, check_servable, is_replay
from .winner import with_winner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..loader import Plugins
    from ..records import ArmManifest, Decision, Manifest
    from .config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who changes a configuration, where and when."""

    who: str
    host: str
    date: str
    """ISO 8601, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What a promotion did, or would do."""

    promotion: Promotion | None
    """The record; None for a dry run."""
    diff: str
    """Unified diff of the configuration; empty where it says so already."""
    service: InService
    """What serves the role afterwards."""
    servability: Servability | None
    """None for a dry run."""


def promote(
    plugins: Plugins,
    *,
    run: Path,
    config: Path,
    project: Path,
    by: Actor,
    env: Mapping[str, str],
    spec: str | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> Adoption:
    """Put a run's candidate in service.

    Args:
        plugins: all plugins.
        run: folder of a run that was decided.
        config: the pipeline's configuration.
        project: folder that holds ``artifacts/``.
        by: who does it.
        env: the environment variables, for the backend.
        spec: the servable model behind the arm (``--as``); needed where the arm is a replay.
        force: promote although the verdict is keep; recorded.
        dry_run: only compute the diff.

    Raises:
        UsageError: the verdict is keep, the arm cannot be served, or the servability check failed.
        DataError: the run or the configuration is not as it must be, or changed meanwhile.
        BackendError: the winner cannot answer.
    """
    store = RunStore.open(run)
    try:
        manifest = store.manifest()
        decision = _decision(store, force)
        arm = _winner(manifest, decision)
        if spec is None and is_replay(arm):
            raise UsageError(
                f"{arm.name} was evaluated from outputs generated elsewhere ({arm.spec}).",
                "Name the servable model behind them with --as SPEC.",
            )
        roots = (Path.cwd(), Path(str(manifest.options.get("cwd", "."))), config.resolve().parent)
        before = read_config(config)
        wanted = absolute_spec(spec or arm.spec, roots, plugins)
        after = with_winner(before, manifest.role, wanted, manifest.decoding)
        service = in_service(after, manifest.role, plugins)
        if not service.spec:
            raise UsageError(f"{wanted} could not be served: {service.problem}")
        diff = unified_diff(before, after)
        if dry_run:
            return Adoption(promotion=None, diff=diff, service=service, servability=None)
        check_writable(before.path)
        servability = check_servable(plugins, store, arm, service.spec, env)
    finally:
        store.close()
    ledger = Ledger(project)
    with ledger.locked():
        backup = ledger.back_up(before.raw, before.path)
        ledger.back_up(after.raw, before.path)  # what `baft rollback --to` restores
        check_unchanged(before.path, before.sha256)
        record = Promotion(
            action="promote",
            role=manifest.role,
            arm=arm.name,
            spec=portable_spec(service.spec, ledger.project),
            fingerprint=servability.fingerprint,
            run=ledger.shown(run),
            date=by.date,
            config=ledger.shown(before.path),
            sha256_before=before.sha256,
            sha256_after=after.sha256,
            backup=ledger.shown(backup),
            who=by.who,
            host=by.host,
            forced=decision.verdict == "keep",
            policy=to_data(decision.policy or manifest.policy),
            decision=_of_the_winner(decision),
            decoding=manifest.decoding,
        )
        ledger.commit(record, before.path, after.raw)
    return Adoption(promotion=record, diff=diff, service=service, servability=servability)


def _decision(store: RunStore, force: bool) -> Decision:
    if not (store.folder / "decision.json").is_file():
        raise DataError(
            f"The run {store.folder} has no decision yet.",
            f"Finish it with `baft compare --resume {store.folder}`.",
        )
    decision = store.decision()
    if decision.verdict == "keep" and not force:
        failed = [rule for rule in decision.rules if not rule.passed]
        why = f": {failed[0].why}" if failed else "."
        raise UsageError(
            f"The verdict of {store.folder.name} is keep{why}",
            "--force promotes all the same, and the record will say so.",
        )
    return decision


def _winner(manifest: Manifest, decision: Decision) -> ArmManifest:
    if decision.candidate is None:
        raise UsageError("The decision names no candidate.", "Compare at least two models.")
    for arm in manifest.arms:
        if arm.name == decision.candidate:
            return arm
    raise DataError(
        f"The decision names the arm {decision.candidate!r}, which the run does not have.",
        "Take it again with `baft decide`.",
    )


def _of_the_winner(decision: Decision) -> Decision:
    """What is recorded of it: the run keeps the rest, and the policy has its own place."""
    return replace(decision, considered={}, policy=None, power=None, losses={}, next_steps=())


def unified_diff(before: Config, after: Config) -> str:
    """What changes, as ``diff -u`` shows it."""
    lines = []
    for line in difflib.unified_diff(
        before.raw.decode().splitlines(keepends=True),
        after.raw.decode().splitlines(keepends=True),
        f"a/{before.path.name}",
        f"b/{before.path.name}",
    ):
        ended = line.endswith("\n")
        lines.append(line.rstrip("\r\n") + ("" if ended else "\n\\ No newline at end of file"))
    return "".join(f"{line}\n" for line in lines)
