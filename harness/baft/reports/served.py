"""An export in words: what the served model lost against the one it was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .numbers import difference, exact, score

if TYPE_CHECKING:
    from ..records import PairedTest


def served_text(test: PairedTest, mean: float | None, max_loss: float) -> str:
    """Two lines: the loss with its interval, and whether it is too large.

    Args:
        test: the model against the served one.
        mean: the served model's mean.
        max_loss: largest loss that is accepted.
    """
    loss = test.mean_difference
    change = None if loss is None else -loss
    between = None if test.ci95 is None else (-test.ci95.high, -test.ci95.low)
    span = "" if between is None else f" (95 % interval {' to '.join(map(difference, between))})"
    told = f"{test.b} scores {score(mean)}, {difference(change)} against {test.a}{span}, n {test.n}"
    bound = exact(max_loss)
    if loss is not None and loss <= max_loss:
        return f"{told}\nThat is within the {bound} that may be lost."
    return f"{told}\nThat is more than the {bound} that may be lost: it is not the model that was \
measured."
