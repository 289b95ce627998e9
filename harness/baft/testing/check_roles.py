"""The promises of a role, and of a metric."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import BaftError
from ..protocols import Bounded, PipelineWriter
from ..records import Example, Field, Prediction, Score, digest
from .promises import (
    HUGE_TEXT,
    ODD_TEXTS,
    at_once,
    generated,
    is_count,
    must,
    must_be_json,
    silence,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..protocols import Metric, Role
    from ..records import Extraction

THREADED = 16
"""Calls that are made from several threads."""


def check_role(role: Role, rows: Iterable[Mapping[str, Any]]) -> None:
    """Check a role on valid rows of a dataset: stable, honest, and not to be upset.

    Raises:
        AssertionError: the first promise that is broken.
    """
    with silence("a role"):
        _check_names(role)
        rows = list(rows)
        must(bool(rows), "check_role needs at least one row")
        for row in rows:
            _check_row(role, row)
        _check_bad_rows(role)
        _check_parsing(role)


def _check_names(role: Role) -> None:
    for name in ("name", "task", "metric", "answer_label"):
        must(bool(getattr(role, name).strip()), f"{name} is empty")
    for fields in (role.inputs, role.outputs):
        must(bool(fields), "a role needs inputs and outputs")
        must(all(isinstance(field, Field) for field in fields), "inputs and outputs are Field")
        names = [field.name for field in fields]
        must(len(set(names)) == len(names), f"two fields of one name in {names}")


def _check_row(role: Role, row: Mapping[str, Any]) -> None:
    before = digest(dict(row))
    example = role.example(row)
    must(digest(dict(row)) == before, "example() must not change the row")
    must(example == role.example(row), "example() gives two examples for one row")
    must_be_json(asdict(example), "an example")
    missing = [field.name for field in role.inputs if field.name not in example.inputs]
    must(not missing, f"the example lacks the inputs {missing}")
    prompt = role.prompt(example)
    must(prompt == role.prompt(example), "prompt() gives two prompts for one example")
    must(prompt.example_id == example.id, "the prompt names another example")
    must(any(m.role == "user" for m in prompt.messages), "the prompt has no user message")
    must_be_json(asdict(prompt), "a prompt")
    if example.reference is None:
        return
    blind = Example(id=example.id, inputs=example.inputs)
    must(role.prompt(blind) == prompt, "the prompt depends on the reference")
    target = role.target(example)
    for extraction in ("strict", "lenient"):
        prediction = role.parse(generated(target, example.id), extraction)
        _check_prediction(role, prediction)
        must(prediction.validity == "as_is", f"the target does not parse as it stands: {target!r}")
        lost = [name for name in example.reference if name not in prediction.fields]
        must(not lost, f"the target does not hold {lost} of the reference")
        if isinstance(role, PipelineWriter):
            blocks = role.pipeline_blocks(prediction)
            must(bool(blocks), "pipeline_blocks() makes nothing of the target")
            must_be_json(dict(blocks), "pipeline_blocks()")


def _check_bad_rows(role: Role) -> None:
    for bad in ({}, {"nothing": 1}, {field.name: None for field in role.inputs}):
        try:
            role.example(bad)
        except ValueError:
            continue
        except Exception as error:
            raise AssertionError(f"example({bad}) must raise ValueError, not {error!r}") from error
        must(False, f"example({bad}) must raise ValueError")


def _check_parsing(role: Role) -> None:
    settings: tuple[Extraction, ...] = ("strict", "lenient")
    for extraction in settings:
        for text in (*ODD_TEXTS, HUGE_TEXT):
            try:
                prediction = role.parse(generated(text), extraction)
            except Exception as error:
                why = f"parse() must read nothing, not raise {error!r}, in {text[:40]!r}"
                raise AssertionError(why) from error
            _check_prediction(role, prediction)
        texts = [ODD_TEXTS[i % len(ODD_TEXTS)] for i in range(THREADED)]
        parse = partial(_parse, role, extraction)
        must(
            at_once(parse, texts) == [parse(text) for text in texts],
            "parse() reads otherwise when several threads call it",
        )


def _parse(role: Role, extraction: Extraction, text: str) -> Prediction:
    return role.parse(generated(text), extraction)


def _check_prediction(role: Role, prediction: Prediction) -> None:
    must(isinstance(prediction, Prediction), "parse() must return a Prediction")
    must(prediction.validity in ("as_is", "extracted", "none"), f"{prediction.validity=}")
    unknown = set(prediction.fields) - {field.name for field in role.outputs}
    must(not unknown, f"parse() found fields that are no outputs: {sorted(unknown)}")


def check_metric(metric: Metric, cases: Iterable[tuple[Example, Prediction]]) -> None:
    """Check a metric on examples and predictions: pure, bounded, and true to its components.

    Raises:
        AssertionError: the first promise that is broken.
    """
    must(bool(metric.name), "name is empty")
    must(
        metric.version == 0 or is_count(metric.version),
        "version must be an integer of at least 1, or 0 while experimental",
    )
    must(isinstance(metric.higher_is_better, bool), "higher_is_better must be True or False")
    must(math.isfinite(metric.attainable_max), "attainable_max must be finite")
    must_be_json(dict(metric.components), "components")
    found = list(cases)
    must(bool(found), "check_metric needs at least one case")
    example = found[0][0]
    nothing = Prediction(fields={}, validity="none")
    huge = {name: HUGE_TEXT for _, p in found for name, v in p.fields.items() if v is not None}
    with silence("a metric"):
        for case in (*found, (example, nothing)):
            _check_score(metric, *case)
        with suppress(ValueError, BaftError):  # may be refused, but in no other way
            _check_score(metric, example, Prediction(fields=huge, validity="as_is"))
        some = (found * THREADED)[:THREADED]
        one_by_one = [metric.score(*case) for case in some]
        threaded = at_once(lambda case: metric.score(*case), some)
        must(one_by_one == threaded, "score() scores otherwise when several threads call it")
        if isinstance(metric, Bounded):
            _check_bounds(metric, metric.score(example, nothing).value, metric.attainable_max)


def _check_bounds(metric: Bounded, empty: float, most: float) -> None:
    must(
        math.isclose(metric.floor, empty, abs_tol=1e-9),
        f"floor is {metric.floor}, but an empty answer scores {empty}",
    )
    for what, ceiling in metric.ceilings.items():
        must(
            metric.floor <= ceiling <= most,
            f"the ceiling {what!r} of {ceiling} lies outside floor and attainable_max",
        )


def _check_score(metric: Metric, example: Example, prediction: Prediction) -> None:
    before = digest([dict(example.inputs), dict(prediction.fields)])
    score = metric.score(example, prediction)
    must(isinstance(score, Score), "score() must return a Score")
    must(score == metric.score(example, prediction), "score() gives two scores for one case")
    after = digest([dict(example.inputs), dict(prediction.fields)])
    must(before == after, "score() must not change the example or the prediction")
    must_be_json(asdict(score), "a score")
    must(
        not metric.higher_is_better or score.value <= metric.attainable_max + 1e-9,
        f"the score {score.value} is above attainable_max {metric.attainable_max}",
    )
    unknown = set(score.components) - set(metric.components)
    must(not unknown, f"components {sorted(unknown)} are not announced")
    for name, points in score.components.items():
        most = metric.components[name]
        must(points <= most + 1e-9, f"{name} has {points} points of {most}")
