"""Means of scalar series, held against sums spelt out value by value; places of steps, against counting them."""

from __future__ import annotations

import math
from itertools import groupby

import numpy as np
import pytest
from epochscope_server.analysis.rulers import by_epoch, by_samples, by_step, by_time
from epochscope_server.analysis.series import first_odd, running, slid
from hypothesis import given, settings
from hypothesis import strategies as st

VALUES = st.lists(st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf]), min_size=1, max_size=40)


@settings(max_examples=60)
@given(VALUES, st.integers(1, 50))
def test_a_sliding_mean_is_that_of_the_last_values(values: list[float], width: int) -> None:
    found = slid(np.array(values), width)
    seen: list[float] = []
    for one, mean in zip(values, found.tolist(), strict=True):
        if not math.isfinite(one):
            assert mean == pytest.approx(one, nan_ok=True)
            continue
        seen.append(one)
        last = seen[-width:]
        assert mean == pytest.approx(math.fsum(last) / len(last), abs=1e-6)


def test_a_huge_value_is_forgotten_once_it_has_slid_out() -> None:
    values = np.full(20, 0.1)
    values[3] = 1e300
    assert slid(values, 4)[7:] == pytest.approx(0.1, abs=1e-15)


@settings(max_examples=40)
@given(VALUES, st.lists(st.integers(1, 45), max_size=4))
def test_a_running_mean_begins_anew_with_each_epoch(values: list[float], begins: list[int]) -> None:
    steps = np.arange(1, len(values) + 1)
    found = running(steps, np.array(values), np.array(sorted(begins), np.int64))
    epochs = [sum(begin <= step for begin in begins) for step in steps.tolist()]
    at = 0
    for _, members in groupby(epochs):
        seen: list[float] = []
        for _ in members:
            if math.isfinite(values[at]):
                seen.append(values[at])
                assert found[at] == pytest.approx(math.fsum(seen) / len(seen), abs=1e-6)
            else:
                assert found[at] == pytest.approx(values[at], nan_ok=True)
            at += 1


def test_the_first_value_that_is_no_number_is_found() -> None:
    steps = np.array([3, 5, 8])
    assert first_odd(steps, np.array([1.0, -math.inf, math.nan])) == (5, -math.inf)
    assert first_odd(steps, np.ones(3)) is None


def test_an_epoch_under_way_or_cut_short_is_a_part_of_one() -> None:
    spans = [{"epoch": 3, "from": 21, "to": 31}, {"epoch": 4, "from": 31, "to": 34}]
    ruler = by_epoch(spans, 10)
    assert ruler.at([21, 30, 31, 33]) == pytest.approx([2.1, 3, 3.1, 3.3])
    assert np.isnan(ruler.at([5, 34])).all()
    assert ruler.after([3, 4]).tolist() == [3, 4]


def test_series_by_epoch_stand_at_the_last_step_of_their_epoch() -> None:
    spans = [{"epoch": 1, "from": 1, "to": 11}]
    assert by_step(spans).after([1, 2]) == pytest.approx([10, np.nan], nan_ok=True)
    assert by_samples(spans, [6, 11], [40, 20]).after([1]).tolist() == [60]
    assert by_samples(spans, [6, 11], [40, 20]).at([2, 5, 10]).tolist() == [16, 40, 60]


def test_a_clock_that_starts_again_goes_on_where_it_was() -> None:
    ruler = by_time([], [10, 20, 30, 40], [5, 9, 2, 4])
    assert ruler.at([10, 20, 30, 40]).tolist() == [5, 9, 11, 13]
