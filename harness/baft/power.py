"""What a set of this size can and cannot tell: pure arithmetic, seeded, no clock, no files.

NumPy and SciPy are imported inside the functions: commands that compute nothing do not wait.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_EXAMPLES = 1_000_000
"""A difference that takes more examples than this is called out of reach."""

DRAWS = 10_000
"""Simulated runs behind a probability: its standard error is 0.005 at most."""

CELLS = 2_000_000
"""Scores drawn at most for one probability, so that large samples stay fast (then 0.011)."""

LARGE = 1_000
"""From so many examples on the mean is taken as normal instead of resampled."""


def smallest_detectable(
    std: float, n: int, *, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """Smallest mean difference found with ``power``: (t[1-α/2] + t[power])·s/√n; None below n = 2.

    Miller 2024 (arXiv 2411.00640), section 5, with t for the normal quantiles.

    >>> round(smallest_detectable(0.12, 22), 4)
    0.0752
    """
    from scipy import special

    if n < 2:
        return None
    quantiles = special.stdtrit(n - 1, 1 - alpha / 2) + special.stdtrit(n - 1, power)
    return float(quantiles * std / math.sqrt(n))


def examples_needed(
    gap: float | None, std: float | None, *, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """Fewest examples with which a true difference ``gap`` would be clear, two-sided.

    ``smallest_detectable`` solved for n: the least n at which it is no larger than ``gap``.

    Args:
        gap: the difference, of either sign.
        std: sample standard deviation of what is averaged.
        alpha: two-sided level.
        power: how often the difference is then found.

    Returns:
        At least 2; None where nothing would settle it: no gap, or more than a million examples.

    >>> examples_needed(0.05, 0.12), examples_needed(0.0, 0.12)
    (48, None)
    """
    from scipy import special

    if gap is None or std is None or not math.isfinite(gap) or not math.isfinite(std) or gap == 0:
        return None
    ratio = abs(gap) / std if std > 0 else math.inf
    normal = float(special.ndtri(1 - alpha / 2) + special.ndtri(power))
    if normal > ratio * math.sqrt(MOST_EXAMPLES):
        return None
    n = max(2, math.ceil((normal / ratio) ** 2))  # t quantiles are larger: n is at least this
    while (smallest_detectable(1.0, n, alpha=alpha, power=power) or 0.0) > ratio:
        n += 1
    return n


def shifted(values: Any, centre: float, most: float) -> Any:
    """The scores moved so that, clipped to 0..``most``, their mean is ``centre``; shape (n,).

    Args:
        values: scores, shape (n,), n ≥ 1.
        centre: the mean asked for, from 0 to ``most``.
        most: best attainable score.
    """
    import numpy as np

    low, high = -float(values.max()), most - float(values.min())  # all at 0; all at most
    for _ in range(60):  # bisection: the clipped mean grows with the shift
        middle = (low + high) / 2
        if float(np.clip(values + middle, 0.0, most).mean()) < centre:
            low = middle
        else:
            high = middle
    return np.clip(values + high, 0.0, most)


def pass_probabilities(
    scores: Sequence[float],
    truths: Sequence[float],
    threshold: float,
    *,
    most: float,
    require_bound: bool = False,
    seed: int = 0,
) -> list[float | None]:
    """How often a run of this size passes the threshold if the true mean is each of ``truths``.

    The candidate's own scores stand for the shape of the distribution: centred on the true mean,
    clipped to what is attainable, drawn with replacement n at a time (bootstrap power calculation,
    Efron & Tibshirani 1993, chapter 25). All truths see the same draws, so the
    curve never falls. From n = 1,000 on the mean is taken as normal.

    Args:
        scores: the candidate's, shape (n,), in any order.
        truths: true means to try.
        threshold: least mean that passes.
        most: best attainable score.
        require_bound: the one-sided 95 % lower t bound, not the mean, must reach the threshold.
        seed: of the draws.

    Returns:
        One share for each truth; None where the truth is not attainable, and everywhere below
        n = 2 or without spread.
    """
    import numpy as np
    from scipy import special

    values = np.sort(np.asarray(scores, dtype=float))  # (n,)
    n = len(values)
    if n < 2 or not np.isfinite(values).all() or np.ptp(values) == 0:
        return [None] * len(truths)
    quantile = float(special.stdtrit(n - 1, 0.95)) / math.sqrt(n) if require_bound else 0.0
    bar = threshold - 1e-12
    draws = max(1, min(DRAWS, CELLS // n))
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, n, (draws, n)) if n < LARGE else None  # (draws, n)
    found: list[float | None] = []
    for truth in truths:
        if not 0 <= truth <= most:
            found.append(None)
            continue
        moved = shifted(values, truth, most)
        if picks is None:
            spread = float(moved.std(ddof=1))
            gap = float(moved.mean()) - quantile * spread - bar
            scale = spread / math.sqrt(n)
            found.append(float(special.ndtr(gap / scale)) if scale > 0 else float(gap >= 0))
            continue
        drawn = moved[picks]
        bounds = drawn.mean(axis=1)  # (draws,)
        if quantile:
            bounds -= quantile * drawn.std(axis=1, ddof=1)
        found.append(float((bounds >= bar).mean()))
    return found
