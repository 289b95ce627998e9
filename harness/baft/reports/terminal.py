"""A comparison on a terminal: arms, verdict, rules, next steps; fit for a log without colour."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from . import numbers as show
from .auditing import audit_line, looks_line
from .deciding import can_tell, next_steps, rule_why, variances
from .text import one_line
from .usage import usage_lines
from .wording import arm_rows, in_words, incumbent, paired, scale_note, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from ..protocols import Metric
    from ..records import Decision, Report, RuleResult
    from .wording import ArmRow

COLOURS = {"promote": "bold green", "keep": "bold yellow", "none": "bold"}


def render_terminal(
    report: Report, decision: Decision | None, paths: Mapping[str, Path], console: Console
) -> None:
    """Print the whole comparison; ``paths`` are the files to point at, by name."""
    render_arms(report, console, decision)
    render_decision(report, decision, console)
    _print(console, _list("Audit", filter(None, _audit(report, decision))))
    _print(console, _list("Notes", report.notes))
    for name, path in paths.items():
        console.print(_text(f"{name:<14}{one_line(str(path))}"), soft_wrap=True)


def _audit(report: Report, decision: Decision | None) -> Iterable[str]:
    yield from (audit_line(arm) for arm in report.arms)
    yield looks_line(report, decision)


def render_arms(report: Report, console: Console, decision: Decision | None = None) -> None:
    """Print what was measured: a table of the arms, the comparisons in words."""
    reference = incumbent(report, decision)
    _print(console, _title(report))
    _print(console, _arms(report, decision, reference))
    _print(console, _comparisons(report, reference))


def render_decision(report: Report, decision: Decision | None, console: Console) -> None:
    """Print the verdict, the rules as a checklist, the next steps."""
    said = verdict(report, decision)
    console.print()
    console.print(_text(one_line(said.headline).upper(), COLOURS[said.tone]))
    console.print(_text(one_line(f"{said.reason} {said.strength}")))
    if decision is not None and said.tone != "none":
        _print(console, _decision(decision))


def render_summary(
    metric: Metric, scores: Sequence[float], failures: int, console: Console
) -> None:
    """Print the mean of outputs that were scored without a run."""
    mean = show.score(math.fsum(scores) / len(scores) if scores else None)
    line = (
        f"{metric.name} v{metric.version}: mean {mean} (n = {show.count(len(scores))}), "
        f"{show.count(failures)} failed; attainable {show.score(metric.attainable_max)}"
    )
    console.print(_text(one_line(line)), soft_wrap=True)


def _print(console: Console, parts: Iterable[RenderableType]) -> None:
    for part in parts:
        console.print(part)


def _title(report: Report) -> Iterable[RenderableType]:
    asked = show.counted(report.num_examples, "example")
    times = f" x {report.repeats} repeats" if report.repeats > 1 else ""
    yield _text("")
    yield _text(
        f"{report.role} · {report.benchmark} · {asked}{times} · {show.moment(report.date)}", "bold"
    )
    yield _text(scale_note(report), "dim")


def _arms(report: Report, decision: Decision | None, reference: str) -> Iterable[RenderableType]:
    rows = arm_rows(report, decision, reference)
    yield from (_text(""), _arm_table(rows, reference))
    yield _text("Parsed: as it stood / with what was extracted. Intervals: 95 %.", "dim")
    by_t = [f"{one_line(row.arm.name)} {row.t_interval}" for row in rows if row.arm.summary.t95]
    if by_t:
        yield _text(f"Intervals of the means by Student's t: {', '.join(by_t)}.", "dim")
    for line in (*variances(report), *usage_lines(report)):
        yield _text(one_line(line), "dim")


def _arm_table(rows: list[ArmRow], reference: str) -> Table:
    table = _table()
    single = len(rows) < 2
    table.add_column("arm", overflow="fold", min_width=9)
    table.add_column("mean", justify="right", no_wrap=True)
    if not single:
        against = _text(f"vs {one_line(reference)}")
        table.add_column(against, justify="right", overflow="fold", min_width=16)
    for heading in ("parsed", "≥ 0.8\n≥ 0.9", "n", "failed", "tok/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        summary = row.arm.summary
        gap = () if single else (f"{row.difference}\n{row.difference_interval}",)
        cells = (
            f"{row.mean}\n{row.interval if summary.ci95 else ''}",
            *gap,
            f"{row.as_is}\n{row.readable}",
            f"{row.pass_08}\n{row.pass_09}",
            show.count(summary.n),
            show.count(summary.failures),
            show.rate(row.arm.usage.tokens_per_s),
        )
        name = _text(one_line(row.arm.name), "bold").append(f"\n{row.standing}", style="dim")
        table.add_row(name, *(_text(cell) for cell in cells))
    return table


def _comparisons(report: Report, reference: str) -> Iterable[RenderableType]:
    tests = (paired(report, arm.name, reference) for arm in report.arms)
    yield from _list("", [in_words(test) for test in tests if test is not None])


def _decision(decision: Decision) -> Iterable[RenderableType]:
    yield from _rules(decision.rules)
    for name, rules in decision.considered.items():
        yield _text(f"Also tried: {one_line(name)}", "bold")
        yield from _rules(rules)
    yield from _list("What these examples can tell", can_tell(decision))
    yield from _list("Next steps", next_steps(decision))


def _rules(rules: Iterable[RuleResult]) -> Iterable[RenderableType]:
    table = _table()
    table.add_column("")
    for heading in ("rule", "observed", "required"):
        table.add_column(heading, overflow="fold", max_width=24)
    table.add_column("why", overflow="fold")
    for rule in rules:
        style = "green" if rule.passed else "red"
        observed = "" if rule.observed is None else one_line(show.exact(rule.observed))
        cells = (one_line(rule.name), observed, one_line(rule.required), one_line(rule_why(rule)))
        table.add_row(_text("✓" if rule.passed else "✗", style), *(_text(cell) for cell in cells))
    if table.row_count:
        yield table


def _list(title: str, lines: Iterable[str]) -> Iterable[RenderableType]:
    from rich.table import Table

    grid = Table.grid(padding=(0, 1))
    grid.add_column()
    grid.add_column(overflow="fold")
    for line in lines:
        grid.add_row("-", _text(one_line(line)))
    if grid.row_count:
        yield _text(title, "bold")
        yield grid


def _table() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False, header_style="bold")


def _text(text: str, style: str = "") -> Text:
    """Text that Rich prints as it is: no markup, no emoji codes."""
    from rich.text import Text

    return Text(text, style=style)
