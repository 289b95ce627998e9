"""The summary as a comment on a pull request: a table, the decision, its rules, a link."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from . import numbers as show
from .text import cut, markdown
from .wording import arm_rows, incumbent, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..records import Decision, Report, RuleResult

LIMIT = 60_000
"""Most characters; GitHub takes 65,536."""
ROWS = 40
"""Most lines of a table."""
CELL = 300
"""Most characters of a cell."""
ADDRESS = ":/?#@!$&'*+,;=%~"
"""What may stand in a link beside letters and digits; brackets would end it."""


def brief_report(report: Report, decision: Decision | None, link: str = "") -> str:
    """The comment; never longer than ``LIMIT``.

    Args:
        report: the run's report.
        decision: the decision taken last, if any.
        link: address of the full report; default: its name.
    """
    said = verdict(report, decision)
    reference = incumbent(report, decision)
    title = f"### {_cell(said.headline)}\n\n{_cell(said.reason)} {said.strength}".rstrip()
    parts = [title, _arms(report, decision, reference)]
    if decision is not None and decision.rules:
        parts.append("\n".join(_rules(decision.rules)))
    parts.append(_facts(report, link))
    while len(text := "\n\n".join(parts) + "\n") > LIMIT:
        parts.pop(-2)  # title and source stay
    return text


def _arms(report: Report, decision: Decision | None, reference: str) -> str:
    lines = [
        f"| arm | mean | 95 % interval | difference to {_cell(reference)} | ≥ 0.8 | n | failed |",
        "| --- | ---: | :---: | ---: | ---: | ---: | ---: |",
    ]
    rows = arm_rows(report, decision, reference)
    for row in rows[:ROWS]:
        name = _cell(row.arm.name) + (f" ({row.standing})" if row.standing else "")
        summary = row.arm.summary
        cells = (name, row.mean, row.interval, row.difference, row.pass_08)
        lines.append(f"| {' | '.join(cells)} | {summary.n} | {summary.failures} |")
    if len(rows) > ROWS:
        lines.append(f"\nand {show.counted(len(rows) - ROWS, 'further arm')}")
    return "\n".join(lines)


def _rules(rules: tuple[RuleResult, ...]) -> Iterator[str]:
    yield "| | rule | observed | required |"
    yield "| :---: | --- | ---: | --- |"
    for rule in rules[:ROWS]:
        cells = (rule.name, show.exact(rule.observed), rule.required)
        yield f"| {'✓' if rule.passed else '✗'} | {' | '.join(_cell(cell) for cell in cells)} |"


def _facts(report: Report, link: str) -> str:
    where = f"[Full report]({quote(link, safe=ADDRESS)})" if link else "full report: `report.html`"
    floor = "" if report.floor is None else f", at least {show.score(report.floor)}"
    return (
        f"{show.counted(report.num_examples, 'example')} of {_cell(report.dataset)} "
        f"(`{_cell(report.dataset_sha256[:12])}`) · {_cell(report.metric)} "
        f"v{report.metric_version}, at most {show.score(report.attainable_max)}{floor} · run "
        f"{_cell(report.run_id)} · {where}"
    )


def _cell(text: str) -> str:
    return markdown(cut(text, CELL)[0])
