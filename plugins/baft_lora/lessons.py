"""Examples as the model sees them: token ids, and which of them are to be learnt."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import baft

from .rendering import answer_ids, prompt_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .options import Options


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One example as the model sees it."""

    example_id: str
    ids: tuple[int, ...]
    """Prompt, answer and end token."""
    prompt_tokens: int
    """How many of them are not to be learnt."""


def lessons(
    role: baft.Role, tokenizer: Any, examples: Sequence[baft.Example], options: Options
) -> list[Lesson]:
    """Examples as token ids: the prompt as it is asked, then the target and the end token.

    Raises:
        DataError: examples have no reference, or are too long and may not be cut.
    """
    made, unusable = [], []
    for example in examples:
        try:
            made.append(lesson(role, tokenizer, example))
        except ValueError:
            unusable.append(example.id)
    if unusable:
        raise baft.DataError(
            f"{len(unusable)} of {len(examples)} examples have no reference to learn from: "
            f"{_some(unusable)}.",
            "Remove them, or add the reference.",
        )
    size = options.max_length
    long = [row.example_id for row in made if len(row.ids) > size]
    if long and not options.truncate:
        longest = max(len(row.ids) for row in made)
        raise baft.DataError(
            f"{len(long)} of {len(made)} examples are longer than {size} tokens "
            f"(the longest has {longest}): {_some(long)}.",
            f"Give --max-length {longest}, or --truncate to cut their answers.",
        )
    cut = [dataclasses.replace(row, ids=row.ids[:size]) for row in made]
    empty = [row.example_id for row in cut if row.prompt_tokens >= len(row.ids)]
    if empty:
        raise baft.DataError(
            f"Cut to {size} tokens, nothing is left to learn of {_some(empty)}.",
            "Give a greater --max-length.",
        )
    if options.loss == "full":
        return [dataclasses.replace(row, prompt_tokens=0) for row in cut]
    return cut


def lesson(role: baft.Role, tokenizer: Any, example: baft.Example) -> Lesson:
    """One example as token ids, uncut.

    Raises:
        ValueError: it has no reference.
    """
    target = role.target(example)
    prompt = prompt_ids(tokenizer, role.prompt(example).messages)
    ids = (*prompt, *answer_ids(tokenizer, target))
    return Lesson(example_id=example.id, ids=ids, prompt_tokens=len(prompt))


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:10]) + (f" and {len(ids) - 10} more" if len(ids) > 10 else "")
