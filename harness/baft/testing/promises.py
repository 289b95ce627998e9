"""What all contract checks share: promises, the odd and the huge, and a clean stdout."""

from __future__ import annotations

import contextlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from ..records import Decoding, Generation, Message, Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

DECODING = Decoding(temperature=0.0, max_tokens=16, seed=7, num_ctx=512)

HUGE = 200_000
"""Characters of a text that is far too long."""

ODD_TEXTS = (
    "",
    "   \n\t",
    "prose without any structure",
    "\x00\x1b[31m\u202e🦊 á",
    "half a character: \ud800",
    "```yaml\ntitle: a\n```",
    "```\ntitle: a",
    "{" * 500,
    "[" * 500,
    "title: &a [*a, *a]\n",
    "a: b: c\n\t- d",
    "<think>hm</think>",
)
"""Answers that models do give, and that no parser may stumble over."""

HUGE_TEXT = "word " * (HUGE // 5)


def prompt_of(text: str, example_id: str = "e1") -> Prompt:
    """A prompt of one user message."""
    return Prompt(
        example_id=example_id,
        inputs={"text": text},
        messages=(Message(role="user", content=text),),
    )


def generated(text: str, example_id: str = "e1") -> Generation:
    """A generation of that text."""
    return Generation(example_id=example_id, text=text)


def must(holds: bool, why: str) -> None:
    """Raise ``AssertionError`` with the broken promise; works under ``python -O`` as well."""
    if not holds:
        raise AssertionError(why)


def must_be_json(value: object, what: str) -> None:
    """Anything that goes into a report must be JSON, without NaN or infinity."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{what} must be JSON-able: {error}") from error


def is_count(value: object) -> bool:
    """Whether it is an integer of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


@contextlib.contextmanager
def silence(what: str) -> Iterator[None]:
    """Nothing may be printed on stdout in here: that is where baft writes results."""
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard):
        yield
    said = heard.getvalue()
    must(not said, f"{what} must print nothing on stdout, not {said[:60]!r}")


def at_once(call: Callable[[T], Any], items: Sequence[T]) -> list[Any]:
    """The results of many calls from eight threads, in order."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(call, items))
