"""Pure arithmetic over scores: means, intervals, paired differences, power. No clock, no files.

NumPy and SciPy are imported inside the functions: commands that compute nothing do not wait.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .records import Interval, PairedTest, Summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESAMPLES = 9_999
"""Bootstrap resamples; Efron & Tibshirani 1993 ask for at least 1,000 for an interval."""

LARGE = 1_000
"""From so many examples on, t and normal forms replace resampling: they agree to 3 digits there."""

EXACT = 14
"""Up to so many non-zero differences the sign-flip test enumerates all patterns (2^14)."""


def summarise(scores: Sequence[float], failures: int, *, seed: int = 0) -> Summary:
    """Aggregates of one arm's scores, in any order.

    Args:
        scores: one number for each example that has one; shape (n,).
        failures: examples without a score; counted, never averaged.
        seed: of the bootstrap.
    """
    import numpy as np

    n = len(scores)
    if n == 0:
        return Summary(
            n=0,
            failures=failures,
            mean=None,
            median=None,
            std=None,
            min=None,
            max=None,
            pass_rate_08=None,
            pass_rate_09=None,
            perfect_rate=None,
            ci95=None,
        )
    values = np.asarray(scores, dtype=float)  # (n,)
    return Summary(
        n=n,
        failures=failures,
        mean=mean(scores),
        median=float(np.median(values)),
        std=float(values.std(ddof=1)) if n > 1 else None,
        min=float(values.min()),
        max=float(values.max()),
        pass_rate_08=float((values >= 0.8).mean()),
        pass_rate_09=float((values >= 0.9).mean()),
        perfect_rate=float((values >= 1.0).mean()),
        ci95=mean_interval(values, seed=seed),
    )


def mean(scores: Sequence[float]) -> float:
    """Exactly rounded arithmetic mean, the same in every order.

    >>> mean([0.1] * 10)
    0.1
    """
    return math.fsum(scores) / len(scores)


def mean_interval(values: Any, *, level: float = 0.95, seed: int = 0) -> Interval | None:
    """Interval of the mean: BCa bootstrap (Efron 1987), t for large n or where BCa has no value.

    Without spread the interval is the point itself; below n = 2 there is none.
    """
    import numpy as np
    from scipy import stats

    values = np.asarray(values, dtype=float)  # (n,)
    n = len(values)
    if n < 2:
        return None
    centre = float(values.mean())
    if float(np.ptp(values)) == 0.0:
        return Interval(low=centre, high=centre, level=level, method="no spread")
    if n < LARGE:
        found = stats.bootstrap(
            (values,),
            np.mean,
            confidence_level=level,
            n_resamples=RESAMPLES,
            method="BCa",
            rng=np.random.default_rng(seed),
            vectorized=True,
        ).confidence_interval
        if math.isfinite(found.low) and math.isfinite(found.high):
            return Interval(low=float(found.low), high=float(found.high), level=level, method="BCa")
    half = float(stats.t.ppf(0.5 + level / 2, n - 1) * values.std(ddof=1) / math.sqrt(n))
    return Interval(low=centre - half, high=centre + half, level=level, method="t")


def lower_bound(values: Sequence[float], *, level: float = 0.95) -> float | None:
    """One-sided lower t bound of the mean, x̄ - t(level, n-1)·s/√n; None below n = 2."""
    import numpy as np
    from scipy import stats

    n = len(values)
    if n < 2:
        return None
    array = np.asarray(values, dtype=float)
    return float(array.mean() - stats.t.ppf(level, n - 1) * array.std(ddof=1) / math.sqrt(n))


def compare(
    a: str, b: str, scores: Mapping[str, Mapping[str, float]], *, seed: int = 0
) -> PairedTest:
    """Paired comparison of arms ``a`` and ``b`` on the examples both have a score for.

    Args:
        a: the arm whose gain is positive.
        b: the other arm.
        scores: score by example id, by arm.
        seed: of the resampling.
    """
    import numpy as np

    common = [key for key in scores[a] if key in scores[b]]
    differences = np.array([scores[a][key] - scores[b][key] for key in common])  # (n,)
    n = len(differences)
    if n:
        differences[np.abs(differences) < 1e-12] = 0.0  # rounding is not a difference
    std = float(differences.std(ddof=1)) if n > 1 else 0.0
    centre = math.fsum(differences) / n if n else None
    return PairedTest(
        a=a,
        b=b,
        n=n,
        mean_difference=centre,
        ci95=mean_interval(differences, seed=seed),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        ties=int((differences == 0).sum()),
        sign_flip_p=sign_flip_p(differences, seed=seed) if n else None,
        wilcoxon_p=wilcoxon_p(differences) if n else None,
        holm_p=None,
        effect_size=centre / std if centre is not None and std > 0 else None,
        smallest_detectable=smallest_detectable(std, n),
    )


def sign_flip_p(differences: Any, *, seed: int = 0) -> float:
    """Two-sided sign-flip permutation test of a zero mean difference; p is never 0.

    All 2^m patterns of the m non-zero differences up to m = 14, else 99,999 random ones with
    p = (b + 1) / (draws + 1) (Phipson & Smyth 2010).

    >>> sign_flip_p([1.0, 1.0, 1.0])
    0.25
    """
    import numpy as np

    values = np.asarray(differences, dtype=float)
    values = values[values != 0]
    m = len(values)
    if m == 0:
        return 1.0
    observed = abs(values.sum()) - 1e-12
    if m <= EXACT:
        patterns = np.arange(2**m)[:, None] >> np.arange(m) & 1  # (2^m, m)
        sums = np.where(patterns == 1, values, -values).sum(axis=1)
        return float((np.abs(sums) >= observed).mean())
    draws, block = (99_999, 4_000) if m < LARGE else (9_999, 500)
    rng = np.random.default_rng(seed)
    hits = 0
    for start in range(0, draws, block):
        size = min(block, draws - start)
        signs = rng.integers(0, 2, (size, m), dtype=np.int8) * 2 - 1  # (size, m)
        hits += int((np.abs(signs @ values) >= observed).sum())
    return (hits + 1) / (draws + 1)


def wilcoxon_p(differences: Any) -> float:
    """Two-sided Wilcoxon signed-rank test, zeros ranked by Pratt's method (Pratt 1959)."""
    import numpy as np
    from scipy import stats

    values = np.asarray(differences, dtype=float)
    if not values.any():
        return 1.0
    found = stats.wilcoxon(values, zero_method="pratt", method="asymptotic", correction=False)
    return float(found.pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (Holm 1979), in the order given; None stays None.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    out: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, (p, index) in enumerate(known):
        running = max(running, min(1.0, (len(known) - rank) * p))
        out[index] = running
    return out


def smallest_detectable(
    std: float, n: int, *, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """Smallest mean difference found with ``power``: (t[1-α/2] + t[power])·s/√n; None below n = 2.

    Miller 2024 (arXiv 2411.00640), section 5, with t for the normal quantiles.
    """
    from scipy import stats

    if n < 2:
        return None
    quantiles = stats.t.ppf(1 - alpha / 2, n - 1) + stats.t.ppf(power, n - 1)
    return float(quantiles * std / math.sqrt(n))


def percentile(values: Sequence[float], share: float) -> float | None:
    """Linear percentile; None at n = 0.

    >>> percentile([1.0, 2.0, 3.0], 0.5)
    2.0
    """
    import numpy as np

    return float(np.percentile(np.asarray(values), share * 100)) if len(values) else None
