"""``ba_requirements``: every edge of the pipeline's own function, by hand-computed points."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from baft import DataError, Example, Prediction, Score
from baft.parsing import safe_yaml
from baft_ba.metric import FIELDS, PREFIXES, RequirementsMetric

METRIC = RequirementsMetric()
EXAMPLE = Example(id="1", inputs={"concept": "A bakery that takes orders"})


def items(prefix: str, n: int = 2) -> list[dict[str, Any]]:
    return [
        {"id": f"{prefix}{i:03}", "description": "d", "priority": "High"} for i in range(1, n + 1)
    ]


GOOD: dict[str, Any] = {
    "title": "A bakery shop",
    "description": "d" * 100,
    **{name: items(prefix) for name, prefix in PREFIXES.items()},
}


def score(**fields: Any) -> Score:
    return METRIC.score(EXAMPLE, Prediction(fields=fields, validity="as_is"))


def points(**fields: Any) -> float:
    return score(**fields).value * 7


def fr(value: Any) -> dict[str, float]:
    """The points of one list alone, by part."""
    got = score(functional_requirements=value).components
    return {part: got[f"functional_requirements_{part}"] for part in ("yaml", "count", "ids")}


NOTHING = {"yaml": 0.0, "count": 0.0, "ids": 0.0}
PARSED = {"yaml": 0.5, "count": 0.0, "ids": 0.0}
COUNTED = {"yaml": 0.5, "count": 0.5, "ids": 0.0}
FULL = {"yaml": 0.5, "count": 0.5, "ids": 0.5}


def test_the_best_document_earns_six_and_a_half_of_seven() -> None:
    assert score(**GOOD).value == 6.5 / 7 == METRIC.attainable_max == 0.9285714285714286
    assert score(**GOOD).components == METRIC.components


def test_the_components_stand_in_the_order_of_display() -> None:
    lists = [f"{name}_{part}" for name in PREFIXES for part in ("yaml", "count", "ids")]
    assert list(METRIC.components) == ["completeness", "title", "description", *lists]
    assert list(score().components) == list(METRIC.components)


def test_nothing_earns_nothing() -> None:
    assert score().value == 0.0
    assert set(score().components.values()) == {0.0}


@pytest.mark.parametrize("value", ["", 0, False, None, [], {}, 0.0])
def test_a_falsy_field_is_absent(value: Any) -> None:
    for name in FIELDS:
        assert score(**{name: value}).value == 0.0


@pytest.mark.parametrize("value", ["   ", True, 42, "[]", {"a": 1}, ("x",)])
def test_a_truthy_field_is_present(value: Any) -> None:
    for name in FIELDS:
        assert score(**{name: value}).components["completeness"] == 0.2


@pytest.mark.parametrize("n", range(6))
def test_completeness_is_the_count_over_five(n: int) -> None:
    present = {name: True for name in FIELDS[:n]}
    assert score(**present).components["completeness"] == n / 5
    assert score(**present).value == (n / 5) / 7


@pytest.mark.parametrize(
    ("title", "earned"),
    [
        ("t" * 9, 0.0),
        ("t" * 10, 0.5),
        ("t" * 100, 0.5),
        ("t" * 101, 0.0),
        ("  " + "t" * 9 + "  ", 0.0),
        ("  " + "t" * 100 + "\n", 0.5),
        (" " * 50, 0.0),
        (1234567890, 0.5),
        (123456789, 0.0),
        (True, 0.0),
        (["abc", "def"], 0.5),
        ({"a": "bcdefg"}, 0.5),
    ],
)
def test_a_title_has_10_to_100_characters_in_words(title: Any, earned: float) -> None:
    assert score(title=title).components["title"] == earned


@pytest.mark.parametrize(
    ("description", "earned"),
    [
        ("d" * 99, 0.0),
        ("d" * 100, 0.5),
        ("d" * 99 + " ", 0.0),
        ("d" * 10_000, 0.5),
        (10**99, 0.5),
        (["d" * 96], 0.5),
        (["d" * 95], 0.0),
    ],
)
def test_a_description_has_100_characters_in_words(description: Any, earned: float) -> None:
    assert score(description=description).components["description"] == earned


ONE = "- id: FR001\n  description: d\n  priority: High\n"
TWO = ONE + "- id: FR002\n  description: d\n  priority: null\n"


@pytest.mark.parametrize(
    ("value", "earned"),
    [
        (TWO, FULL),
        (ONE, PARSED),
        ("[]", PARSED),
        ("- a\n- b\n", COUNTED),
        ("[1, null]", COUNTED),
        ("---\n" + TWO, FULL),
        (TWO + "...\n", FULL),
        ("\ufeff" + TWO, FULL),
        (TWO.replace("\n", "\r\n"), FULL),
        ("  " + TWO.replace("\n", "\n  ").rstrip(" "), FULL),
        ('[{"id": "FR1", "description": "", "priority": 1},' * 1 + ' {"id": "FR2"}]', COUNTED),
        ("[{id: FR1, description: a, priority: b}, {id: FR2, description: a, priority: b}]", FULL),
        ("- &x {id: FR1, description: a, priority: b}\n- *x\n", FULL),
        ("- &x {id: FR1, description: a, priority: b}\n- {<<: *x, id: FR2}\n", FULL),
        # What is no list, or no YAML
        ("", NOTHING),
        ("   ", NOTHING),
        ("text", NOTHING),
        ("null", NOTHING),
        ("a: b", NOTHING),
        ("functional_requirements:\n" + TWO, NOTHING),
        ("```yaml\n" + TWO + "```", NOTHING),
        ("```\n" + TWO + "```", NOTHING),
        (TWO + "---\n" + TWO, NOTHING),
        (TWO.replace("  description", "\tdescription"), NOTHING),
        (TWO.replace("d\n", "'d\n", 1), NOTHING),
        (TWO.replace("d\n", "a: b\n", 1), NOTHING),
        (TWO.replace("d\n", "`a`\n", 1), NOTHING),
        (TWO.replace("d\n", "%a\n", 1), NOTHING),
        (TWO.replace("d\n", "@a\n", 1), NOTHING),
        (TWO.replace("d\n", "*a\n", 1), NOTHING),
        (TWO.replace("d\n", "2024-13-45\n", 1), NOTHING),
        (TWO.replace("d\n", "!!timestamp soon\n", 1), NOTHING),
        (TWO.replace("d\n", "!!python/name:os.system x\n", 1), NOTHING),
        (TWO.replace("d\n", "\ud800\n", 1), NOTHING),
        # Native values
        (items("FR"), FULL),
        (items("FR", 1), PARSED),
        (["a", "b"], COUNTED),
        ([None, None], COUNTED),
        (tuple(items("FR")), NOTHING),
        ({"a": 1}, NOTHING),
        (42, NOTHING),
        (True, NOTHING),
    ],
)
def test_a_list_earns_by_what_it_is_or_parses_to(value: Any, earned: dict[str, float]) -> None:
    assert fr(value) == earned


@pytest.mark.parametrize(
    "number",
    ["FR1", "FR01", "FR001", "FR0001", "FR²", "FR①", "FR１", "FR٣", "FR" + "9" * 50],
)
def test_an_id_is_the_prefix_and_digits_of_any_script(number: str) -> None:
    entry = {"id": number, "description": None, "priority": ""}
    assert fr([entry, entry]) == FULL, "and duplicates count twice"


@pytest.mark.parametrize(
    "number",
    [
        *("FR", "FR-001", "fr001", "FR001a", "FR 001", " FR001", "FR001 ", "FR001\n", "NFR001"),
        *("FR½", "FR1.0", "", 1, 1.5, None, True, ["FR001"], {"FR001": 1}),
    ],
)
def test_other_ids_do_not_count(number: Any) -> None:
    entry = {"id": number, "description": "d", "priority": "High"}
    assert fr([entry, entry]) == COUNTED


def test_each_list_has_its_own_prefix() -> None:
    for name, prefix in PREFIXES.items():
        for other in ("FR", "NFR", "C", "CON", "F"):
            earned = score(**{name: items(other)}).components[f"{name}_ids"]
            assert earned == (0.5 if other == prefix else 0.0), (name, other)


@pytest.mark.parametrize("key", ["id", "description", "priority"])
def test_the_three_keys_must_be_there_in_lower_case(key: str) -> None:
    entry = items("FR")[0]
    value = entry.pop(key)
    assert fr([entry, entry]) == COUNTED
    assert fr([{**entry, key.title(): value}] * 2) == COUNTED
    assert fr([{**entry, key: None, "extra": 1}] * 2) == (COUNTED if key == "id" else FULL)


def test_two_valid_entries_are_enough_among_others() -> None:
    assert fr([*items("FR"), "text", None, {"id": "x"}]) == FULL


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({name: "```yaml\n- a\n```" for name in PREFIXES}, 2.0),  # all three fenced: 0.285714
        ({"constraints": items("CON")}, 6.0),
        ({"constraints": "a: b: c"}, 5.0),
        ({"constraints": []}, 4.8),
        ({"constraints": "[]"}, 5.5),
        ({name: [] for name in PREFIXES}, 1.4),
        ({"title": None}, 5.8),
    ],
)
def test_worked_totals(change: dict[str, Any], expected: float) -> None:
    assert points(**{**GOOD, **change}) == pytest.approx(expected, abs=1e-12)


def test_the_points_are_added_in_the_order_of_the_original() -> None:
    fields = {**GOOD, "title": "", "constraints": [], "non_functional_requirements": "- a\n- b"}
    total = 3 / 5
    for part in (0.5,) * 6:
        total += part
    assert score(**fields).value == total / 7.0


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("- !!bool High", "KeyError"),
        ('- !!int ""', "IndexError"),
        ("- 1" + ":1" * 200 + ".0", "OverflowError"),
        ("[" * 2000, "nested more than 100 deep"),
        ("- &a [*a]", "aliases"),
        ("- x\n" * 300_000, "characters"),
    ],
)
def test_what_the_original_raises_on_has_no_score_but_a_reason(text: str, what: str) -> None:
    with pytest.raises(DataError, match=what) as caught:
        score(**{**GOOD, "constraints": text})
    assert caught.value.message.startswith("constraints cannot be scored: ")


def test_a_native_value_too_deep_to_be_put_in_words_raises() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        fr([{"id": deep, "description": "d", "priority": "High"}])


def test_the_reference_is_not_looked_at() -> None:
    example = Example(id="1", inputs={"concept": "c"}, reference={"title": "other"})
    prediction = Prediction(fields=GOOD, validity="none")
    assert METRIC.score(example, prediction) == score(**GOOD)


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=12)
entries = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["FR1", "NFR2", "C03", "FR", "x", "C٣"]) | scalars,
        "description": scalars,
        "priority": scalars,
        "more": scalars,
    },
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "title": scalars | st.text(min_size=8, max_size=110),
        "description": scalars | st.text(min_size=90, max_size=110),
        **{name: scalars | st.lists(entries | scalars, max_size=4) for name in PREFIXES},
    },
)


@settings(deadline=None, max_examples=200)
@given(documents)
def test_the_value_is_the_sum_of_the_components_and_within_reach(fields: dict[str, Any]) -> None:
    try:
        got = score(**fields)
    except DataError:
        return
    assert 0.0 <= got.value <= METRIC.attainable_max
    assert got.value == pytest.approx(sum(got.components.values()) / 7)
    assert all(0 <= got.components[name] <= most for name, most in METRIC.components.items())


@settings(deadline=None, max_examples=200)
@given(st.lists(entries | scalars, min_size=1, max_size=4))
def test_a_list_as_yaml_text_scores_like_the_list(value: list[Any]) -> None:
    assert fr(yaml.safe_dump(value, allow_unicode=True)) == fr(value)


@settings(deadline=None, max_examples=100)
@given(st.lists(entries, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_entries_does_not_matter(value: list[Any], shuffle: Any) -> None:
    mixed = value[:]
    shuffle.shuffle(mixed)
    assert fr(mixed) == fr(value)


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=40))
def test_any_text_earns_what_the_pipelines_loader_makes_of_it(text: str) -> None:
    try:
        theirs = yaml.safe_load(text) if text else None
    except safe_yaml.REFUSED:
        theirs = None
    assert (fr(text)["yaml"] == 0.5) == isinstance(theirs, list)
