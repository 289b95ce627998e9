"""All files of a finished run, each written whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..store.codec import to_json
from ..store.files import write_atomic
from .html import html_report
from .json_report import json_report
from .markdown import markdown_report

if TYPE_CHECKING:
    from pathlib import Path

    from ..records import Decision, Report
    from ..store import RunStore


def write_reports(store: RunStore, report: Report, decision: Decision | None) -> dict[str, Path]:
    """Write the reports into the run's folder; without a decision there is no ``decision.json``.

    Returns:
        The path by file name, in the order in which a reader wants them.

    Raises:
        DataError: a file cannot be written; the old one stands.
    """
    contents = {
        "report.html": html_report(store, report, decision),
        "report.md": markdown_report(report, decision),
        "report.json": json_report(store, report, decision),
    }
    paths = {name: store.folder / name for name in contents}
    for name, content in contents.items():
        write_atomic(paths[name], content)
    if decision is not None:
        paths["decision.json"] = write_decision(store, decision)
    return paths


def write_decision(store: RunStore, decision: Decision) -> Path:
    """Write ``decision.json`` into the run's folder.

    Raises:
        DataError: it cannot be written; the old one stands.
    """
    path = store.folder / "decision.json"
    write_atomic(path, to_json(decision) + "\n")
    return path
