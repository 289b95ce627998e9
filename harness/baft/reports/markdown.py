"""``report.md``: the summary of a comparison, fit for a pull request."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ..records import Policy
from . import numbers as show
from .auditing import looks_line, mark, reaches
from .deciding import can_tell, next_steps, rule_why, variances
from .text import label, markdown
from .wording import (
    arm_rows,
    baseline,
    component_rows,
    in_words,
    ordered_tests,
    scale_note,
    verdict,
)

if TYPE_CHECKING:
    import jinja2

    from ..records import Decision, Report


def markdown_report(report: Report, decision: Decision | None) -> str:
    """The whole text; whatever a model or a person named is shown as it is, never as markup."""
    reference = baseline(report)
    return (
        environment()
        .get_template("report.md")
        .render(
            report=report,
            decision=decision,
            verdict=verdict(report, decision),
            reference=reference,
            rows=arm_rows(report, decision, reference),
            components=component_rows(report),
            pairs=ordered_tests(report),
            tests=[in_words(test) for test in ordered_tests(report)],
            scale=scale_note(report),
            threshold=(decision.policy if decision and decision.policy else Policy()).threshold,
            reaches=reaches,
            mark=mark,
            looks=looks_line(report, decision),
            can_tell=can_tell(decision),
            next_steps=next_steps(decision) if decision else [],
            rule_why=rule_why,
            variances=variances(report),
            show=show,
        )
    )


@cache
def environment() -> jinja2.Environment:
    """What the template is read with; it is compiled once."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.PackageLoader("baft.reports"),
        autoescape=False,  # finalize escapes every value, by the rules of Markdown
        finalize=_escaped,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["label"] = label
    return found


def _escaped(value: Any) -> Any:
    return markdown(value) if isinstance(value, str) else value
