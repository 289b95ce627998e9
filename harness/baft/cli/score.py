"""``baft score``: score outputs that exist already; no model is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import state
from .completing import metrics, roles


def score(
    ctx: typer.Context,
    predictions: Annotated[Path, typer.Option(help="Replay lines: id or inputs, and output.")],
    role: Annotated[str, typer.Option(help="Role that reads them.", autocompletion=roles)] = "ba",
    metric: Annotated[
        str | None, typer.Option(help="Default: the role's own.", autocompletion=metrics)
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Nothing is removed around the document.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One line out for each line in.")] = False,
) -> None:
    """Score outputs that exist already.

    With --json: {"id", "score", "components", "failure"} for each line; score is null only where
    the metric itself could not run.
    """
    import json as json_module

    from ..engine import score_lines
    from ..reports import render_summary

    here = state(ctx)
    chosen = here.plugins.role(role)
    measure = here.plugins.metric(metric or chosen.metric)
    scores, failures = [], 0
    for result in score_lines(predictions, chosen, measure, "strict" if strict else "lenient"):
        if result.score is not None:
            scores.append(result.score.value)
        failures += result.failure is not None
        if json:
            print(
                json_module.dumps(
                    {
                        "id": result.example_id,
                        "score": result.score.value if result.score else None,
                        "components": dict(result.score.components) if result.score else {},
                        "failure": result.failure.reason if result.failure else None,
                    },
                    ensure_ascii=False,
                )
            )
    if not json:
        render_summary(measure, scores, failures, here.console())
