"""The search for near-duplicates: exact where few meet, bounded where many do, all on disk."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baft import DataError
from baft.audit import near_pairs
from baft.data import Line, similar, split
from baft.data.index import LineIndex
from baft.data.similar import Similar
from baft.records import Example

WORDS = [f"word{i}" for i in range(200)]


def found(texts, at_least, folder):
    searched = Similar(folder, at_least)
    for number, words in enumerate(texts):
        searched.add(number, words)
    pairs = list(searched.pairs())
    searched.close()
    return pairs


def varied(n, kinds, seed=0, changed=0.05):
    """Texts of 30 words, each one of ``kinds`` with some words changed."""
    rng = random.Random(seed)
    base = [rng.choices(WORDS, k=30) for _ in range(kinds)]
    return [
        [rng.choice(WORDS) if rng.random() < changed else word for word in base[i % kinds]]
        for i in range(n)
    ]


@settings(deadline=None, max_examples=50)  # a set takes some milliseconds of disk
@given(
    st.lists(st.lists(st.sampled_from("abcd"), max_size=8), min_size=1, max_size=12),
    st.sampled_from([0.3, 0.5, 0.8, 1.0]),
)
def test_among_a_few_texts_every_pair_is_found_and_nothing_else(texts, at_least):
    with tempfile.TemporaryDirectory() as name:
        exact = sorted(near_pairs(texts, at_least=at_least))
        assert sorted(found(texts, at_least, Path(name))) == exact


def test_among_hundreds_of_texts_every_pair_is_found(tmp_path):
    texts = varied(300, 30)
    exact = sorted(near_pairs(texts, at_least=0.5))
    assert len(exact) > 300
    assert sorted(found(texts, 0.5, tmp_path)) == exact


def test_pairs_come_by_the_later_text_and_over_several_parts_too(tmp_path, monkeypatch):
    monkeypatch.setattr(similar, "PART", 300)
    texts = varied(300, 30)
    pairs = found(texts, 0.5, tmp_path)
    assert sorted(pairs) == sorted(near_pairs(texts, at_least=0.5))
    assert [later for later, _, _ in pairs] == sorted(later for later, _, _ in pairs)


def test_a_crowd_costs_few_comparisons_and_stays_together(tmp_path, monkeypatch):
    monkeypatch.setattr(similar, "BUDGET", 0)
    texts = varied(600, 2, changed=0.01)
    pairs = found(texts, 0.5, tmp_path)
    exact = {frozenset((i, j)) for i, j, _ in near_pairs(texts, at_least=0.5)}
    assert {frozenset((i, j)) for i, j, _ in pairs} <= exact
    assert len(pairs) < len(exact) / 3
    assert len({later for later, _, _ in pairs}) == 598  # all but the first of each kind


def lines(rows):
    for number, words in enumerate(rows, start=1):
        example = Example(id=str(number), inputs={"concept": " ".join(words)})
        raw = json.dumps(example.inputs).encode()
        yield Line(file="d.jsonl", number=number, raw=raw, example=example)


def test_no_near_duplicate_straddles_a_split_of_thousands():
    kinds = 40
    held_out = split(lines(varied(2_000, kinds, changed=0.01)), 0.2, seed=1).held_out
    parts = [set(held_out[kind::kinds]) for kind in range(kinds)]
    assert all(len(part) == 1 for part in parts)
    assert sum(held_out) == 400


def test_scratch_files_go_when_the_search_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with LineIndex() as index:
        for line in lines(varied(10, 2)):
            index.add(line)
        assert any(tmp_path.iterdir())
    assert not any(tmp_path.iterdir())


def test_scratch_that_cannot_be_written_is_an_error_that_says_where(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"gone could not be written.*TMPDIR"):
        split(lines(varied(10, 2)), 2)
