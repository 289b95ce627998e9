"""The architect's four metrics: every edge of the pipeline's own, by hand-computed points."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from baft import DataError, Example, Prediction
from baft_architect.metric import METRICS
from pipeline_rows import ARCHITECTURE, EPICS, STORIES

EXAMPLE = Example(id="1", inputs={"concept": "x"})
GOOD: dict[str, str] = {
    "stories_yaml": STORIES,
    "epics_yaml": EPICS,
    "architecture_yaml": ARCHITECTURE,
}
TWO: list[dict[str, Any]] = yaml.safe_load(STORIES)
EPIC: dict[str, Any] = yaml.safe_load(EPICS)[0]


def score(metric: str, fields: dict[str, Any]) -> dict[str, float]:
    """The points by part, and under ``total`` the score."""
    texts = {
        name: value if isinstance(value, str) else yaml.safe_dump(value, allow_unicode=True)
        for name, value in fields.items()
    }
    got = METRICS[metric].score(EXAMPLE, Prediction(fields=texts, validity="as_is"))
    return {**got.components, "total": got.value}


def part(version: int, name: str, **fields: Any) -> float:
    return score(f"architect_v{version}", {**GOOD, **fields})[name]


def stories(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    """The two good stories with these changes; a value of ``...`` takes a key away."""
    both = copy.deepcopy(TWO)
    for story, change in zip(both, changes, strict=False):
        story |= change
    return [{k: v for k, v in story.items() if v is not ...} for story in both]


@pytest.mark.parametrize("metric", METRICS)
def test_a_good_plan_earns_every_point(metric: str) -> None:
    assert score(metric, GOOD)["total"] == METRICS[metric].attainable_max == 1.0


@pytest.mark.parametrize(
    ("metric", "floor", "alone"),
    [
        ("architect_v1", 0.1, 0.3),
        ("architect_v2", 0.1, 0.3),
        ("stories_epics", 0.125, 0.125),
        ("architecture_only", 0.0, 1.0),
    ],
)
def test_floor_and_ceilings(metric: str, floor: float, alone: float) -> None:
    assert score(metric, {})["total"] == METRICS[metric].floor == floor
    got = score(metric, {"architecture_yaml": ARCHITECTURE})["total"]
    assert got == pytest.approx(alone)
    assert list(METRICS[metric].ceilings.values()) == ([got] if alone == 0.3 else [])


@pytest.mark.parametrize(
    "text",
    [
        f"```yaml\n{STORIES}```",
        f"```YML\n{STORIES}\n```",
        f"]\n \n{STORIES}",
        yaml.safe_dump({"stories": TWO}),
    ],
)
def test_what_is_cleaned_and_unwrapped(text: str) -> None:
    assert part(1, "total", stories_yaml=text) == 1.0


def test_epics_are_not_unwrapped_and_a_text_that_does_not_parse_holds_nothing() -> None:
    assert part(1, "epics_structure", epics_yaml={"epics": [EPIC]}) == 0
    assert part(2, "total", stories_yaml="- a: b: c") == pytest.approx(0.3)
    assert part(1, "architecture", architecture_yaml=[ARCHITECTURE]) == 0


@pytest.mark.parametrize(
    ("changes", "first", "second"),
    [
        # (v1 completeness, v2 completeness) of 25; v1 takes the mean of three numbers
        (({"status": ...},), (15 / 16 + 2) / 3 * 25, 25),
        (({"title": " "},), (15 / 16 + 2) / 3 * 25, 13 / 14 * 15 + 10),
        (({"title": 7},), (15 / 16 + 2) / 3 * 25, 13 / 14 * 15 + 10),
        (({"acceptance": []},), (15 / 16 + 2) / 3 * 25, 13 / 14 * 15 + 10),
        (({"id": "S01"},), 25, 15 + 2.5 + 5),
        (({"id": "S2"}, {"id": "S1"}), 25, 15 + 0 + 5),
        (({"id": "S2"},), 50 / 3, 15 + 0.5 * 0.7 * 5 + 5),
        (({"id": "S3"},), 50 / 3, 15 + 2.5 + 5),
        (({"id": "X1"},), 50 / 3, 15 + 2.5 + 5),
        (({"id": ...},), (15 / 16 + 1) / 3 * 25, 13 / 14 * 15 + 0.5 * 0.7 * 5 + 5),
        (({"epic": "E9"},), 50 / 3, 15 + 5 + 2.5),
        (({"epic": ...},), (15 / 16 + 2) / 3 * 25, 13 / 14 * 15 + 10),
        (({"epic": None},), (15 / 16 + 2) / 3 * 25, 13 / 14 * 15 + 5 + 2.5),  # the text None
        (({"epic": " E1 "},), 50 / 3, 25),
        (({"epic": ...}, {"epic": ...}), (14 / 16 + 2) / 3 * 25, 12 / 14 * 15 + 10),
    ],
)
def test_completeness(changes: Any, first: float, second: float) -> None:
    given = stories(*changes)
    assert part(1, "stories_completeness", stories_yaml=given) == pytest.approx(first)
    assert part(2, "stories_completeness", stories_yaml=given) == pytest.approx(second)


def test_without_known_epics_v1_loses_their_third() -> None:
    assert part(1, "stories_completeness", epics_yaml="") == pytest.approx(50 / 3)


@pytest.mark.parametrize(
    ("change", "first", "second"),
    [
        ({"acceptance": ["a"]}, 1, 1 / 3),
        ({"acceptance": ["a", "b"]}, 1, 2 / 3),
        ({"acceptance": "a"}, 0, 0),
        ({"title": "t" * 101}, 0, 0),
        ({"title": "t" * 100 + " "}, 1, 1),
        ({"description": "d" * 19}, 0, 0),
        ({"priority": " P3 "}, 1, 1),
        ({"priority": "p1"}, 0, 1),
        ({"priority": "High"}, 0, 1),
        ({"priority": "P4"}, 0, 0),
        ({"estimate": " xl "}, 1, 1),
        ({"estimate": 3}, 0, 0),
    ],
)
def test_quality_of_one_check(change: Any, first: float, second: float) -> None:
    given = stories(change)
    assert part(1, "stories_quality", stories_yaml=given) == pytest.approx((9 + first) / 10 * 25)
    assert part(2, "stories_quality", stories_yaml=given) == pytest.approx((9 + second) / 10 * 25)


@pytest.mark.parametrize(
    ("change", "first", "second"),
    [
        ({"name": ""}, 3 / 4, 1),
        ({"id": 1}, 2 / 4, 1),  # no text; and the stories name E1
        ({"stories": []}, 2 / 4, 1 / 3),
        ({"stories": "S1"}, 2 / 4, 1 / 3),
        ({"stories": ["S1", "S9"]}, 3 / 4, (1 + 1 + 0.5) / 3),
        ({"stories": [" S1", "S2"]}, 3 / 4, 1),
        ({"id": "E2"}, 3 / 4, 1),  # orphans matter to v1 alone
        ({"id": "  "}, 2 / 4, 2 / 3),
    ],
)
def test_epics(change: Any, first: float, second: float) -> None:
    given = [{**EPIC, **change}]
    assert part(1, "epics_structure", epics_yaml=given) == pytest.approx(first * 20)
    assert part(2, "epics_structure", epics_yaml=given) == pytest.approx(second * 20)


@pytest.mark.parametrize(
    ("plan", "points"),
    [
        ({}, 0),
        ({"backend": {}}, 5),
        ({"backend": {"framework": "Django"}}, 10),
        ({"backend": {"framework": " "}, "frontend": "htmx"}, 5),
        ({"backend": {"framework": 3}, "frontend": {"framework": "htmx"}}, 15),
    ],
)
def test_architecture(plan: Any, points: float) -> None:
    assert part(1, "architecture", architecture_yaml=plan) == points
    assert part(2, "architecture", architecture_yaml=plan) == points
    assert score("architecture_only", {"architecture_yaml": plan})["total"] == points / 20


@pytest.mark.parametrize(
    ("first_story", "second_story", "first", "second"),
    [
        (None, None, 10, 10),
        ("", "S1, ", 10, 10),
        ([None, ""], [" S1 "], 10, 10),
        ("S2", "S1", 0, 5),  # a cycle
        ("S1", None, 0, 0),  # itself: 0 of 1
        ("S2, S9", None, 0, 2.5),  # 1 of 2, halved
        ("S2, S9", "S1", 0, 2.5),  # it stops before the cycle closes
        ("S2", "S1, S9", 0, 5 / 3),  # 2 of 3, halved twice
        (7, "S1", 0, 5),  # a wrong type before any reference
        ({"S2": 1}, None, 0, 5),
    ],
)
def test_dependencies(first_story: Any, second_story: Any, first: float, second: float) -> None:
    given = stories({"depends_on": first_story}, {"depends_on": second_story})
    assert part(1, "dependencies", stories_yaml=given) == first
    assert part(2, "dependencies", stories_yaml=given) == pytest.approx(second)


def test_a_story_without_an_id_may_depend_on_anything() -> None:
    given = stories({"id": ...}, {"depends_on": []})
    given[0]["depends_on"] = ["S9"]
    assert part(1, "dependencies", stories_yaml=given) == 10


def test_a_long_chain_is_no_cycle() -> None:
    chain = [{"id": f"S{i}", "depends_on": f"S{i + 1}"} for i in range(1, 3000)]
    chain.append({"id": "S3000"})
    assert part(1, "dependencies", stories_yaml=chain) == 10
    chain[-1]["depends_on"] = "S1"
    assert part(1, "dependencies", stories_yaml=chain) == 0


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"stories_yaml": ["x"]}, "item 1 of stories_yaml is text"),
        ({"epics_yaml": [EPIC, None]}, "item 2 of epics_yaml is null"),
        ({"architecture_yaml": "a: 2024-13-45"}, "month must be in 1..12"),
    ],
)
def test_where_the_pipeline_raises_there_is_no_score(fields: Any, why: str) -> None:
    with pytest.raises(DataError, match=why):
        score("architect_v2", {**GOOD, **fields})


def test_a_stage_looks_at_its_own_documents_only() -> None:
    assert score("architecture_only", {**GOOD, "stories_yaml": ["x"]})["total"] == 1
    assert score("stories_epics", {**GOOD, "architecture_yaml": "a: 2024-13-45"})["total"] == 1


VALUES = st.sampled_from(
    [None, "", "S1", "S2", "E1", "P1", "XS", "d" * 30, ["S1"], ["a"] * 3, 7, []]
)
STORY = st.dictionaries(st.sampled_from(sorted(TWO[0])), VALUES)
EPIC_OF = st.dictionaries(st.sampled_from(sorted(EPIC)), VALUES)


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=40, deadline=None)
@given(st.lists(STORY, max_size=4), st.lists(EPIC_OF, max_size=3))
def test_a_score_is_the_sum_of_its_parts(metric: str, told: Any, epics: Any) -> None:
    got = score(metric, {**GOOD, "stories_yaml": told, "epics_yaml": epics})
    total, most = got.pop("total"), METRICS[metric].components
    assert total == pytest.approx(sum(got.values()) / sum(most.values()))
    assert all(0 <= points <= most[name] for name, points in got.items())
    assert list(got) == list(most)
