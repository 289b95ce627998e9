"""Datasets: verdicts, duplicates, repairs and splits."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baft import BaftError, UsageError
from baft.data import DataAudit, Ruler, audit, draw, judge, repair, split
from baft.loader import load_plugins
from data_rows import VARIANTS, clean, document, ids


class Audited(NamedTuple):
    found: DataAudit
    verdicts: list
    twins: list


@pytest.fixture(scope="module")
def plugins():
    return load_plugins()


@pytest.fixture(scope="module")
def ba(plugins):
    return plugins.role("ba")


@pytest.fixture
def read(ba):
    def read(*rows, file="d.jsonl"):
        raws = (r if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in rows)
        return [judge(file, n, raw, ba) for n, raw in enumerate(raws, start=1)]

    return read


@pytest.fixture
def audited(plugins, ba):
    def audited(*files, against=(), **options):
        metric = plugins.metric("ba_requirements")
        with audit(files, ba, metric, iter(against), **options) as found:
            return Audited(found, list(found.verdicts()), list(found.twins()))

    return audited


# audit


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_gets_its_verdict(variant, read, audited):
    row, problem = VARIANTS[variant]
    (verdict,) = audited(read(row)).verdicts
    assert problem in verdict.problem
    assert bool(problem) == bool(verdict.problem)
    assert (verdict.file, verdict.line) == ("d.jsonl", 1)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [(b"\xff\n", "can't decode byte 0xff"), (b"{\n", "not valid JSON"), (b"[]\n", "a list")],
)
def test_a_line_that_is_no_row_is_a_verdict_not_a_crash(raw, problem, read, audited):
    found, verdicts, _ = audited(read(raw, clean()))
    assert problem in verdicts[0].problem
    assert (found.invalid, verdicts[1].problem) == (1, "")


SENTENCE = "a club of {} readers wants to lend old novels and swap notes by post every week"


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (clean(), clean(note="again"), "same inputs"),
        (clean(id="1"), clean("tea", id="1"), "same id"),
        (
            {"concept": SENTENCE.format("busy")},
            {"concept": SENTENCE.format("lazy")},
            "near inputs",
        ),
        (clean(), {**clean("tea"), "requirements": document()}, "near reference"),
        (clean(), clean("tea"), None),
        ({"concept": "tea"}, {"concept": "pot"}, None),
        ({"concept": "tea"}, {"concept": " Tea"}, "near inputs"),
    ],
)
def test_twins_are_found_within_a_file_between_files_and_against(
    first, second, kind, read, audited
):
    one, other = read(first, file="one"), read(second, file="other")
    for found in (
        audited(read(first, second)),
        audited(one, other),
        audited(other, against=one),
    ):
        assert [twin.kind for twin in found.twins] == ([kind] if kind else [])
        assert found.found.is_clean == (kind is None)


def test_twins_within_the_file_audited_against_are_its_own_affair(read, audited):
    known = read(clean(), clean(), file="known")
    assert audited(read(clean("tea")), against=known).found.is_clean


def test_a_line_names_its_twin_in_every_earlier_file(read, audited):
    known = read(clean(), file="known")
    copied = {**clean("tea"), "requirements": document()}
    found = audited(read(copied, copied), against=known)
    places = [(t.line, t.kind, t.earlier_file, t.earlier_line) for t in found.twins]
    assert places == [
        (1, "near reference", "known", 1),
        (2, "same inputs", "d.jsonl", 1),
        (2, "near reference", "known", 1),
    ]


def test_references_below_the_attainable_maximum_are_named_worst_first(read, audited):
    poor = clean("tea")
    del poor["requirements"]["constraints"]
    short = {"concept": "x", "requirements": {"title": "y"}}
    (scores,) = audited(read(clean(), poor, short, {"concept": "no reference"})).found.scores
    assert (scores.n, scores.below_max) == (3, 2)
    assert [low.line for low in scores.worst] == [3, 2]


def test_tags_with_two_to_twelve_values_are_balanced_and_lengths_are_by_field(read, audited):
    rows = [clean(f"w{i}x", lang="es" if i < 5 else "en", n=i, one="1") for i in range(20)]
    (file,) = audited(read(*rows)).found.files
    assert file.tags == {"lang": {"en": 15, "es": 5}}
    spread = file.lengths["functional_requirements"]
    assert (spread.unit, spread.n, spread.min, spread.median, spread.max) == (
        "entries",
        20,
        2,
        2,
        2,
    )
    assert file.lengths["concept"].unit == "characters"


def test_examples_longer_than_the_ruler_allows_are_named_longest_first(read, audited):
    ruler = Ruler(max_length=13, measure=lambda example: len(example.inputs["concept"]))
    rows = [{"concept": "x" * n, "requirements": document(f"w{n}x")} for n in (9, 20, 13, 14)]
    found = audited(read(*rows, {"concept": "y" * 99}), ruler=ruler).found
    (lengths,) = found.lengths
    assert (lengths.spread.n, lengths.spread.max, lengths.over) == (4, 20, 2)
    assert [(long.line, long.tokens) for long in lengths.longest] == [(2, 20), (4, 14)]
    assert not found.is_clean


# fix


FIXES = [
    (ids("FR1", "FR02", "FR-003", "fr_4"), ids("FR001", "FR002", "FR003", "FR004")),
    (ids(1, "2", "REQ-3", "FR1000"), ids("FR001", "FR002", "FR003", "FR1000")),
    (ids("FR001", "FR1", "FR5"), ids("FR001", "FR006", "FR005")),
    (ids("FR-1.2", "login", None), ids("FR-1.2", "login", None)),
    (ids("FR1", prefix="constraints"), ids("C001", prefix="constraints")),
    (
        {"Concept": "x", "Requirements": {"Title": "t", "constraints": [{"Description": "d"}]}},
        {"concept": "x", "requirements": {"title": "t", "constraints": [{"description": "d"}]}},
    ),
    (
        {"concept": "x", "requirements": {"constraints": "```yaml\n- id: C1\n  cost: 5\n```"}},
        {"concept": "x", "requirements": {"constraints": [{"id": "C001", "cost": 5}]}},
    ),
    (
        {"input": {"concept": "x", "requirements_yaml": "```yaml\ntitle:   t\n```"}},
        {"input": {"concept": "x", "requirements_yaml": "title:   t"}},
    ),
    (
        {"input": {"concept": "x", "requirements_yaml": "title: é\nconstraints:\n- id: C1"}},
        {"input": {"concept": "x", "requirements_yaml": "title: é\nconstraints:\n- id: C001\n"}},
    ),
    (
        {"concept": "x", "requirements": {"constraints": "- id: C1\n  due: 2026-01-02"}},
        {"concept": "x", "requirements": {"constraints": [{"id": "C001", "due": "2026-01-02"}]}},
    ),
    (
        {"concept": "x", "Concept": "y", "requirements": {"title": "t"}},
        {"concept": "x", "Concept": "y", "requirements": {"title": "t"}},
    ),
]


@pytest.mark.parametrize(("row", "fixed"), FIXES)
def test_fix_repairs_the_form_and_nothing_else(row, fixed, read, ba):
    (result,) = repair(read(row), ba)
    assert json.loads(result.after.raw) == fixed
    assert result.is_changed == (row != fixed)
    (again,) = repair([result.after], ba)
    assert not again.is_changed


@pytest.mark.parametrize("variant", VARIANTS)
def test_fix_leaves_what_no_repair_makes_valid(variant, read, ba):
    row, problem = VARIANTS[variant]
    (result,) = repair(read(row), ba)
    assert problem in result.after.problem
    assert result.is_invalid == bool(problem)
    if problem:
        assert result.after.raw == result.before.raw


def test_a_line_without_need_of_repair_keeps_its_bytes_and_its_end(read, ba):
    odd = b'{"concept" :  "caf\\u00e9", "requirements": {"title": 1e0}}\r\n'
    ok = b'{"concept" :  "caf\\u00e9"}\r\n'
    mended = b'{"Concept": "caf\\u00e9"}\r\n'
    repairs = repair(read(odd, ok, mended), ba)
    assert [one.after.raw for one in repairs] == [odd, ok, '{"concept": "café"}\r\n'.encode()]


def test_half_a_surrogate_pair_survives_a_repair(read, ba):
    (result,) = repair(read(b'{"Concept": "x\\ud800"}\n'), ba)
    assert result.after.raw == b'{"concept": "x\\ud800"}\n'


def test_a_role_that_repairs_nothing_is_an_error(role):
    with pytest.raises(UsageError, match="'echo' does not repair"):
        repair([judge("f", 1, b'{"word": "a"}\n', role)], role)


# split

GROUPS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from("abc")), min_size=2, max_size=30)


@given(GROUPS, st.data(), st.integers(0, 5))
def test_a_draw_takes_whole_groups_and_no_more_than_asked(shape, data, seed):
    groups = [group for group, (size, _) in enumerate(shape) for _ in range(size)]
    strata = [ord(stratum) for _, stratum in shape]
    count = data.draw(st.integers(1, len(groups) - 1))
    chosen = draw(groups, strata, count, seed)
    assert chosen == draw(groups, strata, count, seed)
    assert len(chosen) == len(groups)
    assert sum(chosen) <= count
    whole = [
        {held for held, of in zip(chosen, groups, strict=True) if of == g} for g in set(groups)
    ]
    assert all(len(held) == 1 for held in whole)
    left = [size for (size, _), held in zip(shape, whole, strict=True) if held == {0}]
    assert min(left) > count - sum(chosen)  # nothing more would have fitted


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=2, max_size=60), st.data())
def test_a_draw_without_near_duplicates_is_exact_and_in_proportion(strata, data):
    count = data.draw(st.integers(1, len(strata) - 1))
    chosen = draw(range(len(strata)), strata, count, 1)
    assert sum(chosen) == count
    for stratum in set(strata):
        quota = strata.count(stratum) * count / len(strata)
        held = sum(h for h, of in zip(chosen, strata, strict=True) if of == stratum)
        assert abs(held - quota) < 1


def test_a_split_is_seeded_and_keeps_near_duplicates_together(read):
    rows = [clean(f"w{i // 2}x", number=i) for i in range(20)]
    lines = read(*rows)
    found = split(iter(lines), 6, seed=3)
    assert (found.n, found.wanted, len(found.held_out)) == (6, 6, 20)
    assert found.held_out[::2] == found.held_out[1::2]
    assert split(lines, 0.3, seed=3) == found
    assert any(split(lines, 6, seed=seed) != found for seed in range(4, 9))


@pytest.mark.parametrize(
    ("rows", "count", "tags", "message"),
    [
        ([clean(), VARIANTS["D meta only"][0]], 1, (), "line 2: requirements holds meta"),
        ([clean(), clean("tea")], 2, (), "cannot be set apart"),
        ([clean(), clean("tea")], 0, (), "cannot be set apart"),
        ([clean(lang="en"), clean("tea")], 1, ("lnag",), "Did you mean 'lang'"),
        ([clean(), clean(), clean(), clean()], 2, (), "must stay together"),
        ([clean(), clean("tea")], 0.1, (), "cannot be set apart"),
    ],
)
def test_what_cannot_be_split_is_an_error(rows, count, tags, message, read):
    with pytest.raises(BaftError) as caught:
        split(read(*rows), count, stratify=tags)
    assert message in str(caught.value)
