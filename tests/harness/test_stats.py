"""Worked examples from the sources, properties, and (slow) simulation."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
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


def test_the_t_interval_of_a_worked_example():
    """Student's own sleep data (1908): ten gains, mean 1.58, sd 1.23, so 0.70 to 2.46."""
    gains = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    found = stats.summarise(gains, 0).t95
    assert found.method == "t"
    assert (found.low, found.high) == (
        pytest.approx(0.7001, abs=5e-5),
        pytest.approx(2.4599, abs=5e-5),
    )


@pytest.mark.parametrize("n", [2, 5, 22, 300])
def test_bca_is_what_scipy_finds_on_the_same_resamples(n):
    scores = np.random.default_rng(n).integers(0, 14, n) / 14
    known = scipy.stats.bootstrap(
        (scores,), np.mean, n_resamples=stats.RESAMPLES, rng=np.random.default_rng(0), method="BCa",
        batch=max(1, stats.CELLS // n),
    ).confidence_interval  # fmt: skip
    found = stats.mean_interval(scores)
    assert found.method == "BCa"
    assert [found.low, found.high] == pytest.approx([known.low, known.high], abs=1e-12)


@given(st.lists(st.integers(-6, 6), min_size=2, max_size=40).filter(any))
def test_wilcoxon_is_what_scipy_finds(differences):
    known = scipy.stats.wilcoxon(
        differences, zero_method="pratt", method="asymptotic", correction=False
    )
    assert stats.wilcoxon_p(differences) == pytest.approx(known.pvalue, rel=1e-12)


def test_a_summary_and_a_comparison_wait_for_no_large_import():
    code = (
        "import sys; from baft import stats; found = stats.compare('a', 'b', "
        "{'a': {'x': 1.0, 'y': 0.5}, 'b': {'x': 0.0, 'y': 0.25}}); "
        "assert found.wilcoxon_p and found.ci95; assert 'scipy.stats' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_scores_that_are_no_numbers_have_no_interval():
    found = stats.summarise([0.5, math.nan, 0.7], 0)
    assert (found.ci95, found.t95) == (None, None)
    assert math.isnan(found.mean)
    test = stats.compare("a", "b", {"a": {"x": math.nan}, "b": {"x": 0.5}})
    assert (test.n, test.mean_difference, test.sign_flip_p, test.std) == (1, None, None, None)


@given(shares)
def test_the_t_interval_does_not_depend_on_order(scores):
    one, other = stats.t_interval(scores), stats.t_interval(sorted(scores))
    assert (one.low, one.high) == pytest.approx((other.low, other.high))


@given(shares)
def test_the_intervals_hold_the_mean_and_stay_on_the_scale(scores):
    bca, t = stats.mean_interval(scores), stats.t_interval(scores)
    centre = stats.mean(scores)
    assert t.low - 1e-9 <= centre <= t.high + 1e-9
    assert bca.low - 1e-9 <= centre <= bca.high + 1e-9 or bca.method == "BCa"
    if bca.method == "BCa":
        assert min(scores) - 1e-9 <= bca.low <= bca.high <= max(scores) + 1e-9


def test_variance_components_of_a_worked_example():
    """Montgomery, Design and Analysis of Experiments: four looms, four samples of each."""
    looms = [[98, 97, 99, 96], [91, 90, 93, 92], [96, 95, 97, 95], [95, 96, 99, 98]]
    between, within = stats.variance_components(looms)
    assert (between, within) == (pytest.approx(6.96, abs=5e-3), pytest.approx(1.90, abs=5e-3))
    summary = stats.summarise([stats.mean(loom) for loom in looms], 0, repeats=looms)
    assert (summary.n, summary.variance_between, summary.variance_within) == (4, between, within)


def test_variance_components_take_repeats_of_several_examples():
    assert stats.variance_components([]) is None
    assert stats.variance_components([[1.0, 2.0]]) is None
    assert stats.variance_components([[1.0], [2.0]]) is None


def test_equal_repeats_vary_between_examples_only():
    assert stats.variance_components([[0.25, 0.25], [0.75, 0.75]]) == (0.125, 0.0)


def test_equal_examples_vary_within_only_and_never_below_zero():
    assert stats.variance_components([[0.0, 1.0], [0.0, 1.0]]) == (0.0, 0.5)


def test_the_lower_bound_of_the_notes():
    """n = 22, sd = 0.12: 'at least .8535' takes an observed mean of .8975."""
    scores = np.array([-1.0, 1.0] * 11)
    scores = 0.8975 + scores * 0.12 / scores.std(ddof=1)
    assert stats.lower_bound(scores.tolist()) == pytest.approx(0.8535, abs=5e-5)


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


@given(st.lists(st.integers(-6, 6).map(lambda k: k / 14), min_size=1, max_size=10))
def test_sign_flip_agrees_with_the_plain_enumeration(differences):
    sums = [
        abs(math.fsum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    extreme = sum(found >= abs(math.fsum(differences)) - 1e-9 for found in sums)
    assert stats.sign_flip_p(differences) == pytest.approx(extreme / len(sums))


def test_sign_flip_is_exact_up_to_22_differences():
    """All of one sign: 2 of 2^22 patterns are as extreme. SciPy samples the same test."""
    assert stats.sign_flip_p(np.linspace(0.1, 0.9, 22)) == 2 / 2**22
    values = np.random.default_rng(5).normal(0.04, 0.12, 22)
    sampled = scipy.stats.permutation_test(
        (values,),
        np.mean,
        permutation_type="samples",
        n_resamples=20_000,
        rng=np.random.default_rng(0),
    ).pvalue
    assert stats.sign_flip_p(values) == pytest.approx(sampled, abs=0.015)


def test_exact_and_sampled_sign_flips_agree():
    values = np.random.default_rng(1).normal(0.05, 0.12, 22)
    exact = stats.sign_flip_p(values)
    sampled = stats.sign_flip_p(np.concatenate((values, [1e-15])))  # the 23rd changes nothing
    assert sampled == pytest.approx(exact, abs=0.005)


def test_sampled_sign_flips_never_give_zero():
    assert 0 < stats.sign_flip_p(np.full(40, 1.0)) <= 1e-4


def test_wilcoxon_agrees_with_a_worked_example():
    """Differences 1..10, all positive: z = 2.803, two-sided p = .00506 (normal form)."""
    assert stats.wilcoxon_p(np.arange(1.0, 11.0)) == pytest.approx(0.005062, abs=1e-5)


def test_pratt_ranks_the_zeros():
    """Zeros rank first and drop out: 3 zeros, then ranks 4 to 8, of which -2 has 5.

    W+ = 4 + 6 + 7 + 8 = 25 of 30, mean 15, variance (4² + 5² + 6² + 7² + 8²) / 4 = 47.5.
    """
    z = (25 - 15) / math.sqrt(47.5)
    expected = 2 * scipy.stats.norm.sf(z)
    assert stats.wilcoxon_p([0, 0, 0, 1.0, -2.0, 3.0, 4.0, 5.0]) == pytest.approx(
        expected, rel=1e-9
    )


def test_d_z_is_the_mean_difference_over_its_own_spread():
    """Lakens 2013, formula 6: differences 1, 2, 3 have mean 2 and sd 1."""
    found = stats.compare(
        "a", "b", {"a": {"x": 1.0, "y": 2.0, "z": 3.0}, "b": dict.fromkeys("xyz", 0.0)}
    )
    assert (found.effect_size, found.std) == (pytest.approx(2.0), pytest.approx(1.0))


def test_differences_without_spread_have_no_effect_size():
    found = stats.compare("a", "b", {"a": {"x": 0.92, "y": 0.92}, "b": {"x": 0.5, "y": 0.5}})
    assert (found.std, found.effect_size, found.examples_needed) == (0.0, None, 2)


def test_holm_steps_down_and_stays_monotone():
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([None, 0.2]) == [None, 0.2]


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(ps):
    corrected = stats.holm(ps)
    assert all(p <= c <= 1 for p, c in zip(ps, corrected, strict=True))
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    assert all(corrected[i] <= corrected[j] for i, j in itertools.pairwise(order))


@pytest.mark.slow
def test_a_nominal_95_percent_interval_covers_like_bca_should():
    """BA-like scores, n = 22: BCa was measured to cover .928 of the time; three sigma are allowed.

    Steps of 1/14 below a ceiling of 6.5/7, sd .12, skew -1.9.
    """
    rng = np.random.default_rng(0)
    points = 13 - np.floor(rng.exponential(1.7, 200_000) + 0.3)
    population = np.maximum(points, 0) / 14
    assert population.max() == 6.5 / 7
    assert population.std() == pytest.approx(0.12, abs=0.005)
    assert scipy.stats.skew(population) == pytest.approx(-1.9, abs=0.1)
    runs, hits = 1_500, 0
    for i in range(runs):
        interval = stats.mean_interval(rng.choice(population, 22), seed=i)
        hits += interval.low <= population.mean() <= interval.high
    assert hits / runs >= 0.928 - 3 * math.sqrt(0.928 * 0.072 / runs)
