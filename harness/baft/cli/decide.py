"""``baft decide``: take the decision again from a finished run; no model is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import POLICY, RULE, Exit, parse_share, state
from .completing import policies


def decide(
    ctx: typer.Context,
    run: Annotated[Path, typer.Argument(help="Folder or id of a run.")],
    policy: Annotated[str | None, typer.Option(help=POLICY, autocompletion=policies)] = None,
    rule: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help=RULE)] = None,
    threshold: Annotated[str | None, typer.Option(help="Least mean: 0.8535 or 85.35%.")] = None,
    min_gain: Annotated[float | None, typer.Option(help="Least gain over the incumbent.")] = None,
    max_failure_rate: Annotated[
        float | None, typer.Option(help="Largest share of examples without a score.")
    ] = None,
    confidence: Annotated[str | None, typer.Option(help="off, report or require.")] = None,
    incumbent: Annotated[str | None, typer.Option(help="Arm that is in service.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print decision.json.")] = False,
) -> None:
    """Decide again, by the run's own policy or a changed one; exits with 0, 3 or 4."""
    from ..concluding import decide_again
    from ..policies import change_policy, named_policy
    from ..reports import read_report, render_decision
    from ..store import RunStore
    from .runs import find_run

    here = state(ctx)
    store = RunStore.open(find_run(here, run))
    manifest = store.manifest()
    rules = change_policy(
        manifest.policy if policy is None else named_policy(policy),
        rule or (),
        threshold=parse_share(threshold, "threshold") if threshold is not None else None,
        min_gain=min_gain,
        max_failure_rate=max_failure_rate,
        confidence=confidence,
    )
    report = read_report(store.folder / "report.json")
    decision = decide_again(store, report, rules, incumbent or manifest.incumbent, here.plugins)
    store.close()
    if json:
        here.emit(decision, True)
    else:
        render_decision(report, decision, here.console())
    if decision.verdict == "keep":
        raise typer.Exit(Exit.KEEP if decision.conclusive else Exit.UNSETTLED)
