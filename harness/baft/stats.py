"""Pure arithmetic over scores: means, intervals, paired differences, power. No clock, no files.

NumPy and SciPy are imported inside the functions: commands that compute nothing do not wait.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .power import examples_needed, smallest_detectable
from .records import Interval, PairedTest, Summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESAMPLES = 9_999
"""Bootstrap resamples; Efron & Tibshirani 1993 ask for at least 1,000 for an interval."""

LARGE = 1_000
"""From so many examples on, t and normal forms replace resampling: they agree to 3 digits there."""

EXACT = 22
"""Up to so many non-zero differences the sign-flip test enumerates all patterns (2^22)."""

CELLS = 2_000_000
"""Numbers drawn at once when resampling, which bounds memory."""


def summarise(
    scores: Sequence[float],
    failures: int,
    *,
    repeats: Sequence[Sequence[float]] = (),
    seed: int = 0,
) -> Summary:
    """Aggregates of one arm's scores, in any order.

    Args:
        scores: one number for each example that has one, repeats averaged; shape (n,).
        failures: examples without a score; counted, never averaged.
        repeats: the single scores of each example, shape (n, repeats), where there are several.
        seed: of the bootstrap.
    """
    import numpy as np

    values = np.asarray(scores, dtype=float)  # (n,)
    n = len(values)
    between, within = variance_components(repeats) or (None, None)
    return Summary(
        n=n,
        failures=failures,
        mean=mean(scores) if n else None,
        median=float(np.median(values)) if n else None,
        std=_spread(values),
        min=float(values.min()) if n else None,
        max=float(values.max()) if n else None,
        pass_rate_08=float((values >= 0.8).mean()) if n else None,
        pass_rate_09=float((values >= 0.9).mean()) if n else None,
        perfect_rate=float((values >= 1.0).mean()) if n else None,
        ci95=mean_interval(values, seed=seed),
        t95=t_interval(values),
        variance_between=between,
        variance_within=within,
    )


def mean(scores: Sequence[float]) -> float:
    """Exactly rounded arithmetic mean, the same in every order.

    >>> mean([0.1] * 10)
    0.1
    """
    return math.fsum(scores) / len(scores)


def mean_interval(values: Any, *, level: float = 0.95, seed: int = 0) -> Interval | None:
    """Interval of the mean: BCa bootstrap, t for large n or where BCa has no value.

    BCa: Efron 1987 (JASA 82), as in Efron & Tibshirani 1993, equations 14.9 to 14.15. Without
    spread the interval is the point itself; below n = 2, or with a value that is not finite, there
    is none.
    """
    import numpy as np

    values = np.asarray(values, dtype=float)  # (n,)
    n = len(values)
    if not 2 <= n < LARGE or not np.isfinite(values).all() or np.ptp(values) == 0:
        return t_interval(values, level=level)
    low, high = _bca(values, level, np.random.default_rng(seed))
    if not (math.isfinite(low) and math.isfinite(high)):
        return t_interval(values, level=level)
    return Interval(low=low, high=high, level=level, method="BCa")


def _bca(values: Any, level: float, rng: Any) -> tuple[float, float]:
    """The bounds that ``scipy.stats.bootstrap`` finds for a mean, without its imports.

    Not finite where all resampled means lie on one side of the mean.
    """
    import numpy as np
    from scipy import special

    n, block = len(values), max(1, CELLS // len(values))
    means = np.concatenate(
        [
            values[rng.integers(0, n, (min(block, RESAMPLES - start), n))].mean(axis=1)
            for start in range(0, RESAMPLES, block)
        ]
    )  # (RESAMPLES,)
    centre = values.mean()
    below = ((means < centre).sum() + (means <= centre).sum()) / (2 * RESAMPLES)
    bias = special.ndtri(below)  # 14.14, ties half
    without = (values.sum() - values) / (n - 1)  # (n,): each mean without one value
    gaps = without.mean() - without
    skew = (gaps**3).sum() / (6 * (gaps**2).sum() ** 1.5)  # 14.15
    tails = special.ndtri(np.array([(1 - level) / 2, (1 + level) / 2])) + bias
    shares = special.ndtr(bias + tails / (1 - skew * tails))  # 14.10
    if not np.isfinite(shares).all():
        return math.nan, math.nan
    low, high = np.percentile(means, shares * 100)
    return float(low), float(high)


def t_interval(values: Any, *, level: float = 0.95) -> Interval | None:
    """Interval of the mean by Student's t, x̄ ± t[(1+level)/2, n-1]·s/√n (Student 1908).

    Without spread it is the point itself; None below n = 2 or with a value that is not finite.

    >>> found = t_interval([1.0, 2.0, 3.0, 4.0])
    >>> round(found.low, 4), round(found.high, 4)
    (0.4457, 4.5543)
    """
    import numpy as np
    from scipy import special

    values = np.asarray(values, dtype=float)  # (n,)
    n = len(values)
    if n < 2 or not np.isfinite(values).all():
        return None
    centre = math.fsum(values) / n
    if np.ptp(values) == 0:
        return Interval(low=centre, high=centre, level=level, method="no spread")
    half = float(special.stdtrit(n - 1, 0.5 + level / 2) * values.std(ddof=1) / math.sqrt(n))
    return Interval(low=centre - half, high=centre + half, level=level, method="t")


def variance_components(repeats: Sequence[Sequence[float]]) -> tuple[float, float] | None:
    """Variance between examples and within them, from K repeats of each.

    The ANOVA estimate of the balanced one-way random model (Searle, Casella & McCulloch 1992,
    chapter 3): within = MSW, between = (MSB - MSW) / K, at least 0.

    Args:
        repeats: scores by example, shape (n, K).

    Returns:
        (between, within); None below n = 2 or K = 2.

    >>> between, within = variance_components([[1.0, 3.0], [5.0, 7.0]])
    >>> between, within
    (7.0, 2.0)
    """
    import numpy as np

    if len(repeats) < 2 or len(repeats[0]) < 2:
        return None
    values = np.asarray(repeats, dtype=float)  # (n, K)
    within = float(values.var(axis=1, ddof=1).mean())
    between = float(values.mean(axis=1).var(ddof=1)) - within / values.shape[1]
    return max(0.0, between), within


def lower_bound(values: Sequence[float], *, level: float = 0.95) -> float | None:
    """One-sided lower t bound of the mean, x̄ - t(level, n-1)·s/√n; None below n = 2."""
    import numpy as np
    from scipy import special

    n = len(values)
    if n < 2:
        return None
    array = np.asarray(values, dtype=float)
    return float(array.mean() - special.stdtrit(n - 1, level) * array.std(ddof=1) / math.sqrt(n))


def compare(
    a: str, b: str, scores: Mapping[str, Mapping[str, float]], *, seed: int = 0
) -> PairedTest:
    """Paired comparison of arms ``a`` and ``b`` on the examples both have a score for.

    ``effect_size`` is d_z, the mean difference over its standard deviation (Lakens 2013, formula
    6).

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
    usable = n > 0 and bool(np.isfinite(differences).all())
    if usable:
        differences[np.abs(differences) < 1e-12] = 0.0  # rounding is not a difference
    std = _spread(differences) if usable else None
    centre = math.fsum(differences) / n if usable else None
    return PairedTest(
        a=a,
        b=b,
        n=n,
        mean_difference=centre,
        ci95=mean_interval(differences, seed=seed),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        ties=int((differences == 0).sum()),
        sign_flip_p=sign_flip_p(differences, seed=seed) if usable else None,
        wilcoxon_p=wilcoxon_p(differences) if usable else None,
        holm_p=None,
        effect_size=centre / std if centre is not None and std else None,
        smallest_detectable=smallest_detectable(std, n) if std is not None else None,
        std=std,
        examples_needed=examples_needed(centre, std),
    )


