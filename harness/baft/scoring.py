"""What a model answered becomes a score, or a failure of that one example; no model is called."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import DataError
from .loader import describe, load_plugins, off_stdout
from .records import Example, Failure, Generation, Score, Scored
from .replay import keys
from .store.replays import replay_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from .protocols import Metric, Role
    from .records import Extraction


def score_all(
    role: Role,
    metric: Metric,
    pairs: Sequence[tuple[Example, Generation]],
    repeat: int,
    extraction: Extraction,
) -> list[Scored]:
    """Score generations one by one; an exception is that example's failure."""
    return [score_one(role, metric, e, g, repeat, extraction) for e, g in pairs]


def score_one(
    role: Role,
    metric: Metric,
    example: Example,
    generation: Generation,
    repeat: int,
    extraction: Extraction,
) -> Scored:
    """Prediction and score under the chosen extraction, and the score under the other one."""
    stage = "parse"
    try:
        lenient = role.parse(generation, "lenient")
        strict = lenient if lenient.validity == "as_is" else role.parse(generation, "strict")
        chosen, other = (lenient, strict) if extraction == "lenient" else (strict, lenient)
        is_told = chosen.validity == lenient.validity
        prediction = chosen if is_told else replace(chosen, validity=lenient.validity)
        stage = "score"
        score = metric.score(example, prediction)
        if not isinstance(score, Score):
            raise TypeError(f"the metric gave {score!r:.80} and no Score")
    except (Exception, SystemExit) as error:  # border: one example's parser or metric
        failure = Failure(
            example_id=example.id,
            stage="score" if stage == "score" else "parse",
            reason=describe(error),
        )
        return Scored(example_id=example.id, repeat=repeat, generation=generation, failure=failure)
    return Scored(
        example_id=example.id,
        repeat=repeat,
        generation=generation,
        prediction=prediction,
        score=score,
        other_score=score.value if other is chosen else _value(metric, example, other),
    )


def _value(metric: Metric, example: Example, prediction: object) -> float | None:
    try:
        return metric.score(example, prediction).value  # type: ignore[arg-type]
    except Exception:  # border: one example; only the side figure is lost, and shown as missing
        return None


_process: dict[str, object] = {}
"""Role and metric of a scoring process, set once as it starts; empty in every other process."""


def start_process(role: str, metric: str, blocked: tuple[str, ...]) -> None:
    """Make this process one that scores: load role and metric by name, keep stdout clean."""
    os.dup2(2, 1)  # stdout is for results
    plugins = load_plugins(blocked=blocked)
    _process["role"], _process["metric"] = plugins.role(role), plugins.metric(metric)


def score_in_process(
    pairs: list[tuple[Example, Generation]], repeat: int, extraction: Extraction
) -> list[Scored]:
    """``score_all`` in such a process; the results come without the answers they belong to."""
    scored = score_all(_process["role"], _process["metric"], pairs, repeat, extraction)  # type: ignore[arg-type]
    return [replace(result, generation=None) for result in scored]


def score_lines(
    path: Path,
    role: Role,
    metric: Metric,
    extraction: Extraction,
    examples: Iterable[Example] | None = None,
) -> Iterator[tuple[Example, Scored]]:
    """One result for each line of a replay file, in order, with the example it answers.

    Args:
        path: the file.
        role: what reads the outputs.
        metric: what scores them.
        extraction: how the outputs are read.
        examples: those that are answered. Without them an example holds what its line says, which
            is the id where it names that alone.

    Raises:
        DataError: the file is missing, a line is broken, or it answers none of the examples.
    """
    known = {key: one for one in examples or () for key in keys(one.id, one.inputs)}
    for row in replay_rows(path):
        example = Example(id=row.example_id, inputs=row.inputs or {"id": row.example_id})
        if examples is not None:
            if row.key not in known:
                raise DataError(
                    f"{path}, line {row.line}: no example has {row.key[0]} {row.key[1][:60]!r}.",
                    "Name the dataset that was answered, or leave the line out.",
                )
            example = known[row.key]
        generation = Generation(
            example_id=example.id,
            text=row.output if isinstance(row.output, str) else "",
            fields=None if isinstance(row.output, str) else row.output,
        )
        with off_stdout():
            scored = score_one(role, metric, example, generation, 0, extraction)
        yield example, scored
