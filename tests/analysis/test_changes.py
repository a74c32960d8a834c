"""Changes: what is planted is told, with its direction, place, levels, and what explains it."""

from __future__ import annotations

from typing import Any

import numpy as np
from drawn_counts import Counts, draw
from epochscope_server.analysis.changes import (
    Change,
    Event,
    Stretch,
    changes,
    deciding,
    explained,
    jumps,
    near,
    shifted,
)
from epochscope_server.analysis.stability import stability

COLLAPSE = 0.5


def changes_of(counts: Any, width: int = 1) -> list[Change]:
    return stability(counts.curves(width)).changes


def test_a_drop_and_its_recovery_are_two_changes_with_what_was_before_and_after() -> None:
    rates = np.full((5, 200), 0.9)
    rates[2, 100:140] = 0.5
    counts = draw(rates, 30)
    drop, recovery = changes_of(counts)
    assert (drop.index, drop.kind, drop.rises) == (2, "drop", False)
    assert (recovery.index, recovery.kind, recovery.rises) == (2, "recovery", True)
    assert drop.start <= 101 < drop.stop
    assert recovery.start <= 141 < recovery.stop
    assert drop.before.stop <= 101 <= drop.after.start + 1
    for part, level in ((drop.before, 0.9), (drop.after, 0.5), (recovery.before, 0.5), (recovery.after, 0.9)):
        assert abs(part.hits / part.seen - level) < 0.06
        window = slice(part.start - 1, part.stop - 1)
        assert (part.hits, part.seen) == (counts.tp[2, window].sum(), counts.support[2, window].sum())


def test_steps_are_told_where_windows_are_wider() -> None:
    rates = np.full((2, 100), 0.9)
    rates[0, 60:] = 0.4
    (drop,) = changes_of(draw(rates, 200), width=25)
    assert drop.at == 1501
    assert (drop.start, drop.stop) == (1489, 1514)  # a window's width around it


def test_a_learning_curve_is_one_change_and_not_a_staircase() -> None:
    counts = draw(np.tile(0.95 - 0.85 * np.exp(-np.arange(300) / 30), (4, 1)), 40)
    told = changes_of(counts)
    assert [(change.index, change.kind, change.rises) for change in told] == [(i, "learning", True) for i in range(4)]
    assert all(
        change.before.hits / change.before.seen < 0.5 < 0.9 < change.after.hits / change.after.seen for change in told
    )


def test_a_slow_fall_is_one_change_that_lasts() -> None:
    rates = np.full((2, 400), 0.9)
    rates[0, 200:300] = np.linspace(0.9, 0.4, 100)
    rates[0, 300:] = 0.4
    (drop,) = changes_of(draw(rates, 40))
    assert drop.kind == "drop"
    assert 200 < drop.start < 240
    assert 260 < drop.stop < 310


def test_two_falls_long_after_each_other_are_two() -> None:
    rates = np.full((2, 400), 0.9)
    rates[0, 50:350], rates[0, 350:] = 0.7, 0.4
    told = changes_of(draw(rates, 40))
    assert [change.kind for change in told] == ["drop", "drop"]


def test_before_a_class_was_told_from_others_its_fall_is_part_of_learning() -> None:
    tp, fp, support = (np.zeros((10, 100), np.int64) for _ in range(3))
    support[:] = 20
    tp[0, :30], fp[0, :30] = 20, 180
    tp[:, 30:], fp[:, 30:] = 16, 4
    assert {change.kind for change in changes_of(Counts(tp, fp, support))} == {"learning"}


def test_a_class_that_was_away_says_so() -> None:
    rates = np.full((5, 300), 0.9)
    rates[1, 200:] = 0.3
    counts = draw(rates, 20)
    for part in (counts.tp, counts.fp, counts.support):
        part[1, 150:200] = 0
    (drop,) = changes_of(counts)
    assert (drop.start, drop.stop, drop.unseen) == (151, 202, True)


def change(before: Stretch, after: Stretch, rises: bool = False) -> Change:
    return Change(0, "recovery" if rises else "drop", rises, 100, 101, 100, 50.0, before, after)


def test_the_class_it_is_taken_for_is_the_one_whose_share_grew() -> None:
    before, after = (
        np.array([[80, 5, 15], [0, 100, 0], [0, 0, 100]]),
        np.array([[40, 40, 20], [0, 100, 0], [0, 0, 100]]),
    )
    stretch = Stretch(1, 100, 80, 100)
    told = explained(change(stretch, stretch), before, after)
    assert told.taken_for == 1
    assert explained(change(stretch, stretch, rises=True), after, before).taken_for == 1
    assert told.shifted == ()
    assert not told.mix_explains


def test_a_change_in_the_mix_of_classes_explains_it_if_it_concerns_the_class_or_what_it_is_taken_for() -> None:
    before, after = np.diag([1000, 1000, 1000]), np.diag([1000, 3000, 1000])
    after[0] = [500, 500, 0]
    stretch = Stretch(1, 100, 100, 100)
    told = explained(change(stretch, stretch), before, after)
    assert [share.index for share in told.shifted] == [1, 0, 2]
    assert told.mix_explains
    (first, *_) = told.shifted
    assert (round(first.before, 3), round(first.after, 3)) == (0.333, 0.6)
    assert shifted(np.array([100, 100]), np.array([0, 0])) == ()


def test_it_is_decided_by_the_steps_next_to_the_change() -> None:
    told = change(Stretch(1, 1001, 9000, 10000), Stretch(1010, 1020, 10, 200))
    assert deciding(told) == ((961, 1001), (1010, 1020))


def test_events_within_the_change_or_just_beside_it_are_near() -> None:
    events = [Event(step, "epoch", f"at {step}") for step in (90, 96, 100, 104, 110)]
    stretch = Stretch(1, 100, 80, 100)
    assert [event.step for event in near(change(stretch, stretch), events, 5).near] == [96, 100, 104]


def test_a_number_that_jumps_is_an_event_and_one_that_glides_is_none() -> None:
    rates = np.array([0.1, 0.099, 0.098, 0.0098, 0.0097])
    (jump,) = jumps(np.arange(1, 6), rates, "learning_rate", "learning rate", 1.25)
    assert (jump.step, jump.says) == (4, "learning rate 0.098 → 0.0098")


def test_no_cuts_are_no_changes() -> None:
    counts = np.full((2, 30), 20)
    from epochscope_server.analysis.segments import cuts

    where = np.arange(30)
    assert changes(counts, counts, where, where + 1, cuts(counts, counts), np.zeros(2, np.int64)) == []
