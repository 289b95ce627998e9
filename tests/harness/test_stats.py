"""Worked examples from the sources, properties, and (slow) simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baft import stats

shares = st.lists(st.integers(0, 14).map(lambda k: k / 14), min_size=2, max_size=30)


def test_no_scores_have_no_mean_but_count_failures():
    found = stats.summarise([], 3)
    assert (found.n, found.failures, found.mean, found.ci95) == (0, 3, None, None)


def test_one_score_has_a_mean_and_no_spread():
    found = stats.summarise([0.5], 0)
    assert (found.mean, found.std, found.ci95) == (0.5, None, None)


def test_std_is_the_sample_standard_deviation():
    assert stats.summarise([1.0, 2.0, 3.0, 4.0], 0).std == pytest.approx(1.2909944487358056)


def test_pass_rates_include_the_bound():
    found = stats.summarise([0.8, 0.9, 1.0, 0.1], 0)
    assert (found.pass_rate_08, found.pass_rate_09, found.perfect_rate) == (0.75, 0.5, 0.25)


@given(shares)
def test_the_mean_does_not_depend_on_order(scores):
    assert stats.mean(scores) == stats.mean(sorted(scores))


def test_equal_scores_have_an_interval_without_width():
    interval = stats.summarise([0.7] * 5, 0).ci95
    assert (interval.low, interval.high) == (pytest.approx(0.7), pytest.approx(0.7))


def test_a_large_sample_uses_the_t_interval():
    scores = np.linspace(0, 1, 2_000)
    interval = stats.mean_interval(scores)
    half = 1.9611520148367056 * scores.std(ddof=1) / math.sqrt(2_000)
    assert interval.method == "t"
    assert interval.high - 0.5 == pytest.approx(half)


def test_the_bootstrap_is_seeded():
    scores = [0.2, 0.9, 0.9, 0.7, 0.93]
    assert stats.mean_interval(scores, seed=1) == stats.mean_interval(scores, seed=1)


def test_the_lower_bound_of_the_notes():
    """n = 22, sd = 0.12: 'at least .8535' takes an observed mean of .8975."""
    scores = np.array([-1.0, 1.0] * 11)
    scores = 0.8975 + scores * 0.12 / scores.std(ddof=1)
    assert stats.lower_bound(scores.tolist()) == pytest.approx(0.8535, abs=5e-5)


def test_the_smallest_detectable_difference_of_the_notes():
    """n = 22, sd(d) = 0.12 (ρ = .5): .075."""
    assert stats.smallest_detectable(0.12, 22) == pytest.approx(0.075, abs=5e-4)


def test_a_run_against_itself_differs_by_zero():
    scores = {"a": {str(i): i / 10 for i in range(8)}}
    scores["b"] = dict(scores["a"])
    found = stats.compare("a", "b", scores)
    assert (found.mean_difference, found.ties, found.effect_size) == (0.0, 8, None)
    assert (found.sign_flip_p, found.wilcoxon_p) == (1.0, 1.0)


@given(shares, shares)
def test_swapping_sides_flips_the_sign_and_keeps_p(first, second):
    n = min(len(first), len(second))
    scores = {
        "a": {str(i): v for i, v in enumerate(first[:n])},
        "b": {str(i): v for i, v in enumerate(second[:n])},
    }
    ab, ba = stats.compare("a", "b", scores), stats.compare("b", "a", scores)
    assert ab.mean_difference == pytest.approx(-ba.mean_difference, abs=1e-12)
    assert (ab.wins, ab.losses) == (ba.losses, ba.wins)
    assert ab.sign_flip_p == pytest.approx(ba.sign_flip_p, abs=1e-9)


def test_pairs_missing_on_one_side_are_left_out():
    found = stats.compare("a", "b", {"a": {"x": 1.0, "y": 0.5}, "b": {"y": 0.5, "z": 0.1}})
    assert found.n == 1


def test_no_common_example_has_no_difference():
    found = stats.compare("a", "b", {"a": {"x": 1.0}, "b": {"z": 0.1}})
    assert (found.n, found.mean_difference, found.sign_flip_p) == (0, None, None)


def test_sign_flip_enumerates_small_samples():
    """Three equal differences: 2 of 8 patterns are as extreme, whatever their size."""
    assert stats.sign_flip_p([2.0, 2.0, 2.0]) == 0.25
    assert stats.sign_flip_p([1.0, 2.0, 3.0, -0.5]) == pytest.approx(4 / 16)


def test_sampled_sign_flips_never_give_zero():
    assert 0 < stats.sign_flip_p(np.full(40, 1.0)) <= 1e-4


def test_wilcoxon_agrees_with_a_worked_example():
    """Differences 1..10, all positive: z = 2.803, two-sided p = .00506 (normal form)."""
    assert stats.wilcoxon_p(np.arange(1.0, 11.0)) == pytest.approx(0.005062, abs=1e-5)


def test_holm_steps_down_and_stays_monotone():
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([None, 0.2]) == [None, 0.2]


@pytest.mark.slow
def test_a_nominal_95_percent_interval_covers_like_bca_should():
    """Scores in steps of 1/14 below a ceiling, sd .12, skew -1.9, n = 22: BCa covers about .92."""
    rng = np.random.default_rng(0)
    steps = np.floor(rng.exponential(1.7, 200_000) + 0.3)
    population = np.maximum(13 - steps, 0) / 14
    assert population.std() == pytest.approx(0.12, abs=0.005)
    runs = 400
    hits = 0
    for i in range(runs):
        interval = stats.mean_interval(rng.choice(population, 22), seed=i)
        hits += interval.low <= population.mean() <= interval.high
    assert hits / runs > 0.92 - 3 * math.sqrt(0.92 * 0.08 / runs)
