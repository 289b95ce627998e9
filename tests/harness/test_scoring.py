"""Outputs that exist already are scored against the examples that they answer."""

from __future__ import annotations

import pytest

from baft import DataError, Example, Score
from baft.scoring import score_lines

from .conftest import LengthMetric


class Knowing(LengthMetric):
    """One where it is told the word and the reference."""

    name = "knowing"

    def score(self, example, prediction):
        told = example.inputs.get("word"), example.reference
        return Score(value=float(told == ("x", {"text": "ok"})))


EXAMPLES = (
    Example(id="a", inputs={"word": "x"}, reference={"text": "ok"}),
    Example(id="b", inputs={"word": "y"}, reference={"text": "ok"}),
)


def test_each_line_gives_one_result_in_order(write_lines, role, metric):
    path = write_lines(
        "p.jsonl",
        [{"id": "a", "output": "GOOD x"}, {"inputs": {"word": "y"}, "output": "GOOD !"},
         {"id": "c", "output": "no"}],
    )  # fmt: skip
    found = list(score_lines(path, role, metric, "lenient"))
    assert [one.score.value if one.score else None for _, one in found] == [1.0, None, 0.0]
    assert [example.id for example, _ in found] == [one.example_id for _, one in found]
    assert [dict(example.inputs) for example, _ in found] == [
        {"id": "a"},
        {"word": "y"},
        {"id": "c"},
    ]


def test_an_id_is_not_taken_for_what_was_asked(write_lines, role):
    path = write_lines("p.jsonl", [{"id": "x", "output": "GOOD"}])
    ((example, _),) = score_lines(path, role, Knowing(), "lenient")
    assert "word" not in example.inputs


@pytest.mark.parametrize("key", [{"id": "a"}, {"inputs": {"word": "x"}}, {"concept": "x"}])
def test_with_a_dataset_the_metric_is_told_the_example(write_lines, role, key):
    path = write_lines("p.jsonl", [{**key, "output": "GOOD"}])
    ((example, one),) = score_lines(path, role, Knowing(), "lenient", EXAMPLES)
    assert example is EXAMPLES[0]
    assert one.score.value == 1.0


def test_a_line_for_no_example_is_named(write_lines, role, metric):
    path = write_lines("p.jsonl", [{"id": "a", "output": ""}, {"id": "z", "output": ""}])
    with pytest.raises(DataError, match="line 2: no example has id 'z'"):
        list(score_lines(path, role, metric, "lenient", EXAMPLES))
