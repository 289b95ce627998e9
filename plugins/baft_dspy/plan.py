"""What every optimizer is given, and what it says beforehand that it may cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from baft import Generation

    from .options import Options
    from .trials import Trials


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much a search is, at most."""

    trials: int
    """Programs scored on the selection set, the baseline and repeated ones included."""
    calls: int
    """Prompts sent; answers that are on record cost nothing, so most searches need fewer."""

    def estimate(self, measured: Generation | None, at_once: int) -> dict[str, Any]:
        """Trials, calls, tokens and minutes, at most, if all calls are like the one measured.

        Args:
            measured: one answer with its tokens and latency; None where there is none.
            at_once: calls under way at the same time.
        """
        found: dict[str, Any] = {"trials": self.trials, "calls": self.calls}
        if measured is not None:
            counts = (measured.prompt_tokens, measured.completion_tokens)
            tokens = sum(count for count in counts if count is not None)
            seconds = measured.latency_s or 0.0
            found |= {
                "tokens": self.calls * tokens if tokens else None,
                "minutes": self.calls * seconds / 60 / at_once,
                "measured": {"tokens": tokens or None, "seconds": seconds, "at_once": at_once},
            }
        return found


def estimate_text(estimate: dict[str, Any]) -> str:
    """The estimate as one sentence.

    >>> estimate_text({"trials": 3, "calls": 66})
    'estimate: at most 3 trials and 66 calls'
    """
    text = f"estimate: at most {estimate['trials']} trials and {estimate['calls']} calls"
    if "measured" not in estimate:
        return text
    tokens = f"{estimate['tokens']} tokens, " if estimate["tokens"] else ""
    measured = estimate["measured"]
    return (
        f"{text}, {tokens}{estimate['minutes']:.1f} minutes (one call took "
        f"{measured['seconds']:.2f} s; {measured['at_once']} at once)"
    )


@dataclass(slots=True, kw_only=True)
class Task:
    """One search: what there is to work with, and what it found besides its trials."""

    options: Options
    trials: Trials
    baseline: Any
    """The program to improve on; scored already."""
    student: Any
    """The same, for optimizers that run programs by themselves."""
    train: list[Any]
    """DSPy examples to learn from."""
    val: list[Any]
    """DSPy examples to select on."""
    lm: Any
    prompt_lm: Any
    threads: int
    instructions: Sequence[str]
    """Instructions to try besides the baseline's."""
    good_enough: float
    """Least score of an answer that becomes a demonstration."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the info says of the search besides its trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One of DSPy's optimizers."""

    dspy_class: str
    """Its name in DSPy."""
    package: str | None
    """What must be installed besides DSPy."""
    plan: Callable[[Options, int, int], Plan]
    """The most that a search costs, for so many examples to train and to select on."""
    search: Callable[[Task], None]
    """Searches; every program worth a look has been through ``task.trials`` when it ends."""
