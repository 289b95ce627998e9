"""``product_owner`` version 1: score-identical to the pipeline's own metric.

Upstream: krukmat/agnostic-ai-pipeline, ``dspy_baseline/metrics/product_owner_metrics.py``, commit
747401e, rewritten from its description. 120 points, over 120::

    schema       30  share of 16 checks of the two documents' fields and types
    vision       30  four lists of 2 entries or more, a summary of 120 characters or more
    alignment    30  share of the requirements that the review names or paraphrases, and its lists
    specificity  30  summary, actions, gaps, conflicts and narrative of the review

The reference is not scored, and what the words mean only by the tokens that they share.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import yaml

from baft import DataError, Score
from baft.parsing import safe_yaml
from baft.parsing.rows import kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from baft import Example, Prediction

POINTS = 30.0
"""Most points of each part."""
STATUSES = ("aligned", "needs_adjustment", "misaligned")
LISTS = ("target_users", "value_proposition", "key_capabilities", "success_metrics")
"""Lists of a vision that need an entry."""
REQUIREMENTS = ("functional_requirements", "non_functional_requirements", "constraints")
STOP_WORDS = frozenset(
    "the and with para con los las una unos unas user users system systems api apis rest crud"
    "".split()
)

_OPENING = re.compile(r"^```ya?ml?\s*\n?", re.MULTILINE | re.IGNORECASE)
_CLOSING = re.compile(r"\n?```\s*$", re.MULTILINE)
_BARE = re.compile(r"^```\s*\n?", re.MULTILINE)
_TOKEN = re.compile(r"[A-Za-z0-9ÁÉÍÓÚáéíóúÑñ]+")


class ProductOwnerMetric:
    """The points of a vision and a review, over 120."""

    name = "product_owner"
    version = 1
    higher_is_better = True
    components: Mapping[str, float] = {
        "schema": POINTS,
        "vision": POINTS,
        "alignment": POINTS,
        "specificity": POINTS,
    }
    attainable_max: float = 1.0
    floor: float = POINTS / 16 / 120
    """One of the sixteen checks passes without an answer: no alignment is an empty mapping."""
    ceilings: Mapping[str, float] = {
        "with a last_updated that is not in quotes": 1 - POINTS / 16 / 120,
        "without a review that parses": (POINTS * 9 / 16 + POINTS) / 120,
    }

    def score(self, example: Example, prediction: Prediction) -> Score:
        """Score the two documents against the example's ``requirements_yaml``.

        >>> from baft import Example, Prediction
        >>> example = Example(id="1", inputs={"concept": "A bakery shop"})
        >>> nothing = Prediction(fields={}, validity="none")
        >>> ProductOwnerMetric().score(example, nothing).value
        0.015625

        Raises:
            DataError: the pipeline's function fails as well: a document is no mapping, a status or
                an alignment of another type, an impossible date; or a limit of ``safe_yaml``.
        """
        vision = _document(prediction.fields.get("product_vision"), "product_vision")
        review = _document(prediction.fields.get("product_owner_review"), "product_owner_review")
        alignment = review.get("requirements_alignment") or {}
        if not isinstance(alignment, dict):
            raise _unscorable(f"requirements_alignment is {kind(alignment)}, not a mapping")
        if isinstance(review.get("status"), (list, dict, set)):
            raise _unscorable(f"the status is {kind(review['status'])}, not text")
        points = {
            "schema": _schema(vision, review, alignment),
            "vision": _richness(vision),
            "alignment": _coverage(example.inputs.get("requirements_yaml"), review, alignment),
            "specificity": _specificity(review, alignment),
        }
        total = 0.0
        for part in points.values():  # in the pipeline's order, so that every bit is the same
            total += part
        return Score(value=max(0.0, min(total / 120.0, 1.0)), components=points)


def _schema(vision: Mapping[str, Any], review: Mapping[str, Any], alignment: Any) -> float:
    checks = [
        _length(vision.get("product_name")) >= 1,
        _length(vision.get("product_summary")) >= 40,
        *(_entries(vision.get(name)) >= 1 for name in LISTS),
        isinstance(vision.get("non_goals"), list),
        _is_date(vision.get("last_updated")),
        review.get("status") in STATUSES,
        _entries(review.get("summary")) >= 1,
        True,  # the alignment is a mapping, or there is none
        *(isinstance(alignment.get(name), list) for name in ("aligned", "gaps", "conflicts")),
        _entries(review.get("recommended_actions")) >= 1,
        _length(review.get("narrative")) >= 40,
    ]
    return POINTS * sum(checks) / len(checks)


def _richness(vision: Mapping[str, Any]) -> float:
    points = 0.0
    for name in LISTS:
        points += _step(_entries(vision.get(name)), (2, 6.0), (1, 3.0))
    points += _step(_length(vision.get("product_summary")), (120, 6.0), (60, 3.0))
    return min(points, POINTS)


def _coverage(requirements: Any, review: Mapping[str, Any], alignment: Any) -> float:
    wanted = list(_requirements(requirements))
    if not wanted:
        return 0.0
    segments = list(_segments(review, alignment))
    text = " ".join(segments).lower()
    tokens = [_tokens(segment) for segment in segments]
    covered = sum(
        1
        for name, description in wanted
        if (name and name.lower() in text) or _is_paraphrased(_tokens(description), tokens)
    )
    share = covered / len(wanted)
    if share >= 0.85:
        points = 22.0
    elif share >= 0.7:
        points = 16.0 + (share - 0.7) / 0.15 * 6.0
    elif share >= 0.5:
        points = 8.0 + (share - 0.5) / 0.2 * 8.0
    else:
        points = share * 8.0
    listed = min(max(_entries(alignment.get("aligned")), 0) / len(wanted), 1.0) * 8.0
    depth = 0.0
    for name in ("gaps", "conflicts"):
        depth += 3.0 if _entries(alignment.get(name)) >= 1 else 0.0
    return min(POINTS, points + listed + depth)


def _specificity(review: Mapping[str, Any], alignment: Any) -> float:
    points = _step(_entries(review.get("summary")), (2, 6.0), (1, 3.0))
    points += _step(_entries(review.get("recommended_actions")), (2, 12.0), (1, 6.0))
    for name in ("gaps", "conflicts"):
        points += _step(_entries(alignment.get(name)), (1, 6.0), (0, 2.0))
    points += _step(_length(review.get("narrative")), (160, 6.0), (80, 3.0))
    return min(points, POINTS)


def _requirements(text: Any) -> Iterator[tuple[str, str]]:
    """Id and description of every requirement that has one of them."""
    document = _loaded(text, "requirements_yaml")
    if not isinstance(document, dict):
        return
    for name in REQUIREMENTS:
        entries = document.get(name)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                found = str(entry.get("id", "")).strip(), str(entry.get("description", "")).strip()
                if any(found):
                    yield found


def _segments(review: Mapping[str, Any], alignment: Any) -> Iterator[str]:
    """The texts of the review in which a requirement may be met."""
    for name in ("summary", "recommended_actions"):
        value = review.get(name)
        if isinstance(value, list):
            yield from map(str, value)
        elif isinstance(value, str):
            yield value
    for name in ("aligned", "gaps", "conflicts"):
        value = alignment.get(name)
        if isinstance(value, list):
            yield from map(str, value)
    if isinstance(review.get("narrative"), str):
        yield review["narrative"]


def _is_paraphrased(wanted: frozenset[str], segments: list[frozenset[str]]) -> bool:
    """Does one segment have a token in common, and 30 % of those that are wanted?"""
    return any(
        common and common / len(wanted) >= 0.3
        for common in (len(wanted & segment) for segment in segments)
    )


def _tokens(text: str) -> frozenset[str]:
    """Lower-case words without the stop words.

    >>> sorted(_tokens("The users pay in 3 años"))
    ['3', 'años', 'in', 'pay']
    """
    return frozenset(found.lower() for found in _TOKEN.findall(text)) - STOP_WORDS


def _step(value: int, *steps: tuple[int, float]) -> float:
    """The points of the first step that the value reaches."""
    return next((points for least, points in steps if value >= least), 0.0)


def _entries(value: Any) -> int:
    """Entries of a list; -1 for what is no list."""
    return len(value) if isinstance(value, list) else -1


def _length(value: Any) -> int:
    """Characters of a stripped text; -1 for what is no text."""
    return len(value.strip()) if isinstance(value, str) else -1


def _is_date(value: Any) -> bool:
    """Is it a text in ISO format? YAML makes a date of one without quotes, which is no text."""
    if not isinstance(value, str):
        return False
    try:
        datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
    except ValueError:
        return False
    return True


def _document(text: Any, name: str) -> dict[str, Any]:
    """The mapping that a text holds; empty for nothing, and for what is no YAML."""
    document = _loaded(text, name) or {}
    if not isinstance(document, dict):
        raise _unscorable(f"{name} is {kind(document)}, not a mapping")
    return document


def _loaded(text: Any, name: str) -> Any:
    if not text or not isinstance(text, str):
        return None
    text = _BARE.sub("", _CLOSING.sub("", _OPENING.sub("", text)))
    try:
        return safe_yaml.load(text.lstrip("]").lstrip())
    except yaml.YAMLError:
        return None
    except (*safe_yaml.REFUSED, *safe_yaml.CRASHED) as error:
        raise _unscorable(f"{name}: {safe_yaml.reason(error)}") from error


def _unscorable(why: str) -> DataError:
    return DataError(
        f"The answer cannot be scored: {why}.",
        "The pipeline's own function gives no score here either, or only at any cost.",
    )
