"""Power: worked examples, properties, and (slow) simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from baft import power

CEILING = 6.5 / 7
SCORES = [13 / 14] * 14 + [12 / 14] * 3 + [10 / 14] * 2 + [9 / 14, 7 / 14, 4 / 14]


def test_the_smallest_detectable_difference_of_a_worked_example():
    """n = 22, sd(d) = 0.12: (t[.975, 21] + t[.8, 21])·.12/√22 = (2.0796 + 0.8591)·.02558."""
    assert power.smallest_detectable(0.12, 22) == pytest.approx(
        2.93871 * 0.12 / math.sqrt(22), rel=1e-4
    )
    assert power.smallest_detectable(0.12, 1) is None


def test_examples_needed_agrees_with_the_power_of_the_t_test():
    """Δ = .05, sd = .12: the noncentral t gives 80 % power from n = 48 on."""
    n = power.examples_needed(0.05, 0.12)
    assert n == 48
    assert 0.79 < _exact_power(0.05, 0.12, n) < 0.82


def _exact_power(gap, std, n):
    critical = scipy.stats.t.ppf(0.975, n - 1)
    centre = gap / std * math.sqrt(n)
    return scipy.stats.nct.sf(critical, n - 1, centre) + scipy.stats.nct.cdf(
        -critical, n - 1, centre
    )


@given(st.floats(0.002, 0.5), st.floats(0.01, 0.4))
def test_so_many_examples_and_no_fewer(gap, std):
    n = power.examples_needed(gap, std)
    assert power.smallest_detectable(std, n) <= gap * (1 + 1e-9)
    assert n == 2 or power.smallest_detectable(std, n - 1) > gap * (1 - 1e-9)
    assert power.examples_needed(-gap, std) == n


@pytest.mark.parametrize(
    ("gap", "std"),
    [(0.0, 0.1), (1e-9, 0.1), (None, 0.1), (0.1, None), (math.nan, 0.1), (0.1, math.inf)],
)
def test_nothing_settles_what_no_set_can(gap, std):
    assert power.examples_needed(gap, std) is None


def test_without_spread_two_examples_settle_any_gap():
    assert power.examples_needed(0.01, 0.0) == 2


@given(
    st.lists(st.integers(0, 13).map(lambda k: k / 14), min_size=1, max_size=30),
    st.floats(0, CEILING),
)
def test_shifted_scores_have_the_mean_asked_for_and_stay_attainable(scores, centre):
    moved = power.shifted(np.array(scores), centre, CEILING)
    assert moved.mean() == pytest.approx(centre, abs=1e-9)
    assert moved.min() >= 0.0
    assert moved.max() <= CEILING


def test_a_model_at_the_bar_passes_about_half_the_time():
    """By the notes .50 for a symmetric spread; skewed as here the median lies above the mean."""
    (found,) = power.pass_probabilities(SCORES, [0.8535], 0.8535, most=CEILING)
    assert 0.48 < found < 0.60


def test_a_normal_spread_gives_the_table_of_the_notes():
    """n = 22, sd .12, bar .8535, truth .82 / .87 / .89: 9.5 %, 74 % and 92 %."""
    spread = scipy.stats.norm.ppf((np.arange(22) + 0.5) / 22)
    scores = 0.5 + spread * 0.12 / spread.std()
    found = power.pass_probabilities(scores, [0.82, 0.87, 0.89], 0.8535, most=2.0)
    assert found == pytest.approx([0.095, 0.74, 0.92], abs=0.015)


def test_the_lower_bound_is_passed_by_the_table_of_the_notes():
    """The same under the one-sided 95 % bound, truth .8535 / .88 / .90: 5 %, 26 % and 54.5 %."""
    spread = scipy.stats.norm.ppf((np.arange(22) + 0.5) / 22)
    scores = 0.5 + spread * 0.12 / spread.std()
    found = power.pass_probabilities(
        scores, [0.8535, 0.88, 0.90], 0.8535, most=2.0, require_bound=True
    )
    assert found == pytest.approx([0.05, 0.26, 0.545], abs=0.03)


def test_the_curve_never_falls_and_ends_where_no_answer_gets():
    truths = [0.7, 0.8, 0.8535, 0.9, 0.95]
    found = power.pass_probabilities(SCORES, truths, 0.8535, most=CEILING)
    assert found[-1] is None
    assert found[:-1] == sorted(found[:-1])


@pytest.mark.parametrize("scores", [[], [0.9], [0.9] * 22, [0.9, math.nan]])
def test_without_spread_there_is_no_probability(scores):
    assert power.pass_probabilities(scores, [0.8535], 0.8535, most=CEILING) == [None]


@pytest.mark.parametrize("require", [False, True])
def test_large_samples_are_taken_as_normal_and_agree_with_resampling(require):
    def probability(n):
        scores = np.tile(SCORES, n // 22 + 1)[:n]
        return power.pass_probabilities(
            scores, [0.857], 0.8535, most=CEILING, require_bound=require
        )[0]

    assert probability(1_000) == pytest.approx(probability(999), abs=0.05)


def test_the_draws_are_seeded_and_blind_to_order():
    ordered = power.pass_probabilities(sorted(SCORES), [0.85], 0.8535, most=CEILING)
    assert power.pass_probabilities(SCORES, [0.85], 0.8535, most=CEILING) == ordered


@pytest.mark.slow
def test_so_many_examples_find_the_difference_80_times_in_100():
    rng = np.random.default_rng(0)
    n = power.examples_needed(0.05, 0.12)
    runs = rng.normal(0.05, 0.12, (4_000, n))
    found = scipy.stats.ttest_1samp(runs, 0.0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.80, abs=0.03)
