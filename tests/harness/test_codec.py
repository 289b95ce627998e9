"""JSON that is written fast says what the standard library's would."""

from __future__ import annotations

import datetime
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baft.store.codec import decode, encode, plain

TEXT = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["null", "nullable", "\ud800"]
)
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
KEYS = TEXT | st.integers() | st.none() | st.booleans()
VALUES = st.recursive(
    LEAF, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20
)


def standard(value):
    """What the standard library reads of what it wrote, or the kind of its error."""
    try:
        return json.loads(json.dumps(value, allow_nan=False, default=plain))
    except (ValueError, TypeError) as error:
        return type(error)


@given(VALUES)
def test_encoding_says_what_the_standard_library_says(value):
    expected = standard(value)
    if isinstance(expected, type):
        with pytest.raises(expected):
            encode(value)
    else:
        text = encode(value)
        assert json.loads(text) == decode(text) == expected


@pytest.mark.parametrize("text", ["", "{", "[1] [2]", '"a"b', "[" * 100_000])
def test_a_text_that_is_not_one_value_is_not_decoded(text):
    with pytest.raises((ValueError, RecursionError)):
        decode(text)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_wherever_it_stands(bad):
    for value in (bad, [1, bad], {"a": [None, {"b": bad}]}):
        with pytest.raises(ValueError, match="not JSON compliant"):
            encode(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5], "é": None}, '{"a":[1,2.5],"é":null}'),
        ({3: 10**30}, '{"3":1000000000000000000000000000000}'),
        (datetime.date(2026, 1, 2), '"2026-01-02"'),
        (datetime.datetime(2026, 1, 2, 3, 4), '"2026-01-02 03:04:00"'),
        (np.float64(0.25), "0.25"),
        ((1, (2,)), "[1,[2]]"),
        ({"x"}, '["x"]'),
        (b"\xff", '"�"'),
    ],
)
def test_what_json_has_no_word_for_is_written_alike_on_both_ways(value, text):
    assert encode(value) == text
    assert encode([value, None]) == f"[{text},null]"


def test_a_deep_value_is_written_or_refused_as_ever():
    deep: list = []
    for _ in range(300):
        deep = [deep]
    assert json.loads(encode(deep)) == deep
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        encode(deep)
