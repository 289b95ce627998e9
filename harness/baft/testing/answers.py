"""What fakes answer, and how they fail when they are told to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a fake server gives for one request; a plain string stands for ``Answer(text=…)``."""

    text: str = ""
    """The answer of the model."""
    thinking: str = ""
    """What a thinking model thought, beside the answer."""
    finish_reason: str | None = None
    """None: ``length`` where the request's limit cuts the text, else ``stop``."""
    prompt_tokens: int | None = None
    """None: words of the prompt."""
    load_s: float = 0.0
    """Seconds that loading the model is said to have taken (Ollama)."""
    delay_s: float = 0.0
    """Seconds to wait before anything is sent."""
    status: int = 200
    """HTTP status."""
    error: str = ""
    """The error's text; with status 200 it comes after half the answer where that is streamed."""
    retry_after: str = ""
    """Value of the header ``Retry-After``."""
    cut: Literal["", "before", "within"] = ""
    """Drop the connection before the first byte, or within the body."""


class Fault(Enum):
    """Six ways to fail that another try may cure."""

    BUSY = Answer(
        status=503, error="server busy, please try again.  maximum pending requests exceeded"
    )
    """A full queue, in Ollama's words (two spaces are its own)."""
    BROKEN = Answer(status=500, error="model runner has unexpectedly stopped")
    """The model crashed under the server."""
    LIMITED = Answer(status=429, error="too many requests", retry_after="0")
    """A rate limit that may be tried again at once."""
    DROPPED = Answer(cut="before")
    """The connection closes without an answer."""
    TRUNCATED = Answer(text="An answer that never arrives whole.", cut="within")
    """The connection closes within the body."""
    ERROR_IN_200 = Answer(text="Half an answer.", error="unexpected EOF")
    """Status 200, and then an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request for an answer, as a fake server received it."""

    path: str
    """Path of the URL."""
    model: str
    """The model asked for."""
    text: str
    """The last message, or the prompt where there is no chat."""
    body: Mapping[str, Any]
    """The whole request."""
    headers: Mapping[str, str]
    """By lower-case name."""
    attempt: int
    """1 where this text is asked for the first time."""


Reply = str | Answer | Fault

Answers = Reply | Mapping[str, Reply] | Callable[[Asked], Reply]
"""One answer for all; a table by a part of the prompt's text; or a function of the request."""


def answer_to(answers: Answers, asked: Asked) -> Answer:
    """The answer to one request; 500 where a table holds none."""
    found: Reply | None
    if isinstance(answers, Mapping):
        found = next((answers[part] for part in answers if part in asked.text), None)
    elif isinstance(answers, str | Answer | Fault):
        found = answers
    else:
        found = answers(asked)
    if isinstance(found, Fault):
        return found.value
    if found is None:
        return Answer(status=500, error=f"the table holds no answer to {asked.text[:60]!r}")
    return found if isinstance(found, Answer) else Answer(text=found)


def failing_first(
    answers: Answers, *, faults: Sequence[Fault | Answer] = tuple(Fault), tenths: int = 9
) -> Callable[[Asked], Answer]:
    """Let the first attempt of ``tenths`` in ten prompts fail, in every way of ``faults`` in turn.

    Which prompts fail depends on how many were asked before, never on chance.
    """
    firsts = 0

    def answer(asked: Asked) -> Answer:
        nonlocal firsts
        if asked.attempt > 1:
            return answer_to(answers, asked)
        firsts += 1
        failing = (firsts - 1) % 10 < tenths
        return answer_to(faults[firsts % len(faults)] if failing else answers, asked)

    return answer


def limited(answer: Answer, max_tokens: int) -> Answer:
    """The answer after a limit on its tokens (words here), with its reason to finish."""
    words = answer.text.split(" ")
    if answer.finish_reason is not None:
        return answer
    if 0 <= max_tokens < len(words):
        return replace(answer, text=" ".join(words[:max_tokens]), finish_reason="length")
    return replace(answer, finish_reason="stop")
