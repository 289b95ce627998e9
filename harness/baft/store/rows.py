"""What a row of a run's store holds, read and written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..records import Example, Failure, Generation, Prediction, Prompt, Score, Scored
from .codec import decode, encode, finite, plain, to_data
from .prompts import messages_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """The numbers of one result, without its texts; what summaries are made of."""

    example_id: str
    repeat: int
    value: float | None
    components: dict[str, float]
    other_score: float | None
    validity: str | None
    failure: str | None
    """``stage: reason`` where there is no score."""
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    latency_s: float | None
    first_token_s: float | None = None


def dump(value: Any) -> str:
    """Any value as JSON that SQLite can hold."""
    try:
        text = encode(value)
    except (ValueError, TypeError):
        text = json.dumps(finite(to_data(value)), ensure_ascii=False, default=plain)
    return storable(text)


def storable(text: str) -> str:
    """Text that SQLite can hold: lone surrogates are written as escapes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text


def prompt_of(example: Example, messages: str) -> Prompt:
    """The prompt of an example and of its stored messages."""
    return Prompt(example_id=example.id, inputs=example.inputs, messages=messages_of(messages))


def generation_of(row: Sequence[Any]) -> Generation:
    """A row of ``generations``."""
    return Generation(
        example_id=row[1],
        text=row[3],
        fields=decode(row[4]) if row[4] is not None else None,
        finish_reason=row[5],
        prompt_tokens=row[6],
        completion_tokens=row[7],
        latency_s=row[8],
        sent=messages_of(row[9]) if row[9] is not None else None,
        notes=tuple(decode(row[10])) if row[10] is not None else (),
        prompt_sha256=row[11] if len(row) > 11 else None,  # a reader leaves old stores as they are
        first_token_s=row[12] if len(row) > 12 else None,
    )


def scored_of(row: Sequence[Any]) -> Scored:
    """A row of ``results`` beside that of ``generations``, the latter empty where nothing came."""
    failure = (
        Failure(example_id=row[1], stage=row[8], reason=row[9], attempts=row[10])
        if row[8] is not None
        else None
    )
    return Scored(
        example_id=row[1],
        repeat=row[2],
        generation=generation_of(row[11:]) if row[11] is not None else None,
        prediction=(
            Prediction(fields=decode(row[3]), validity=row[4]) if row[3] is not None else None
        ),
        score=(Score(value=row[5], components=decode(row[6])) if failure is None else None),
        other_score=row[7],
        failure=failure,
    )
