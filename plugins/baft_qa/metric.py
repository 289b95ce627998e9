"""``qa_coverage`` version 1: score-identical to the pipeline's own heuristic for test cases.

Upstream: krukmat/agnostic-ai-pipeline, ``dspy_baseline/config/metrics.py``, rewritten from its
description. Four things that a Markdown text may contain::

    numbering  0.25  a word-boundary number, a dot and whitespace
    happy      0.30  the words "happy path" or "positive scenario" in any case
    unhappy    0.30  the words "unhappy path", "negative scenario" or "error handling"
    expected   0.15  "expected", "assert" or "resultado" anywhere

It does not look at the story: one text with these words reaches the maximum for all of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from baft import DataError, Score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from baft import Example, Prediction

_NUMBERING = re.compile(r"\b\d+\.\s")
_HAPPY = re.compile(r"\b(?:happy path|positive scenario)\b")
_UNHAPPY = re.compile(r"\b(?:unhappy path|negative scenario|error handling)\b")
_EXPECTED = ("expected", "assert", "resultado")


class CoverageMetric:
    """The share of four things that test cases should contain."""

    name = "qa_coverage"
    version = 1
    higher_is_better = True
    attainable_max = 1.0
    floor = 0.0
    ceilings: Mapping[str, float] = {"without an unhappy path": 0.7}
    components: Mapping[str, float] = {
        "numbering": 0.25,
        "happy": 0.3,
        "unhappy": 0.3,
        "expected": 0.15,
    }

    def score(self, example: Example, prediction: Prediction) -> Score:
        r"""Score the text; an absent or empty one gets nothing.

        >>> from baft import Example, Prediction
        >>> example = Example(id="1", inputs={"story_title": "Log in"})
        >>> text = "## Happy Path\n1. Log in. Expected: welcome"
        >>> read = Prediction(fields={"test_cases_md": text}, validity="as_is")
        >>> round(CoverageMetric().score(example, read).value, 2)
        0.7

        Raises:
            DataError: the test cases are no text, where the pipeline's function fails as well.
        """
        text = prediction.fields.get("test_cases_md") or ""
        if not isinstance(text, str):
            raise DataError(
                f"test_cases_md is a {type(text).__name__}, not text.", "Give Markdown as text."
            )
        lower = text.lower()
        found = {
            "numbering": bool(_NUMBERING.search(text)),
            "happy": bool(_HAPPY.search(lower)),
            "unhappy": bool(_UNHAPPY.search(lower)),
            "expected": any(word in lower for word in _EXPECTED),
        }
        points = {name: most if found[name] else 0.0 for name, most in self.components.items()}
        total = 0.0
        for part in points.values():  # in the pipeline's order, so that every bit is the same
            total += part
        return Score(value=min(total, 1.0), components=points)
