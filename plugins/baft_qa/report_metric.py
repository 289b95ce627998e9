"""``qa_report`` version 0, experimental: does the report say what is really wrong with the code?

The four parts and their points of 100 are those of the pipeline's plan
(krukmat/agnostic-ai-pipeline, ``docs/fase9_multi_role_dspy_plan.md`` 9.3.2); the plan names no
formula, so those here are ours and may change. The known defects are those of the example's own
report::

    defects          30  F1 of the reported locations against the known ones
    summary          25  share of total, passed and failed that equal those of the tests' run
    recommendations  25  15: share of the known defects whose report is taken up by an action;
                         10: share of the recommendations that say an action in 20 characters
    completeness     20  share of what a report must hold: a summary of three numbers, a list of
                         defects, at least one recommendation, and for each defect an id, a
                         location, a severity and a description of 20 characters

A location counts as found by its function: file and line may differ. Words are not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from baft import DataError, Score

if TYPE_CHECKING:
    from baft import Example, Prediction

NUMBERS = ("total", "passed", "failed")
SEVERITIES = ("critical", "high", "medium", "low")
SPECIFIC = 20
"""Least characters of a description or an action."""


class ReportMetric:
    """The points of a quality report, over 100."""

    name = "qa_report"
    version = 0
    higher_is_better = True
    attainable_max = 1.0
    floor = 0.0
    ceilings: Mapping[str, float] = {"where no known defect is found": 0.55}
    components: Mapping[str, float] = {
        "defects": 30.0,
        "summary": 25.0,
        "recommendations": 25.0,
        "completeness": 20.0,
    }

    def score(self, example: Example, prediction: Prediction) -> Score:
        """Score the report against the known defects and the run of the tests.

        Raises:
            DataError: the example has no report of its own, so that nothing is known.
        """
        if example.reference is None:
            raise DataError(
                f"Example {example.id} has no report that says what is wrong with its code.",
                "Score on a dataset whose rows have one.",
            )
        fields, known = prediction.fields, example.reference
        if not fields:
            return Score(value=0.0, components=dict.fromkeys(self.components, 0.0))
        shares = {
            "defects": _detection(fields, known),
            "summary": _summary(fields.get("test_summary"), known["test_summary"]),
            "recommendations": _recommendations(fields, known),
            "completeness": _completeness(fields),
        }
        points = {name: most * shares[name] for name, most in self.components.items()}
        return Score(value=sum(points.values()) / 100, components=points)


def _detection(fields: Mapping[str, Any], known: Mapping[str, Any]) -> float:
    """F1 of the defects by location; where none is known, only none is right."""
    if not isinstance(fields.get("defects"), list):
        return 0.0
    reported = Counter(_function(defect) for defect in fields["defects"])
    wanted = Counter(_function(defect) for defect in known["defects"])
    if not wanted:
        return 0.0 if reported else 1.0
    return 2 * (wanted & reported).total() / (wanted.total() + reported.total())


def _function(defect: Any) -> str:
    """The function that a defect's location names.

    >>> _function({"location": "app/cart.py:total()"}), _function({"location": "cart.py:12:total"})
    ('total', 'total')
    """
    location = defect.get("location") if isinstance(defect, Mapping) else None
    if not isinstance(location, str):
        return ""
    parts = [part.strip().removesuffix("()") for part in location.replace("::", ":").split(":")]
    names = [part for part in parts if part and not part.isdigit()]
    return names[-1].rpartition(".")[2].lower() if names else ""


def _summary(given: Any, known: Mapping[str, Any]) -> float:
    if not isinstance(given, Mapping):
        return 0.0
    right = [n for n in NUMBERS if _is_number(given.get(n)) and given[n] == known.get(n)]
    return len(right) / len(NUMBERS)


def _recommendations(fields: Mapping[str, Any], known: Mapping[str, Any]) -> float:
    """15 of 25 for what is done about the known defects, 10 of 25 for saying it."""
    items = _mappings(fields.get("recommendations"))
    specific = [item for item in items if _says(item.get("action"))]
    functions = {
        str(defect["id"]): _function(defect)
        for defect in _mappings(fields.get("defects"))
        if defect.get("id") is not None
    }
    taken_up = {functions.get(str(item.get("defect"))) for item in specific}
    wanted = {_function(defect) for defect in known["defects"]}
    about = len(wanted & taken_up) / len(wanted) if wanted else float(bool(specific))
    given = fields.get("recommendations")
    said = len(specific) / len(given) if isinstance(given, list) and given else 0.0
    return (15 * about + 10 * said) / 25


def _completeness(fields: Mapping[str, Any]) -> float:
    summary, defects = fields.get("test_summary"), fields.get("defects")
    checks = [
        isinstance(summary, Mapping) and all(_is_number(summary.get(n)) for n in NUMBERS),
        isinstance(defects, list),
        bool(_mappings(fields.get("recommendations"))),
    ]
    for defect in defects if isinstance(defects, list) else ():
        held = defect if isinstance(defect, Mapping) else {}
        checks += [
            bool(str(held.get("id") or "").strip()),
            bool(_function(held)),
            str(held.get("severity")).strip().lower() in SEVERITIES,
            _says(held.get("description")),
        ]
    return sum(checks) / len(checks)


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def _says(value: Any) -> bool:
    return isinstance(value, str) and len(value.strip()) >= SPECIFIC


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
