"""``baft report``: the reports of a run again, or its results in another form."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import state

if TYPE_CHECKING:
    from .common import State

FORMATS = ("csv", "md", "parquet")


def report(
    ctx: typer.Context,
    run: Annotated[Path | None, typer.Argument(help="Folder or id of a run, or `last`.")] = None,
    format: Annotated[
        str | None, typer.Option(help="csv or parquet: one line a result; md: report.md.")
    ] = None,
    brief: Annotated[
        bool, typer.Option("--brief", help="With md: a comment for a pull request.")
    ] = False,
    link: Annotated[str, typer.Option(help="With --brief: address of the full report.")] = "",
    output: Annotated[
        Path | None, typer.Option(help="File for --format; `-` prints csv and md.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of report.json.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Write report.json, report.md and report.html again, or export the results."""
    from ..concluding import report_again
    from ..errors import UsageError, did_you_mean
    from ..reports import render_terminal, write_junit
    from .runs import find_run

    here = state(ctx)
    if schema:
        print(resources.files("baft").joinpath("schemas/report.json").read_text("utf-8"), end="")
        return
    if run is None:
        raise UsageError("No run was named.", "Name one, such as: baft report last")
    if format is not None and format not in FORMATS:
        raise UsageError(f"There is no format {format!r}.", did_you_mean(format, FORMATS))
    if ((brief or link) and format != "md") or (output is not None and format is None):
        raise UsageError("--brief, --link and --output need a --format.", "Add --format md.")
    folder = find_run(here, run)
    if format is not None and junit is None:
        _export(here, folder, format, output, brief=brief, link=link)
        return
    outcome = report_again(folder, here.plugins, here.project)
    paths = dict(outcome.paths)
    if junit is not None:
        paths["junit"] = write_junit(junit, outcome.report, outcome.decision)
    if format is not None:
        _export(here, folder, format, output, brief=brief, link=link)
    elif json:
        here.emit({name: str(path) for name, path in paths.items()}, True)
    else:
        render_terminal(outcome.report, outcome.decision, paths, here.console())


def _export(
    here: State, folder: Path, format: str, output: Path | None, *, brief: bool, link: str
) -> None:
    """Write or print one form of a run's results."""
    from ..errors import UsageError
    from ..reports import brief_report, export_csv, export_parquet, markdown_report, read_report
    from ..reports.exports import write_csv
    from ..store import RunReader, write_atomic

    printed = str(output) == "-" or (output is None and format == "md")
    with RunReader.reading(folder) as store:
        if format == "md":
            found, decision = read_report(folder / "report.json"), store.decision_if_any()
            text = (
                brief_report(found, decision, link) if brief else markdown_report(found, decision)
            )
            if printed:
                print(text, end="")
                return
            write_atomic(path := output or folder / "report.md", text)
        elif printed and format == "csv":
            write_csv(store, sys.stdout)
            return
        elif printed:
            raise UsageError("Parquet cannot be printed.", "Name a file with --output.")
        else:
            export = {"csv": export_csv, "parquet": export_parquet}[format]
            path = export(store, output or folder / f"examples.{format}")
    here.emit(str(path))
