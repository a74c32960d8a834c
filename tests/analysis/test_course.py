"""A group of runs over time, held against statistics and NumPy over the runs by hand."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from epochscope_server.analysis.course import course
from scipy.stats import t


def test_over_the_same_places_each_point_is_mean_and_standard_deviation_of_what_was_measured() -> None:
    chance = np.random.default_rng(1)
    values = chance.random((4, 6))
    values[1, 2] = np.nan
    x, one = course([(np.arange(6.0), row) for row in values])
    assert x.tolist() == [0, 1, 2, 3, 4, 5]
    for place in range(6):
        known = [value for value in values[:, place].tolist() if value == value]
        assert one.runs[place] == len(known) == (3 if place == 2 else 4)
        assert one.mean.value[place] == pytest.approx(statistics.mean(known))
        assert one.spread[place] == pytest.approx(statistics.stdev(known))
        half = t.ppf(0.975, len(known) - 1) * statistics.stdev(known) / len(known) ** 0.5
        assert one.mean.high[place] == pytest.approx(statistics.mean(known) + half)


def test_between_its_places_a_run_is_straight_and_beyond_its_ends_it_is_not() -> None:
    long, short = (np.array([0.0, 10, 20, 30]), np.array([0.0, 1, 2, 3])), (np.array([5.0, 25]), np.array([1.0, 3.0]))
    x, one = course([short, long])
    assert x.tolist() == [0, 10, 20, 30]
    assert one.runs.tolist() == [1, 2, 2, 1]
    assert one.mean.value.tolist() == [0, (1 + 1.5) / 2, (2 + 2.5) / 2, 3]


def test_a_gap_of_a_run_is_not_bridged() -> None:
    gap = (np.array([0.0, 10, 20, 30]), np.array([0.0, np.nan, 2, 3]))
    other = (np.array([0.0, 5, 15, 25, 40]), np.ones(5))
    x, one = course([gap, other])
    assert x.tolist() == [0, 5, 15, 25, 40]
    assert one.runs.tolist() == [2, 1, 1, 2, 1]


def test_epochs_count_where_a_run_has_them_and_nowhere_else() -> None:
    x, one = course(
        [(np.array([1.0, 2, 4]), np.array([0.1, 0.2, 0.4])), (np.array([2.0, 3]), np.ones(2))], between=False
    )
    assert x.tolist() == [1, 2, 3, 4]
    assert one.runs.tolist() == [1, 2, 1, 1]
    assert one.mean.value.tolist() == pytest.approx([0.1, 0.6, 1, 0.4])


def test_places_that_nobody_knows_are_left_out() -> None:
    x, one = course([(np.array([np.nan, 1, 2]), np.array([9.0, 1, 2])), (np.full(2, np.nan), np.ones(2))])
    assert (x.tolist(), one.runs.tolist(), one.mean.value.tolist()) == ([1, 2], [1, 1], [1, 2])
    x, one = course([(np.full(2, np.nan), np.ones(2))])
    assert (len(x), len(one.runs)) == (0, 0)
