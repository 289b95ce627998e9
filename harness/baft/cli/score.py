"""``baft score``: score outputs that exist already; no model is called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import state
from .completing import metrics, roles

if TYPE_CHECKING:
    from ..records import Extraction


def score(
    ctx: typer.Context,
    predictions: Annotated[Path, typer.Option(help="Replay lines: id or inputs, and output.")],
    role: Annotated[str, typer.Option(help="Role that reads them.", autocompletion=roles)] = "ba",
    metric: Annotated[
        str | None, typer.Option(help="Default: the role's own.", autocompletion=metrics)
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="The examples that are answered, for a metric that looks.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Nothing is removed around the document.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One line out for each line in.")] = False,
) -> None:
    """Score outputs that exist already.

    With --json: {"id", "score", "components", "failure"} for each line; score is null only where
    the metric itself could not run. Without --dataset the metric is told what a line says of its
    example, and no reference.
    """
    import json as json_module

    from ..reports import render_summary
    from ..scoring import score_lines
    from ..store import read_dataset

    here = state(ctx)
    chosen = here.plugins.role(role)
    measure = here.plugins.metric(metric or chosen.metric)
    examples = None if dataset is None else read_dataset(dataset, chosen).examples
    extraction: Extraction = "strict" if strict else "lenient"
    scores, failures, blind = [], 0, 0
    for example, result in score_lines(predictions, chosen, measure, extraction, examples):
        blind += any(field.name not in example.inputs for field in chosen.inputs)
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
    if blind:
        here.warn(
            f"{blind} lines do not say what they answer; if {measure.name} looks at that, they are "
            "scored too low. Name the examples: --dataset FILE."
        )
    if not json:
        render_summary(measure, scores, failures, here.console())
