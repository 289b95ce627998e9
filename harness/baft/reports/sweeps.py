"""The trials of a sweep, as a table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .text import cut, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

REASON = 60
"""Characters shown of why a trial failed."""


def render_sweep(record: Mapping[str, Any], console: Console) -> None:
    """Print what ``sweep.json`` holds: a row for each trial, the best one marked."""
    from rich import box
    from rich.table import Table

    best, judged_by = record["best"]["trial"], one_line(str(record["judged_by"]))
    by_loss = judged_by == "validation loss"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("trial", justify="right")
    for name in record["space"]:
        table.add_column(one_line(name), justify="right")
    table.add_column("least validation loss", justify="right")
    if not by_loss:
        table.add_column(judged_by, justify="right")
    table.add_column("minutes", justify="right")
    table.add_column("")
    for trial in record["trials"]:
        losses, reason = trial["val_losses"], cut(one_line(trial["reason"]), REASON)[0]
        told = trial["state"] if trial["state"] != "done" else ""
        note = "★ best" if trial["number"] == best else f"{told}: {reason}" if reason else told
        table.add_row(
            str(trial["number"]),
            *(one_line(_short(trial["options"].get(name))) for name in record["space"]),
            f"{min(losses):.4f}" if losses else "",
            *([] if by_loss else ["" if trial["value"] is None else f"{trial['value']:.4f}"]),
            "" if trial["wall_s"] is None else f"{trial['wall_s'] / 60:.1f}",
            note,
            style="bold" if trial["number"] == best else "",
        )
    console.print(table)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
