"""Certified drops: held against a search of all windows with exact bounds, against chance, and what is planted."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from drawn_counts import draw
from epochscope_server.analysis.drop import DOUBT, Drops, drops
from epochscope_server.analysis.segments import Cuts, cuts
from scipy.optimize import brentq
from scipy.special import rel_entr


def dropped(tp: Any, fp: Any, support: Any, others: Any = None) -> Drops:
    return drops(tp, fp, support, others, cuts(tp, support))


def low(k: int, n: int, doubt: float) -> float:
    """The least rate that k of n leave possible, by SciPy."""
    if k == 0 or n == 0:
        return 0.0
    if k == n:
        return float(doubt ** (1 / n))
    s = k / n
    return float(brentq(lambda p: n * (rel_entr(s, p) + rel_entr(1 - s, 1 - p)) + np.log(doubt), 1e-12, s))


def by_search(k: list[int], n: list[int], doubts: dict[int, float]) -> float:
    """The largest fall between any two windows of the lengths in ``doubts``, side by side from the first."""
    windows = [
        (start, start + size, sum(k[start : start + size]), sum(n[start : start + size]), doubt)
        for size, doubt in doubts.items()
        for start in range(0, len(k) - size + 1, size)
    ]
    falls = [
        low(k1, n1, d1) - (1 - low(n2 - k2, n2, d2))
        for (_, stop, k1, n1, d1), (start, _, k2, n2, d2) in itertools.product(windows, windows)
        if stop <= start
    ]
    return max(0.0, *falls)


def dipped(rates: tuple[float, float, float], first: int, last: int, windows: int = 200) -> Any:
    """One class whose recall is rates[1] in windows [first, last), and nine that stand still."""
    rows = np.full((10, windows), 0.85)
    rows[0] = rates[2]
    rows[0, :first], rows[0, first:last] = rates[0], rates[1]
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_largest_sure_fall_between_two_windows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = rng.integers(15, 40, 24)
    k = rng.binomial(n, np.where((np.arange(24) >= 9) & (np.arange(24) < 15), 0.3, 0.9))
    nowhere = np.zeros(0, np.int64)
    uncut = Cuts(nowhere, nowhere, nowhere, nowhere, np.zeros(0))
    found = drops(k[None], np.zeros((1, 24), np.int64), n[None], None, uncut)
    # A third of the doubt is shared out among five lengths, then among the windows of a length, and two bounds of each.
    exact = by_search(k.tolist(), n.tolist(), {size: DOUBT / 3 / 5 / 2 / (24 / size) for size in (1, 2, 4, 8, 16)})
    assert exact > 0.1
    assert exact - 0.03 <= found.drop[0] <= exact + 1e-9  # a quick bound chooses the windows, so a hair may be lost


def test_where_cuts_fit_what_happened_more_is_certain() -> None:
    counts = draw(dipped((0.95, 0.5, 0.95), 101, 126), 12)
    nowhere = np.zeros(0, np.int64)
    uncut = drops(
        counts.tp, counts.fp, counts.support, counts.others, Cuts(nowhere, nowhere, nowhere, nowhere, np.zeros(0))
    )
    assert dropped(counts.tp, counts.fp, counts.support, counts.others).drop[0] > uncut.drop[0] + 0.03


def test_where_nothing_changes_nothing_is_certified_to_drop() -> None:
    rates = np.tile(np.random.default_rng(0).uniform(0.3, 0.98, (1000, 1)), (1, 200))
    counts = draw(rates, 13)
    found = dropped(counts.tp, counts.fp, counts.support, counts.others)
    assert (found.drop == 0).all()
    assert (found.forgetting == 0).all()
    assert (found.sudden == 0).all()
    assert np.median(found.likely) < 0.02


def test_a_class_that_is_learnt_drops_nothing() -> None:
    curve = 0.95 - 0.85 * np.exp(-np.arange(300) / 40)
    counts = draw(np.tile(curve, (10, 1)), 13)
    found = dropped(counts.tp, counts.fp, counts.support, counts.others)
    assert (found.drop == 0).all()
    assert ((found.learnt > 40) & (found.learnt < 130)).all()  # 0.9 of its best it has at window 92


def test_a_late_class_is_learnt_later_than_the_others() -> None:
    rates = np.tile(0.95 - 0.85 * np.exp(-np.arange(400) / 20), (5, 1))
    rates[3] = 0.1 + 0.8 * (np.arange(400) > 250)
    counts = draw(rates, 20)
    learnt = dropped(counts.tp, counts.fp, counts.support, counts.others).learnt
    assert learnt.argmax() == 3
    assert 250 < learnt[3] < 262


def test_a_collapse_is_measured_and_dated_and_seen_to_be_over() -> None:
    counts = draw(dipped((0.95, 0.5, 0.95), 100, 124), 20)
    found = dropped(counts.tp, counts.fp, counts.support, counts.others)
    assert 0.2 < found.drop[0] < 0.45
    assert 100 <= found.start[0] < found.stop[0] <= 124
    assert found.best_stop[0] <= 100
    assert 96 <= found.fell[0] <= 102
    assert 122 <= found.back[0] <= 132
    assert (found.drop[1:] == 0).all()
    assert found.forgetting[0] == 0
    assert 0 < found.sudden[0] <= found.drop[0] + 0.1


def test_what_does_not_come_back_is_forgotten() -> None:
    counts = draw(dipped((0.95, 0.95, 0.6), 0, 150), 20)
    found = dropped(counts.tp, counts.fp, counts.support, counts.others)
    assert 0.2 < found.forgetting[0] <= 0.35
    assert found.back[0] == -1
    assert (found.forgetting[1:] == 0).all()


def test_a_slow_loss_is_certified_although_no_window_of_its_own_shows_it() -> None:
    rates = np.full((10, 400), 0.85)
    rates[0, 100:] = np.linspace(0.85, 0.65, 300)
    counts = draw(rates, 20)
    found = dropped(counts.tp, counts.fp, counts.support, counts.others)
    assert found.drop[0] > 0.04
    assert found.stop[0] - found.start[0] > 15  # certain only over many windows together
    assert found.sudden[0] == 0


def test_a_model_that_calls_everything_one_name_has_not_learnt_that_class() -> None:
    tp, fp, support = (np.zeros((10, 100), np.int64) for _ in range(3))
    support[:] = 10
    tp[0, :40], fp[0, :40] = 10, 90  # everything is called class 0
    tp[:, 40:], fp[:, 40:] = 8, 2
    told = dropped(tp, fp, support, support.sum(axis=0) - support)
    assert (told.drop == 0).all()
    assert ((told.told_apart >= 40) & (told.told_apart < 48)).all()
    assert dropped(tp, fp, support).drop[0] > 0  # where nobody knows who was not meant, it looks like a fall


def test_classes_that_never_occur_or_occur_once_say_nothing() -> None:
    tp, support = np.zeros((3, 50), np.int64), np.zeros((3, 50), np.int64)
    support[1, 7] = tp[1, 7] = 1
    support[2] = tp[2] = 20
    found = dropped(tp, np.zeros_like(tp), support, support.sum(axis=0) - support)
    assert found.drop.tolist() == [0, 0, 0]
    assert found.learnt.tolist()[:2] == [-1, -1]
    assert found.learnt[2] > 0


def test_no_windows_and_no_classes_are_answered() -> None:
    for shape in ((3, 0), (0, 5), (1, 1)):
        counts = np.zeros(shape, np.int64)
        assert dropped(counts, counts, counts, counts).drop.tolist() == [0.0] * shape[0]
