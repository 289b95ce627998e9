"""Two answers word by word, and field by field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baft.reports.differences import WORDS, marked
from baft.reports.fields import compared, lay_out


def new(found):
    return [piece.text.strip() for piece in found.pieces if piece.new]


@given(st.text(), st.text())
def test_the_pieces_are_the_text(text, against):
    assert "".join(piece.text for piece in marked(text, against).pieces) == text


def test_only_new_words_are_marked_and_lost_ones_are_counted():
    found = marked("The system shall keep every order", "The system must always keep every order")
    assert new(found) == ["shall"]
    assert (found.added, found.dropped) == (1, 2)


def test_equal_texts_and_other_white_space_differ_in_nothing():
    assert new(marked("a b\n c", "a  b c")) == []
    assert marked("a b", "a b").added == 0


@pytest.mark.parametrize("against", [None, "", "wholly other words that share nothing here"])
def test_nothing_is_marked_where_there_is_nothing_to_compare(against):
    assert new(marked("one two three", against)) == []


def test_long_texts_are_given_whole():
    found = marked("word " * (WORDS + 1), "word " * WORDS)
    assert len(found.pieces) == 1


def lists(*texts):
    return lay_out("f", {"f": [{"id": f"FR{i}", "description": t} for i, t in enumerate(texts)]})


def test_entries_are_compared_by_id_whatever_their_order():
    ours, theirs = (
        lists("keep all orders", "send every bill"),
        lists("keep all orders", "send a bill"),
    )
    turned = lay_out(
        "f",
        {
            "f": [
                {"id": "FR1", "description": "send a bill"},
                {"id": "FR0", "description": "keep all orders"},
            ]
        },
    )
    assert compared(ours, theirs).entries[1].pieces == compared(ours, turned).entries[1].pieces
    assert compared(ours, theirs).change == "+1 −1 word"
    assert compared(ours, ours).change == "the same"


def test_a_text_and_a_list_are_not_compared():
    assert compared(lists("a"), lay_out("f", {"f": "a"})).change == ""


def test_only_the_first_words_of_a_long_list_are_compared():
    text = "a b " * 150
    ours, theirs = (lists(*[f"{text}{i}{side}" for i in range(20)]) for side in "xy")
    entries = compared(ours, theirs).entries
    assert len(entries[0].pieces) == 2
    assert len(entries[-1].pieces) == 1
