"""The coverage heuristic: hand-worked cases from its description, and properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baft import DataError, Example, Generation, Prediction
from baft_qa.metric import CoverageMetric
from baft_qa.role import TestCaseWriter

METRIC = CoverageMetric()
ROLE = TestCaseWriter()
EXAMPLE = Example(id="1", inputs={"story_title": "Log in"})
FULL = "## Happy Path\n1. Log in\n   Expected: welcome\n## Unhappy Path\n2. Wrong password"


def points(text):
    fields = {} if text is None else {"test_cases_md": text}
    return METRIC.score(EXAMPLE, Prediction(fields=fields, validity="as_is")).value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (None, 0.0),
        ("", 0.0),
        ("   ", 0.0),
        ("prose", 0.0),
        ("1. ", 0.25),
        ("1.", 0.0),  # whitespace must follow
        ("1.\n", 0.25),
        ("v1. x", 0.0),  # no word boundary before the number
        ("version 12. x", 0.25),
        ("1) x", 0.0),
        ("١. x", 0.25),  # any Unicode digit
        ("HAPPY PATH", 0.3),
        ("unhappy path", 0.3),  # unhappy alone: no boundary before happy
        ("happy paths", 0.0),
        ("happy  path", 0.0),
        ("happy-path", 0.0),
        ("Positive Scenario", 0.3),
        ("happy path and positive scenario", 0.3),
        ("negative scenario", 0.3),
        ("Error Handling", 0.3),
        ("error-handling", 0.0),
        ("unexpected", 0.15),  # anywhere, inside words too
        ("assertion", 0.15),
        ("El RESULTADO", 0.15),
        ("happy path, unhappy path", 0.6),
        ("1. happy path", 0.55),
        ("1. happy path, unhappy path", 0.25 + 0.3 + 0.3),
        (FULL, 1.0),
    ],
)
def test_points_are_those_of_the_description(text, value):
    assert points(text) == value


@given(st.text(alphabet="12. happyunexctrosi\n", max_size=60))
def test_the_score_is_the_sum_of_its_parts_in_order(text):
    score = METRIC.score(EXAMPLE, Prediction(fields={"test_cases_md": text}, validity="as_is"))
    assert score.value == min(sum(score.components.values()), 1.0)
    assert points(f"{text}\n{FULL}") == 1.0


def test_what_is_no_text_has_no_score():
    with pytest.raises(DataError, match="a list, not text"):
        points(["1. happy path"])


@pytest.mark.parametrize(
    ("text", "validity", "lenient"),
    [
        (FULL, "as_is", FULL),
        (f"\n{FULL}\n", "as_is", FULL),
        (f"```markdown\n{FULL}\n```", "extracted", FULL),
        (f"Sure!\n```markdown TEST_CASES\n{FULL}\n```\nDone.", "extracted", FULL),
        (f"```\n{FULL}\n```", "extracted", FULL),
        (f"<think>1. expected</think>\n{FULL}", "extracted", FULL),
        (f"{FULL}\n```python\nx = 1\n```", "as_is", f"{FULL}\n```python\nx = 1\n```"),
        (f"[[ ## test_cases_md ## ]]\n{FULL}\n\n[[ ## completed ## ]]", "as_is", FULL),
        (" \n", "none", None),
    ],
)
def test_a_fence_around_all_of_it_is_taken_away(text, validity, lenient):
    found = ROLE.parse(Generation(example_id="1", text=text), "lenient")
    assert (found.validity, found.fields.get("test_cases_md")) == (validity, lenient)
    if validity == "as_is":
        assert ROLE.parse(Generation(example_id="1", text=text), "strict") == found


STORY = {"story_title": "Log in", "story_description": "As a user …", "acceptance_criteria": "x"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"story_title": None}, "story_title is missing"),
        ({"story_description": " "}, "story_description is empty"),
        ({"acceptance_criteria": None}, "acceptance_criteria are missing"),
        ({"acceptance_criteria": []}, "acceptance_criteria are empty"),
        ({"acceptance_criteria": [1]}, "not text or a list of texts"),
        ({"test_cases_md": 3}, "test_cases_md is a int, not text"),
    ],
)
def test_a_broken_row_says_why(change, why):
    with pytest.raises(ValueError, match=why):
        ROLE.example({**STORY, **change})


def test_the_pipelines_rows_are_read():
    row = {
        "story_id": "S-7",
        **STORY,
        "acceptance_criteria": ["one", "two"],
        "happy_path": ["step"],
        "required_mentions": ["email"],
    }
    example = ROLE.example(row)
    assert (example.id, example.inputs["acceptance_criteria"]) == ("S-7", "- one\n- two")
    assert example.reference is None
    assert set(example.tags) == {"story_id", "happy_path", "required_mentions"}
    wrapped = ROLE.example({"input": row, "output": {"test_cases_md": FULL}})
    assert (wrapped.inputs, wrapped.reference) == (example.inputs, {"test_cases_md": FULL})


def test_a_fence_around_the_test_cases_of_a_row_is_repaired():
    row = {**STORY, "output": {"test_cases_md": f"```markdown\n{FULL}\n```"}}
    assert ROLE.fix(row) == {**STORY, "output": {"test_cases_md": FULL}}
    assert ROLE.fix(STORY) == STORY


def test_the_ceiling_is_what_a_text_without_an_unhappy_path_gets_at_most():
    best = points("## Happy Path\n1. Log in. Expected: welcome")
    assert best == pytest.approx(METRIC.ceilings["without an unhappy path"])
