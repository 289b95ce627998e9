"""``ba_requirements`` version 1: score-identical to the pipeline's own BA metric.

Upstream: krukmat/agnostic-ai-pipeline, ``dspy_baseline/metrics/ba_metrics.py``, commit 747401e,
rewritten from its description. Seven nominal points, of which the parts can give 6.5::

    completeness   1    share of the five fields that are present, that is, truthy
    title          0.5  10 to 100 characters once stripped
    description    0.5  at least 100 characters once stripped
    LIST_yaml      0.5  it is a list, or text that YAML-parses to a list as it stands
    LIST_count     0.5  at least 2 entries of any kind
    LIST_ids       0.5  at least 2 entries with id, description and priority and a numbered id

Only the prediction is scored, neither the reference nor what the words mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from baft import DataError, Score
from baft.parsing import safe_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from baft import Example, Prediction

NOMINAL_POINTS = 7.0
PREFIXES = {
    "functional_requirements": "FR",
    "non_functional_requirements": "NFR",
    "constraints": "C",
}
"""Letters that an id begins with, by list."""
FIELDS = ("title", "description", *PREFIXES)
ITEM = ("id", "description", "priority")
"""Keys of one entry of a list, in the order in which they are written."""


class RequirementsMetric:
    """The points of a requirements document, over 7."""

    name = "ba_requirements"
    version = 1
    higher_is_better = True
    components: Mapping[str, float] = {
        "completeness": 1.0,
        "title": 0.5,
        "description": 0.5,
        **{f"{name}_{part}": 0.5 for name in PREFIXES for part in ("yaml", "count", "ids")},
    }
    attainable_max: float = sum(components.values()) / NOMINAL_POINTS

    def score(self, example: Example, prediction: Prediction) -> Score:
        """Score the prediction; a field that is absent counts like an empty one.

        >>> from baft import Example, Prediction
        >>> example = Example(id="1", inputs={"concept": "A bakery shop"})
        >>> empty = Prediction(fields={"constraints": "[]"}, validity="as_is")
        >>> RequirementsMetric().score(example, empty).value == (1 / 5 + 0.5) / 7
        True

        Raises:
            DataError: loading a list fails in a way that the pipeline's function does not survive
                either (``!!bool High`` is a KeyError there), or passes a limit of ``safe_yaml``,
                where a score would be a guess.
        """
        points = _points(prediction.fields)
        total = 0.0
        for part in points.values():  # in the pipeline's order, so that every bit is the same
            total += part
        return Score(value=min(total / NOMINAL_POINTS, 1.0), components=points)


def _points(fields: Mapping[str, Any]) -> dict[str, float]:
    present = sum(1 for name in FIELDS if fields.get(name))
    points = {
        "completeness": present / len(FIELDS),
        "title": 0.5 if 10 <= _length(fields.get("title")) <= 100 else 0.0,
        "description": 0.5 if _length(fields.get("description")) >= 100 else 0.0,
    }
    for name, prefix in PREFIXES.items():
        entries = _entries(name, fields.get(name))
        valid = sum(1 for entry in entries or () if _is_valid(entry, prefix))
        points[f"{name}_yaml"] = 0.5 if entries is not None else 0.0
        points[f"{name}_count"] = 0.5 if entries is not None and len(entries) >= 2 else 0.0
        points[f"{name}_ids"] = 0.5 if valid >= 2 else 0.0
    return points


def _length(value: Any) -> int:
    """Characters of the stripped text; values of other types are put in words first."""
    return len(str(value).strip()) if value else 0


def _entries(name: str, value: Any) -> list[Any] | None:
    """The list that a present value is or parses to, else None."""
    if value and isinstance(value, str):
        try:
            value = safe_yaml.load(value)
        except safe_yaml.REFUSED:
            return None
        except safe_yaml.CRASHED as error:
            raise DataError(
                f"{name} cannot be scored: {safe_yaml.reason(error)}.",
                "The pipeline's own function gives no score here either, or only at any cost.",
            ) from error
        return value if isinstance(value, list) else None
    return value if value and isinstance(value, list) else None


def _is_valid(entry: Any, prefix: str) -> bool:
    """Does the entry hold the three keys, its id being the prefix and then digits alone?"""
    if not (isinstance(entry, dict) and "id" in entry):
        return False
    if not ("description" in entry and "priority" in entry):
        return False
    number = str(entry["id"])
    return number.startswith(prefix) and number[len(prefix) :].isdigit()
