"""``developer_code`` version 0, experimental: do the files hold together, and fit the story?

The four parts are those of the pipeline's plan (krukmat/agnostic-ai-pipeline,
``docs/fase9_multi_role_dspy_plan.md`` 9.2.2), 25 points each of 100; the plan names no formula, so
those here are ours and may change. Only Python is looked at::

    syntax_compile      15  share of the Python files that compile
    syntax_imports      10  share of the imported modules that are standard, pytest or in the answer
    tests_collected     10  share of the tests that pytest collects
    tests_per_function  10  collected tests for each public function, at most one
    tests_assert         5  share of the collected tests that assert anything
    story_criteria      15  share of the acceptance criteria whose words are identifiers
    story_names         10  share of the names defined in the code that the story uses
    quality_lint        15  less for each finding of ruff; nothing at one in ten lines
    quality_docstrings   5  share of the public functions and classes with a docstring
    quality_unique       5  share of the functions that are no copies of one another

Tests are collected, not run: coverage and whether they pass are not seen. Words are compared by
their first five letters, so a Spanish story with English identifiers loses points.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from baft import Score
from baft.parsing.pieces import load_yaml

from .files import read_entries
from .tools import check_tools, examine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from baft import Example, Prediction

    from .tools import Findings

COVERED = 0.3
"""Least share of a criterion's words, as in the product owner's metric."""
STEM = 5
"""Letters by which words are compared: booking, booked and book are one."""
_STOP = frozenset(
    """able also and any are because been but can cannot could does each for from given has have her
    his into its may must not one only should shown such than that the their them then there they
    this user users want was were what when where which while will with without would you your
    como con cuando del desde esta este los las para pero por porque que sea sin sobre una uno
    """.split()
)
_WORD = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class DeveloperCodeMetric:
    """The points of an answer's files, over 100."""

    name = "developer_code"
    version = 0
    higher_is_better = True
    attainable_max = 1.0
    floor = 0.0
    ceilings: Mapping[str, float] = {"without tests": 0.75, "without docstrings": 0.95}
    components: Mapping[str, float] = {
        "syntax_compile": 15.0,
        "syntax_imports": 10.0,
        "tests_collected": 10.0,
        "tests_per_function": 10.0,
        "tests_assert": 5.0,
        "story_criteria": 15.0,
        "story_names": 10.0,
        "quality_lint": 15.0,
        "quality_docstrings": 5.0,
        "quality_unique": 5.0,
    }

    def __init__(self) -> None:
        check_tools()
        self._examine = lru_cache(maxsize=512)(lambda files: examine(dict(files)))

    def score(self, example: Example, prediction: Prediction) -> Score:
        """Score the files; what has no safe name counts as a Python file that does not compile.

        Raises:
            SandboxError: generated code cannot be confined any more.
        """
        files, refused = read_entries(prediction.fields.get("code_files"))
        findings = self._examine(tuple(files.items()))
        shares = _shares(files, refused, findings, example.inputs)
        points = {name: most * shares.get(name, 0.0) for name, most in self.components.items()}
        return Score(value=sum(points.values()) / 100, components=points)


def _shares(
    files: Mapping[str, str], refused: int, findings: Findings, inputs: Mapping[str, Any]
) -> dict[str, float]:
    """Share of the points by component; those that nothing can be said of are left out."""
    facts = findings.facts
    if not facts:
        return {}
    code = [fact for name, fact in facts.items() if not _is_test(name)]
    python = sum(name.endswith(".py") for name in files) + refused
    own = {part.removesuffix(".py") for name in files for part in name.split("/")}
    known = own | sys.stdlib_module_names | {"pytest"}
    imports = _all(facts.values(), "imports")
    tests = {(name, test): ok for name, fact in facts.items() for test, ok in fact["tests"].items()}
    found = findings.collected
    functions = sum(len(fact["functions"]) for fact in code)
    public, documented = _all(code, "public"), _all(code, "documented")
    bodies = [body for fact in facts.values() for body in fact["bodies"]]
    lines = sum(_lines(text) for name, text in files.items() if name.endswith(".py"))
    return {
        "syntax_compile": len(facts) / python,
        "syntax_imports": _share(len(imports & known), len(imports), 1.0),
        "tests_collected": _share(len(found), len(tests)),
        "tests_per_function": min(1.0, _share(len(found), functions)),
        "tests_assert": _share(sum(tests[test] for test in found), len(found)),
        "quality_lint": max(0.0, 1 - findings.lint / max(lines / 10, 1)),
        "quality_docstrings": _share(len(documented), len(public)),
        "quality_unique": _share(len(set(bodies)), len(bodies), 1.0 if public else 0.0),
        **_alignment(str(inputs.get("story") or ""), code),
    }


def _alignment(story: str, code: list[Mapping[str, Any]]) -> dict[str, float]:
    """How far the identifiers of the code speak the words of the story."""
    criteria, told = _story(story)
    used = _stems(_all(code, "names"))
    wanted = [stems for criterion in criteria if (stems := _stems([criterion]))]
    covered = sum(len(stems & used) / len(stems) >= COVERED for stems in wanted)
    defined = [stems for name in _all(code, "public") if (stems := _stems([name]))]
    fitting = sum(bool(stems & _stems([told, *criteria])) for stems in defined)
    return {
        "story_criteria": _share(covered, len(wanted)),
        "story_names": _share(fitting, len(defined)),
    }


def _story(text: str) -> tuple[list[str], str]:
    """Acceptance criteria, and all else that a story says; lines of text where it is no YAML."""
    data = load_yaml(text)
    if not isinstance(data, dict):
        return [line for line in text.splitlines() if line.strip()], text
    criteria = data.get("acceptance_criteria") or data.get("acceptance") or []
    if isinstance(criteria, str):
        criteria = criteria.splitlines()
    told = " ".join(str(data.get(key) or "") for key in ("title", "description"))
    return [str(one) for one in criteria if str(one).strip()], told


def _stems(texts: Iterable[str]) -> set[str]:
    """The words that matter, cut to their stems.

    >>> sorted(_stems(["totalPrice of the booked_rooms"]))
    ['booke', 'price', 'rooms', 'total']
    """
    words = (w.lower() for text in texts for w in _WORD.findall(_CAMEL.sub(" ", text)))
    return {word[:STEM] for word in words if len(word) > 2 and word not in _STOP}


def _all(facts: Iterable[Mapping[str, Any]], key: str) -> set[str]:
    return {value for fact in facts for value in fact[key]}


def _is_test(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last.startswith("test_") or last.endswith("_test.py") or last == "conftest.py"


def _lines(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())


def _share(part: float, whole: float, of_nothing: float = 0.0) -> float:
    return part / whole if whole else of_nothing