def _spread(values: Any) -> float | None:
    """Sample standard deviation; equal values have exactly none. None below n = 2."""
    import numpy as np

    if len(values) < 2:
        return None
    return float(values.std(ddof=1)) if np.ptp(values) > 1e-12 else 0.0


def sign_flip_p(differences: Any, *, seed: int = 0) -> float:
    """Two-sided sign-flip permutation test of a zero mean difference (Fisher 1935); never 0.

    All 2^m patterns of the m non-zero differences up to m = 22: the sums of each half are listed
    and matched (Horowitz & Sahni 1974, J. ACM 21), so 2 x 2^11 numbers stand for 2^22. Beyond,
    99,999 random patterns (9,999 from m = 1,000 on) with p = (b + 1) / (draws + 1) (Phipson &
    Smyth 2010).

    >>> sign_flip_p([1.0, 1.0, 1.0])
    0.25
    """
    import numpy as np

    values = np.asarray(differences, dtype=float)
    values = values[values != 0]
    m = len(values)
    observed = abs(math.fsum(values)) - 1e-9 * float(np.abs(values).sum())  # a tie is as extreme
    if observed <= 0:
        return 1.0
    if m <= EXACT:
        first, second = np.sort(_flips(values[: m // 2])), _flips(values[m // 2 :])
        reaching = len(first) - np.searchsorted(first, observed - second)  # (2^(m - m // 2),)
        return float(2 * reaching.sum() / 2**m)  # the sums lie symmetrically about 0
    draws = 99_999 if m < LARGE else 9_999
    block = max(1, CELLS // m)
    rng = np.random.default_rng(seed)
    total, hits = float(values.sum()), 0
    for start in range(0, draws, block):
        size = min(block, draws - start)
        random = np.frombuffer(rng.bytes(-(-size * m // 8)), dtype=np.uint8)
        flipped = np.unpackbits(random, count=size * m).reshape(size, m)  # (size, m) of 0 and 1
        hits += int((np.abs(total - 2 * (flipped @ values)) >= observed).sum())
    return (hits + 1) / (draws + 1)


def _flips(values: Any) -> Any:
    """The sums of the values under every pattern of signs; shape (2^m,)."""
    import numpy as np

    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate((sums - value, sums + value))
    return sums


def wilcoxon_p(differences: Any) -> float:
    """Two-sided Wilcoxon signed-rank test (Wilcoxon 1945), zeros by Pratt's method (Pratt 1959).

    Normal form without continuity correction: with zeros and ties there is no exact table. What
    ``scipy.stats.wilcoxon`` finds, without its imports.
    """
    import numpy as np
    from scipy import special

    values = np.asarray(differences, dtype=float)
    if not values.any():
        return 1.0
    _, place, ties = np.unique(np.abs(values), return_inverse=True, return_counts=True)
    last = np.cumsum(ties)
    ranks = (last - (ties - 1) / 2)[place]  # (n,), zeros included; equal sizes share theirs
    n, zeros = len(values), int((values == 0).sum())
    shared = ties[1:] if zeros else ties
    mean_rank = (n * (n + 1) - zeros * (zeros + 1)) / 4
    variance = (
        n * (n + 1) * (2 * n + 1)
        - zeros * (zeros + 1) * (2 * zeros + 1)
        - (shared * (shared**2 - 1.0)).sum() / 2
    ) / 24
    z = (ranks[values > 0].sum() - mean_rank) / math.sqrt(variance)
    return float(min(1.0, 2 * special.ndtr(-abs(z))))


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


def percentile(values: Sequence[float], share: float) -> float | None:
    """Linear percentile; None at n = 0.

    >>> percentile([1.0, 2.0, 3.0], 0.5)
    2.0
    """
    import numpy as np

    return float(np.percentile(np.asarray(values), share * 100)) if len(values) else None
