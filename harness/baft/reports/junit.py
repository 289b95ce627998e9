"""A comparison as JUnit XML, so that a build server shows it as it shows tests.

One suite holds the rules of the decision, another the candidate's examples: an example without a
score is an error, one below the threshold a failure. Whether a build passes is the first suite's,
and the exit code's, to say: a candidate may win on average and still miss the bar on an example.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as xml

from ..records import Policy
from ..store.files import write_atomic
from . import numbers as show
from .text import cut, one_line
from .wording import incumbent, ranking, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ..records import ArmReport, Decision, Report, RuleResult

INVALID = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no place for (section 2.2), lone surrogates among them."""


def junit_report(report: Report, decision: Decision) -> str:
    """The whole document."""
    root = xml.Element("testsuites", name=_clean(f"baft {report.role} {report.benchmark}"))
    _rules(root, report, decision)
    arm = report.arm(decision.candidate or "") or next(iter(ranking(report)), None)
    bar = (decision.policy or Policy()).threshold
    if arm is not None:
        _examples(root, report, arm, report.arm(incumbent(report, decision)), bar)
    xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(root, "unicode") + "\n"


def write_junit(path: Path, report: Report, decision: Decision) -> Path:
    """Write the document.

    Raises:
        DataError: it cannot be written.
    """
    write_atomic(path, junit_report(report, decision))
    return path


def _rules(root: xml.Element, report: Report, decision: Decision) -> None:
    suite = _suite(root, "decision", report, len(decision.rules))
    said = verdict(report, decision)
    for rule in decision.rules:
        case = _case(suite, f"{report.role}.rules", rule.name)
        if not rule.passed:
            _problem(case, "failure", rule.why, [_rule_text(rule)])
    _count(suite)
    _text(suite, f"{said.headline}. {said.reason} {said.strength}")


def _rule_text(rule: RuleResult) -> str:
    return f"observed {show.exact(rule.observed)}, required: {rule.required}"


def _examples(
    root: xml.Element, report: Report, arm: ArmReport, against: ArmReport | None, bar: float
) -> None:
    ids = [*arm.scores, *(id_ for id_ in arm.failed if id_ not in arm.scores)]
    suite = _suite(root, f"examples of {arm.name}", report, len(ids))
    for id_ in ids:
        case = _case(suite, f"{report.role}.{arm.name}", id_)
        score = arm.scores.get(id_)
        other = against.scores.get(id_) if against is not None and against is not arm else None
        compared = (
            [f"{against.name} scores {show.score(other)}"] if against and other is not None else []
        )
        if score is None:
            _problem(case, "error", arm.failed.get(id_, "no score"), compared)
        elif score < bar:
            message = f"{show.score(score)} is below {show.exact(bar)}"
            _problem(case, "failure", message, compared)
    _count(suite)


def _suite(root: xml.Element, name: str, report: Report, tests: int) -> xml.Element:
    return xml.SubElement(
        root, "testsuite", name=_clean(name), timestamp=_clean(report.date), tests=str(tests)
    )


def _count(suite: xml.Element) -> None:
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", str(len(suite.findall("testcase/error"))))


def _case(suite: xml.Element, group: str, name: str) -> xml.Element:
    return xml.SubElement(suite, "testcase", classname=_clean(group), name=_clean(name))


def _problem(case: xml.Element, kind: str, message: str, lines: Iterable[str]) -> None:
    found = xml.SubElement(case, kind, message=_clean(message))
    found.text = _clean("; ".join([message, *lines]))


def _text(suite: xml.Element, text: str) -> None:
    xml.SubElement(suite, "system-out").text = _clean(text)


def _clean(text: str) -> str:
    """One line that XML can hold; the rest of a very long one is left out."""
    return INVALID.sub("", cut(one_line(text), 4_000)[0])
