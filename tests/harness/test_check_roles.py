"""Every promise of a role and of a metric that the contract checks know, and what breaks it."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

import baft
from baft import Example, Prediction, Score
from baft.testing import (
    check_metric,
    check_role,
)
from baft_ba.metric import RequirementsMetric
from baft_ba.role import BusinessAnalyst

ROW = {"concept": "a bakery", "requirements": {"title": "t", "description": "d"}}


def broken_role(**members):
    return type("Broken", (BusinessAnalyst,), members)()


def changing(self, row):
    row["seen"] = True
    return BusinessAnalyst.example(self, row)


def numbered(self, row):
    self.calls = getattr(self, "calls", 0) + 1
    return replace(BusinessAnalyst.example(self, row), id=str(self.calls))


def credulous(self, row):
    return BusinessAnalyst.example(self, {"concept": "x", **row})


def careless(self, row):
    return BusinessAnalyst.example(self, {"concept": row["concept"]})


def cheating(self, example):
    prompt = BusinessAnalyst.prompt(self, example)
    hint = baft.Message(role="user", content=str(example.reference))
    return replace(prompt, messages=(*prompt.messages, hint))


def leaking(self, generation, extraction):
    return Prediction(fields={"other": 1}, validity="as_is")


def fragile(self, generation, extraction):
    if "\x00" in generation.text:
        raise KeyError("zero")
    return BusinessAnalyst.parse(self, generation, extraction)


def blind(self, generation, extraction):
    return Prediction(fields={}, validity="none")


def remembering(self, generation, extraction):
    self.calls = getattr(self, "calls", 0) + 1
    if self.calls > 40:  # as one does that keeps what it reads in itself
        return Prediction(fields={"title": str(self.calls)}, validity="none")
    return BusinessAnalyst.parse(self, generation, extraction)


def chatty(self, example):
    sys.stdout.write("prompting")
    return BusinessAnalyst.prompt(self, example)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"task": " "}, "task is empty"),
        ({"outputs": ()}, "needs inputs and outputs"),
        ({"outputs": ("title",)}, "are Field"),
        ({"inputs": BusinessAnalyst.inputs * 2}, "two fields of one name"),
        ({"example": changing}, r"example\(\) must not change the row"),
        ({"example": numbered}, "two examples for one row"),
        ({"example": credulous}, r"must raise ValueError$"),
        ({"example": careless}, "must raise ValueError, not KeyError"),
        ({"prompt": cheating}, "the prompt depends on the reference"),
        ({"prompt": chatty}, "must print nothing on stdout"),
        ({"parse": blind}, "the target does not parse as it stands"),
        ({"parse": leaking}, r"no outputs: \['other'\]"),
        ({"parse": fragile}, "must read nothing, not raise KeyError"),
        ({"parse": remembering}, "when several threads call it"),
        ({"pipeline_blocks": lambda self, prediction: {}}, "makes nothing of the target"),
        ({"pipeline_blocks": lambda self, prediction: {"a b": {1}}}, r"pipeline_blocks\(\)"),
    ],
)
def test_a_role_that_breaks_a_promise_is_found(members, words):
    check_role(BusinessAnalyst(), [ROW])
    with pytest.raises(AssertionError, match=words):
        check_role(broken_role(**members), [dict(ROW)])


def test_a_role_is_not_checked_on_nothing():
    with pytest.raises(AssertionError, match="at least one row"):
        check_role(BusinessAnalyst(), [])


CASES = [(Example(id="1", inputs={"concept": "x"}), Prediction(fields={}, validity="none"))]


def broken_metric(**members):
    return type("Broken", (RequirementsMetric,), members)()


def giving(score):
    return lambda self, example, prediction: score


def meddling(self, example, prediction):
    prediction.fields["title"] = "better"
    return Score(value=0.5)


def counting(self, example, prediction):
    self.calls = getattr(self, "calls", 0) + 1
    return Score(value=1 / self.calls)


def printing(self, example, prediction):
    sys.stdout.write("scoring")
    return Score(value=0.0)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"name": ""}, "name is empty"),
        ({"version": "1"}, "version must be an integer"),
        ({"higher_is_better": 1}, "must be True or False"),
        ({"attainable_max": float("inf")}, "attainable_max must be finite"),
        ({"components": {"a": object()}}, "components must be JSON-able"),
        ({"score": giving(1.0)}, "must return a Score"),
        ({"score": giving(Score(value=7.0))}, "above attainable_max"),
        ({"score": giving(Score(value=0.5, components={"charm": 1.0}))}, "not announced"),
        ({"score": giving(Score(value=0.5, components={"title": 9.0}))}, "title has 9.0 points"),
        ({"score": meddling}, "must not change"),
        ({"score": counting}, "two scores for one case"),
        ({"score": printing}, "must print nothing on stdout"),
    ],
)
def test_a_metric_that_breaks_a_promise_is_found(members, words):
    check_metric(RequirementsMetric(), CASES)
    case = [(CASES[0][0], Prediction(fields={}, validity="none"))]
    with pytest.raises(AssertionError, match=words):
        check_metric(broken_metric(**members), case)
