"""``report.html``: one file that opens anywhere, asks the network for nothing and trusts no text.

Every value is made visible (``text.visible``) and escaped on its way into the page. The policy in
the page's head allows exactly the one style sheet and the one script that stand in it, by hash;
so there are no style attributes and no event handlers.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from . import numbers as show
from .auditing import looks_line, mark, reaches
from .charts import distributions_chart, forest_chart, losses_chart, slopes_chart, trials_chart
from .deciding import can_tell, next_steps, rule_why, variances
from .examples import STATES, anchor, choose, views
from .history import optimization_of, training_of
from .listing import LISTED, listing, read_listed, read_tags
from .overview import read_rows, tag_tables
from .text import label, visible
from .wording import (
    arm_rows,
    component_rows,
    in_words,
    incumbent,
    ordered_tests,
    scale_note,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jinja2

    from ..records import Decision, Report
    from ..store import RunStore
    from .history import Optimization, Training
    from .overview import ArmRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How one arm came to be, with its charts."""

    arm: int
    """Its position."""
    search: Optimization | None
    training: Training | None
    trials: str
    losses: str


def html_report(store: RunStore, report: Report, decision: Decision | None) -> Iterator[str]:
    """The page in pieces; one example is in memory at a time."""
    policy = (decision.policy if decision else None) or store.manifest().policy
    total = len(store.examples())
    details = read_rows(store, report, policy.threshold)
    chosen = choose(store.examples(), report, _named(report, details))
    listed = read_listed(store, None if total <= LISTED else chosen)
    tags = tag_tables(read_tags(store, listed if len(listed) == total else None), report)
    choices = [(name, row.value) for name, values in tags.items() for row in values]
    reference, tests = incumbent(report, decision), ordered_tests(report)
    style, script = _asset("report.css"), _asset("report.js")
    template = environment().get_template("report.html")
    yield from template.generate(
        style=style,
        script=script,
        security=content_security_policy(style, script),
        report=report,
        decision=decision,
        verdict=verdict(report, decision),
        threshold=policy.threshold,
        reference=reference,
        rows=arm_rows(report, decision, reference),
        distributions=distributions_chart("scores", report, policy.threshold),
        slopes=slopes_chart("slopes", report, tests) if tests else "",
        forest=forest_chart("forest", tests) if tests else "",
        components=component_rows(report),
        details=details,
        tests=tests,
        in_words=in_words,
        scale_note=scale_note(report),
        can_tell=can_tell(decision),
        next_steps=next_steps(decision) if decision else [],
        rule_why=rule_why,
        variances=variances(report),
        reaches=reaches,
        mark=mark,
        looks=looks_line(report, decision),
        makings=_makings(report),
        tag_tables=tags,
        tag_choices=choices,
        examples=views(store, report, policy.threshold, chosen, reference),
        listing=listing(store, report, listed, choices, reference, policy.threshold),
        total=total,
        listed=len(listed),
        shown=len(chosen),
        states=STATES,
        show=show,
    )


def _makings(report: Report) -> list[Making]:
    """Of each arm that tells how it came to be: its search or training, and the charts of it."""
    makings = []
    for position, arm in enumerate(report.arms):
        search, training = optimization_of(arm.config), training_of(arm.config)
        if search or training:
            makings.append(
                Making(
                    arm=position,
                    search=search,
                    training=training,
                    trials=trials_chart(f"trials-{position}", search, position) if search else "",
                    losses=losses_chart(f"loss-{position}", training, position) if training else "",
                )
            )
    return makings


def _named(report: Report, details: list[ArmRows]) -> Iterator[str]:
    """Ids of the examples that the page links to above them."""
    for arm, rows in zip(report.arms, details, strict=True):
        yield from (case.id for case in rows.worst)
        for finding in arm.audit.findings if arm.audit else ():
            yield from finding.examples[:8]


def content_security_policy(style: str, script: str) -> str:
    """The page's policy: nothing from anywhere but these two texts, and images in the page."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    found = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{found}'"


def _asset(name: str) -> Any:
    from markupsafe import Markup

    text = resources.files("baft.reports").joinpath("templates", name).read_text(encoding="utf-8")
    return Markup(text)  # our own file, not to be escaped


@cache
def environment() -> jinja2.Environment:
    """What the page's templates are read with; each is compiled once."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.PackageLoader("baft.reports"),
        autoescape=jinja2.select_autoescape(["html"], default=True),
        finalize=_seen,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"label": label, "anchor": anchor, "link": _link, "heat": _heat}
    return found


def _seen(value: Any) -> Any:
    """Every value on its way into the page; our own markup stays as it is."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _link(anchor_: str) -> str:
    """A link to an element of this page."""
    return "#" + quote(anchor_, safe="-_.")


def _heat(lost: float | None, most: float) -> int:
    """How hot a cell is, 0 to 5, by the share of the points that was lost."""
    if lost is None or most <= 0 or lost <= 1e-9:
        return 0
    return min(5, 1 + int(lost / most * 8))
