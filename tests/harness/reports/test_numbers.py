from __future__ import annotations

import doctest
import math

import pytest

from baft.records import Interval
from baft.reports import numbers as show
from baft.reports import text


@pytest.mark.parametrize(
    "shown",
    [
        show.score,
        show.difference,
        show.exact,
        show.interval,
        show.percent,
        show.points,
        show.rate,
        show.duration,
    ],
)
def test_what_is_not_there_reads_na(shown):
    assert shown(None) == "n/a"


def test_nan_reads_na():
    assert show.score(math.nan) == show.percent(math.nan) == show.exact(math.nan) == "n/a"


def test_a_mean_just_below_the_threshold_is_not_shown_as_the_threshold():
    assert show.exact(0.8534999) != show.exact(0.8535)


@pytest.mark.parametrize(
    ("share", "shown"),
    [(1.0, "100 %"), (0.0, "0 %"), (19 / 22, "86.4 %"), (0.99999, "> 99.9 %"), (1e-6, "< 0.1 %")],
)
def test_only_all_is_a_hundred_percent_and_only_none_is_zero(share, shown):
    assert show.percent(share) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 ms"), (0.9999, "1.0 s"), (59.97, "1 min 0 s"), (3599.9, "1 h 0 min")],
)
def test_durations_carry_over(seconds, shown):
    assert show.duration(seconds) == shown


def test_differences_keep_their_sign():
    found = Interval(low=-0.013, high=0.231)
    assert show.interval(found, signed=True) == "-0.013 to +0.231"
    assert show.difference(-0.000001) == "-1e-06"


@pytest.mark.parametrize("module", [show, text])
def test_worked_examples_hold(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed
