"""``baft report``: write the reports of a run again from its store; no model is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import state


def report(
    ctx: typer.Context,
    run: Annotated[Path, typer.Argument(help="Folder or id of a run, or `last`.")],
    json: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Write report.json, report.md and report.html again."""
    from ..comparison import report_again
    from ..reports import render_terminal
    from .runs import find_run

    here = state(ctx)
    outcome = report_again(find_run(here, run), here.plugins)
    if json:
        here.emit({name: str(path) for name, path in outcome.paths.items()}, True)
    else:
        render_terminal(outcome.report, outcome.decision, outcome.paths, here.console())
