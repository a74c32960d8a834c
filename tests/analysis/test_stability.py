"""All of it together, as the service asks for it."""

from __future__ import annotations

import numpy as np
from drawn_counts import Counts, draw
from epochscope_server.analysis.stability import stability, watched, windows_for


def test_classes_are_ordered_by_how_far_they_surely_fell_and_those_not_seen_come_last() -> None:
    rates = np.full((6, 200), 0.9)
    rates[4, 120:] = 0.3
    rates[2, 120:] = 0.6
    counts = draw(rates, 30)
    for part in (counts.tp, counts.fp, counts.support):
        part[0] = 0
    order = stability(counts.curves()).order.tolist()
    assert order[:2] == [4, 2]
    assert order[-1] == 0


def test_a_watch_over_the_whole_run_knows_what_is_fallen_now() -> None:
    rates = np.full((4, 500), 0.9)
    rates[1, 400:] = 0.4
    counts = draw(rates, 20)
    (alarm,) = watched(counts.curves()).on
    assert alarm.index == 1
    assert 393 <= alarm.since <= 405


def test_several_labels_a_sample_are_analysed_without_knowing_who_was_not_meant() -> None:
    rates = np.full((3, 200), 0.9)
    rates[0, 100:] = 0.4
    counts = draw(rates, 30)
    assert stability(counts.curves(), labels=True).drops.drop[0] > 0.2
    assert watched(counts.curves(), labels=True).on[0].index == 0


def test_nothing_counted_is_analysed_too() -> None:
    for shape in ((3, 0), (3, 1), (3, 40)):
        nothing = np.zeros(shape, np.int64)
        curves = Counts(nothing, nothing, nothing).curves()
        found = stability(curves)
        assert found.changes == []
        assert np.isnan(found.recall.value).all()
        assert watched(curves).on == []


def test_more_classes_are_looked_at_in_fewer_windows() -> None:
    assert [windows_for(classes) for classes in (2, 10, 100, 1000, 100_000)] == [2000, 2000, 700, 221, 64]
