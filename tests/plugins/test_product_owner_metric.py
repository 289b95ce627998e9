"""``product_owner``: every edge of the pipeline's own function, by hand-computed points."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from baft import DataError, Example, Prediction
from baft_product_owner.metric import ProductOwnerMetric
from pipeline_rows import REQUIREMENTS, REVIEW, VISION

METRIC = ProductOwnerMetric()
GOOD_VISION: dict[str, Any] = yaml.safe_load(VISION)
GOOD_REVIEW: dict[str, Any] = yaml.safe_load(REVIEW)


def score(vision: Any, review: Any, requirements: Any = REQUIREMENTS) -> dict[str, float]:
    """The points by part, and under ``total`` the score times 120."""
    example = Example(id="1", inputs={"concept": "x", "requirements_yaml": requirements})
    texts = {
        name: value if isinstance(value, str) else yaml.safe_dump(value, allow_unicode=True)
        for name, value in (("product_vision", vision), ("product_owner_review", review))
        if value is not None
    }
    got = METRIC.score(example, Prediction(fields=texts, validity="as_is"))
    return {**got.components, "total": got.value * 120}


def reviewed(**alignment: Any) -> dict[str, Any]:
    return {"requirements_alignment": alignment}


def wanting(n: int) -> str:
    """Requirements that share no word: Q1x, Q2x, and so on."""
    items = [{"id": f"Q{i}x", "description": f"word{i}"} for i in range(1, n + 1)]
    return yaml.safe_dump({"functional_requirements": items})


def test_good_documents_earn_every_point() -> None:
    assert score(VISION, REVIEW)["total"] == 120
    assert METRIC.attainable_max == 1.0


@pytest.mark.parametrize(
    ("vision", "review", "total"),
    [
        (None, None, 1.875),  # 1 of 16 checks
        ("a: b: c", "- [", 1.875),
        ("", "", 1.875),
        ("[]", "false", 1.875),
        (VISION.replace('"', ""), REVIEW, 118.125),  # a date that YAML takes for one
        (VISION, None, 9 / 16 * 30 + 30),
        (VISION.replace('"', ""), "a: b: c", 45.0),  # 0.375
        (f"```yaml\n{VISION}```", f"```YML\n{REVIEW}\n```  ", 120),
        (f"]\n{VISION}", f"```\n{REVIEW}```", 120),
        (f"```yaml VISION\n{VISION}```", REVIEW, 120 - 15 - 30),  # the label stays behind
    ],
)
def test_whole_documents(vision: Any, review: Any, total: float) -> None:
    assert score(vision, review)["total"] == pytest.approx(total, abs=1e-12)


def test_the_floor_and_the_ceilings_are_what_such_answers_score() -> None:
    assert score(None, None)["total"] / 120 == METRIC.floor == 0.015625
    unquoted = score(VISION.replace('"', ""), REVIEW)["total"] / 120
    assert [unquoted, score(VISION, None)["total"] / 120] == list(METRIC.ceilings.values())


@pytest.mark.parametrize(
    ("key", "value", "lost"),
    [
        ("product_name", "  ", 1),
        ("product_name", 7, 1),
        ("product_summary", "s" * 39, 1),
        ("non_goals", [], 0),
        ("non_goals", "none", 1),
        ("target_users", [], 1),
        ("target_users", "one", 1),
        ("success_metrics", [None], 0),
        ("last_updated", " 2025-03-01T10:00:00Z ", 0),
        ("last_updated", "yesterday", 1),
        ("last_updated", None, 1),
    ],
)
def test_schema_of_a_vision(key: str, value: Any, lost: int) -> None:
    assert score({**GOOD_VISION, key: value}, REVIEW)["schema"] == 30 * (16 - lost) / 16


@pytest.mark.parametrize(
    ("key", "value", "lost"),
    [
        ("status", "conflicts", 1),
        ("status", "Aligned", 1),
        ("status", "misaligned", 0),
        ("summary", [], 1),
        ("requirements_alignment", None, 3),  # taken for an empty mapping
        ("requirements_alignment", {"aligned": [], "gaps": [], "conflicts": []}, 0),
        ("requirements_alignment", {"aligned": "all"}, 3),
        ("recommended_actions", "act", 1),
        ("narrative", "n" * 39 + "  ", 1),
        ("narrative", "n" * 40, 0),
    ],
)
def test_schema_of_a_review(key: str, value: Any, lost: int) -> None:
    assert score(VISION, {**GOOD_REVIEW, key: value})["schema"] == 30 * (16 - lost) / 16


@pytest.mark.parametrize(
    ("key", "value", "points"),
    [
        ("key_capabilities", ["a"], 27),
        ("key_capabilities", [], 24),
        ("key_capabilities", {"a": 1}, 24),
        ("product_summary", "s" * 120, 30),
        ("product_summary", "s" * 119 + " ", 27),
        ("product_summary", "s" * 60, 27),
        ("product_summary", "s" * 59, 24),
    ],
)
def test_richness_of_a_vision(key: str, value: Any, points: float) -> None:
    assert score({**GOOD_VISION, key: value}, REVIEW)["vision"] == points


@pytest.mark.parametrize(
    ("covered", "of", "points"),
    [
        (0, 10, 0),
        (4, 10, 3.2),
        (5, 10, 8),
        (6, 10, 8 + 0.1 / 0.2 * 8),
        (7, 10, 16),
        (8, 10, 16 + 0.1 / 0.15 * 6),
        (17, 20, 22),
        (10, 10, 22),
    ],
)
def test_points_of_coverage(covered: int, of: int, points: float) -> None:
    named = " ".join(f"q{i}X" for i in range(1, covered + 1))
    got = score(None, {"narrative": named}, wanting(of))["alignment"]
    assert got == pytest.approx(points, abs=1e-9)


@pytest.mark.parametrize(
    ("requirement", "said", "covered"),
    [
        ({"id": "FR1", "description": ""}, ["see fr10"], True),  # a part of another id
        ({"id": "", "description": "one two three"}, ["ONE"], True),  # 1 of 3
        ({"id": "", "description": "one two three four"}, ["one"], False),  # 1 of 4
        ({"id": "", "description": "one two three four"}, ["one", "two"], False),  # in two segments
        ({"id": "", "description": "one two three four"}, ["one two"], True),
        ({"id": "", "description": "the users and the system"}, ["the users"], False),  # stop words
        ({"id": None, "description": "zzz"}, ["none of it"], True),  # a null id is the text None
        ({"id": "", "description": "años"}, ["AÑOS"], True),
        ({"id": "", "description": "crème"}, ["cr"], True),  # other letters part the words
    ],
)
def test_what_covers_a_requirement(requirement: Any, said: Any, covered: bool) -> None:
    wanted = yaml.safe_dump({"constraints": [requirement]}, allow_unicode=True)
    assert score(None, {"summary": said}, wanted)["alignment"] == (22 if covered else 0)


def test_lists_of_the_alignment_earn_points_and_thirty_is_the_most() -> None:
    wanted = wanting(4)
    assert score(None, reviewed(aligned=["a"]), wanted)["alignment"] == 2
    assert score(None, reviewed(aligned=["a"] * 9), wanted)["alignment"] == 8
    assert score(None, reviewed(gaps=["a"], conflicts=["b"]), wanted)["alignment"] == 6
    everything = reviewed(aligned=["q1x q2x q3x q4x"] * 4, gaps=["a"], conflicts=["b"])
    assert score(None, everything, wanted)["alignment"] == 30


@pytest.mark.parametrize(
    "requirements",
    ["", "a: b: c", "- a", "meta: {}", "constraints: none", "constraints: [a, {priority: High}]"],
)
def test_without_a_requirement_nothing_is_aligned(requirements: str) -> None:
    assert score(VISION, REVIEW, requirements)["alignment"] == 0


@pytest.mark.parametrize(
    ("review", "points"),
    [
        ({"summary": ["a"]}, 3),
        ({"summary": ["a", "b"]}, 6),
        ({"recommended_actions": ["a"]}, 6),
        ({"recommended_actions": ["a", "b"]}, 12),
        (reviewed(gaps=[], conflicts=[]), 4),
        (reviewed(gaps=["a"], conflicts=[]), 8),
        (reviewed(gaps="a"), 0),
        ({"narrative": "n" * 79}, 0),
        ({"narrative": "n" * 80}, 3),
        ({"narrative": "n" * 160}, 6),
    ],
)
def test_specificity(review: Any, points: float) -> None:
    assert score(None, review)["specificity"] == points


@pytest.mark.parametrize(
    ("vision", "review", "why"),
    [
        ("- a", REVIEW, "product_vision is a list"),
        ("I cannot", REVIEW, "product_vision is text"),
        (VISION, "3", "product_owner_review is a int"),
        (VISION, {**GOOD_REVIEW, "requirements_alignment": ["a"]}, "alignment is a list"),
        (VISION, {**GOOD_REVIEW, "status": ["aligned"]}, "status is a list"),
        ("last_updated: 2024-13-45", REVIEW, "month must be in 1..12"),
        ("a: " + "[" * 200, REVIEW, "more than 100 deep"),
    ],
)
def test_where_the_pipeline_raises_there_is_no_score(vision: Any, review: Any, why: str) -> None:
    with pytest.raises(DataError, match=why):
        score(vision, review)


TEXTS = st.sampled_from(["", "x", "FR001", "regulars choose loaves", "n" * 80, "n" * 160])
VALUES = st.one_of(TEXTS, st.lists(TEXTS, max_size=3), st.none(), st.integers(), st.booleans())
ALIGNMENTS = st.dictionaries(st.sampled_from(["aligned", "gaps", "conflicts"]), VALUES)
REVIEWS = st.fixed_dictionaries(
    {},
    optional={
        "status": TEXTS,
        "summary": VALUES,
        "requirements_alignment": ALIGNMENTS,
        "recommended_actions": VALUES,
        "narrative": VALUES,
    },
)
VISIONS = st.dictionaries(st.sampled_from(sorted(GOOD_VISION)), VALUES)


@settings(max_examples=60, deadline=None)
@given(VISIONS, REVIEWS)
def test_a_score_is_the_sum_of_its_parts_within_bounds(vision: Any, review: Any) -> None:
    got = score(vision, review)
    total = got.pop("total")
    assert total == pytest.approx(sum(got.values()))
    assert METRIC.floor * 120 <= total <= 120
    assert all(0 <= points <= 30 for points in got.values())


@settings(max_examples=30, deadline=None)
@given(VISIONS, REVIEWS, st.sampled_from(sorted(GOOD_VISION)))
def test_a_good_value_in_the_vision_never_costs_points(vision: Any, review: Any, key: str) -> None:
    better = {**vision, key: GOOD_VISION[key]}
    assert score(better, review)["total"] >= score(vision, review)["total"]
