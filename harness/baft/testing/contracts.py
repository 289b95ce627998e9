"""What every backend, role and metric must keep to: the checks that baft runs over its own.

A plugin's test calls them with its own things; what is broken is an ``AssertionError`` of one
sentence.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import BackendError
from ..protocols import Bounded
from ..records import (
    Decoding,
    Example,
    Field,
    Generation,
    Message,
    Prediction,
    Prompt,
    Score,
    digest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ..protocols import Backend, Metric, Role

DECODING = Decoding(temperature=0.0, max_tokens=16, seed=7, num_ctx=512)

HUGE = 200_000
"""Characters of a text that is far too long."""

ODD_TEXTS = (
    "",
    " \n\t",
    "\x00\x1b[2J\ufffe",
    "título: año 🦊",
    "```yaml\ntitle: a",
    "{" * 500,
    "[" * 500,
    "title: &a [*a, *a]\n",
    "a: b: c\n\t- d",
    "<think>hm</think>",
)
"""Answers that models do give, and that no parser may stumble over."""


def prompt_of(text: str, example_id: str = "e1") -> Prompt:
    """A prompt of one user message."""
    return Prompt(
        example_id=example_id,
        inputs={"text": text},
        messages=(Message(role="user", content=text),),
    )


def check_backend(
    make: Callable[[], Backend],
    prompts: Sequence[Prompt] = (),
    *,
    unreachable: Callable[[], Backend] | None = None,
) -> None:
    """Check a backend: identity, order, concurrency, odd inputs, errors.

    Args:
        make: opens the same model anew each time.
        prompts: what it can answer, ids all different; three short prompts by default.
        unreachable: opens one whose server or files are gone; the factory may raise as well.

    Raises:
        AssertionError: the first promise that is broken.
    """
    prompts = prompts or [prompt_of(f"Say {word}.", word) for word in ("one", "two", "three")]
    backend = make()
    _check_identity(backend, make())
    asyncio.run(_check_generating(backend, prompts))
    if unreachable is not None:
        _check_unreachable(unreachable)


def _check_identity(backend: Backend, other: Backend) -> None:
    _must(isinstance(backend.spec, str) and ":" in backend.spec, "spec must be SCHEME:TARGET")
    _must(_is_count(backend.batch_size), "batch_size must be an integer of at least 1")
    _must(
        backend.max_concurrency is None or _is_count(backend.max_concurrency),
        "max_concurrency must be None or an integer of at least 1",
    )
    first = backend.fingerprint()
    _must(bool(re.fullmatch("[0-9a-f]{64}", first)), f"fingerprint {first!r} is no SHA-256 in hex")
    _must(backend.fingerprint() == first, "the fingerprint changes from one call to the next")
    _must(other.fingerprint() == first, "opened again, the same model has another fingerprint")
    facts = backend.describe()
    _check_json(dict(facts), "describe()")
    _must(bool(facts.get("provider")), "describe() must name a provider")
    asyncio.run(other.close())


async def _check_generating(backend: Backend, prompts: Sequence[Prompt]) -> None:
    size = backend.batch_size
    try:
        for order in (prompts, prompts[::-1]):
            batches = [order[i : i + size] for i in range(0, len(order), size)]
            for batch in batches:
                _check_answers(batch, await backend.generate(batch, DECODING))
        width = min(backend.max_concurrency or 8, 8)
        for i in range(0, len(prompts), width):
            some = prompts[i : i + width]
            calls = [backend.generate([prompt], DECODING) for prompt in some]
            for prompt, answers in zip(some, await asyncio.gather(*calls), strict=True):
                _check_answers([prompt], answers)
        for text in ("", "\x00 🦊", "half a character: \ud800", "word " * (HUGE // 5)):
            with suppress(BackendError):  # may be refused, but in no other way
                odd = [prompt_of(text)]
                _check_answers(odd, await backend.generate(odd, DECODING))
    finally:
        await backend.close()


def _check_answers(batch: Sequence[Prompt], answers: Any) -> None:
    _must(isinstance(answers, list), "generate() must return a list")
    _must(all(isinstance(a, Generation) for a in answers), "generate() must return Generations")
    asked, given = [p.example_id for p in batch], [a.example_id for a in answers]
    _must(asked == given, f"asked for {asked}, generate() answered {given}: one each, in order")
    for answer in answers:
        _must(isinstance(answer.text, str), "the text of a generation must be a string")
        tokens = (answer.prompt_tokens, answer.completion_tokens)
        _must(all(t is None or t >= 0 for t in tokens), f"token counts {tokens} below 0")
        seconds = answer.latency_s
        _must(seconds is None or 0 <= seconds < math.inf, f"latency of {seconds} s")


def _check_unreachable(make: Callable[[], Backend]) -> None:
    try:
        backend = make()
        backend.fingerprint()
    except BackendError as error:
        _must(error.gone, "a backend that cannot be reached at all must say gone=True")
        _must(bool(error.hint), "an error must say what to do next")
    else:
        _must(False, "fingerprint() of a backend that cannot be reached must raise BackendError")
    backend = make()

    async def ask() -> None:
        try:
            await backend.generate([prompt_of("Say one.")], DECODING)
        except BackendError:
            return
        finally:
            await backend.close()
        _must(False, "generate() of a backend that cannot be reached must raise BackendError")

    asyncio.run(ask())


def check_role(role: Role, rows: Iterable[Mapping[str, Any]]) -> None:
    """Check a role on valid rows of a dataset: stable, honest, and not to be upset.

    Raises:
        AssertionError: the first promise that is broken.
    """
    for name in ("name", "task", "metric", "answer_label"):
        _must(bool(getattr(role, name).strip()), f"{name} is empty")
    for fields in (role.inputs, role.outputs):
        _must(bool(fields), "a role needs inputs and outputs")
        _must(all(isinstance(field, Field) for field in fields), "inputs and outputs are Field")
        names = [field.name for field in fields]
        _must(len(set(names)) == len(names), f"two fields of one name in {names}")
    for row in rows:
        _check_row(role, row)
    for bad in ({}, {"nothing": 1}, {field.name: None for field in role.inputs}):
        try:
            role.example(bad)
        except ValueError:
            continue
        _must(False, f"example({bad}) must raise ValueError")
    for text in (*ODD_TEXTS, "word " * (HUGE // 5)):
        for extraction in ("strict", "lenient"):
            _check_prediction(role, role.parse(_generated(text), extraction))


def _check_row(role: Role, row: Mapping[str, Any]) -> None:
    before = digest(dict(row))
    example = role.example(row)
    _must(digest(dict(row)) == before, "example() must not change the row")
    _must(example == role.example(row), "example() gives two examples for one row")
    missing = [field.name for field in role.inputs if field.name not in example.inputs]
    _must(not missing, f"the example lacks the inputs {missing}")
    prompt = role.prompt(example)
    _must(prompt == role.prompt(example), "prompt() gives two prompts for one example")
    _must(prompt.example_id == example.id, "the prompt names another example")
    _must(any(m.role == "user" for m in prompt.messages), "the prompt has no user message")
    if example.reference is None:
        return
    blind = Example(id=example.id, inputs=example.inputs)
    _must(role.prompt(blind) == prompt, "the prompt depends on the reference")
    target = role.target(example)
    for extraction in ("strict", "lenient"):
        prediction = role.parse(_generated(target, example.id), extraction)
        _check_prediction(role, prediction)
        _must(prediction.validity == "as_is", f"the target does not parse as it stands: {target!r}")
        lost = [name for name in example.reference if name not in prediction.fields]
        _must(not lost, f"the target does not hold {lost} of the reference")


def _check_prediction(role: Role, prediction: Prediction) -> None:
    _must(isinstance(prediction, Prediction), "parse() must return a Prediction")
    unknown = set(prediction.fields) - {field.name for field in role.outputs}
    _must(not unknown, f"parse() found fields that are no outputs: {sorted(unknown)}")


def check_metric(metric: Metric, cases: Iterable[tuple[Example, Prediction]]) -> None:
    """Check a metric on examples and predictions: pure, bounded, and true to its components.

    Raises:
        AssertionError: the first promise that is broken.
    """
    _must(bool(metric.name), "name is empty")
    _must(
        metric.version == 0 or _is_count(metric.version),
        "version must be an integer of at least 1, or 0 while experimental",
    )
    _must(isinstance(metric.higher_is_better, bool), "higher_is_better must be True or False")
    _must(math.isfinite(metric.attainable_max), "attainable_max must be finite")
    _check_json(dict(metric.components), "components")
    example = None
    for example, prediction in cases:
        _check_score(metric, example, prediction)
    _must(example is not None, "check_metric needs at least one case")
    nothing = Prediction(fields={}, validity="none")
    _check_score(metric, example, nothing)  # type: ignore[arg-type]
    if isinstance(metric, Bounded):
        _check_bounds(metric, metric.score(example, nothing).value, metric.attainable_max)  # type: ignore[arg-type]


def _check_bounds(metric: Bounded, empty: float, most: float) -> None:
    _must(
        math.isclose(metric.floor, empty, abs_tol=1e-9),
        f"floor is {metric.floor}, but an empty answer scores {empty}",
    )
    for what, ceiling in metric.ceilings.items():
        _must(
            metric.floor <= ceiling <= most,
            f"the ceiling {what!r} of {ceiling} lies outside floor and attainable_max",
        )


def _check_score(metric: Metric, example: Example, prediction: Prediction) -> None:
    before = digest([dict(example.inputs), dict(prediction.fields)])
    score = metric.score(example, prediction)
    _must(isinstance(score, Score), "score() must return a Score")
    _must(score == metric.score(example, prediction), "score() gives two scores for one case")
    after = digest([dict(example.inputs), dict(prediction.fields)])
    _must(before == after, "score() must not change the example or the prediction")
    _must(
        not metric.higher_is_better or score.value <= metric.attainable_max + 1e-9,
        f"the score {score.value} is above attainable_max {metric.attainable_max}",
    )
    unknown = set(score.components) - set(metric.components)
    _must(not unknown, f"components {sorted(unknown)} are not announced")
    for name, points in score.components.items():
        most = metric.components[name]
        _must(points <= most + 1e-9, f"{name} has {points} points of {most}")


def _generated(text: str, example_id: str = "e1") -> Generation:
    return Generation(example_id=example_id, text=text)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_json(value: object, what: str) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{what} must be JSON-able: {error}") from error


def _must(holds: bool, why: str) -> None:
    if not holds:
        raise AssertionError(why)
