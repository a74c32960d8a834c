"""Cuts of a run: the same optimum as ruptures finds, few false ones, and places that hold the true one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import ruptures
from drawn_counts import draw
from epochscope_server.analysis.segments import DOUBT, cuts, dispersion
from scipy.special import xlogy


class Binomial(ruptures.base.BaseCost):  # type: ignore[misc]
    """Twice the negative log-likelihood of hits and samples at their own rate; signal [T, 2]."""

    model = ""
    min_size = 1

    def fit(self, signal: Any) -> Binomial:
        self.signal = signal
        return self

    def error(self, start: int, end: int) -> float:
        k, n = self.signal[start:end].sum(axis=0)
        return float(-2 * (xlogy(k, k / n) + xlogy(n - k, (n - k) / n)))


@pytest.mark.parametrize("seed", range(4))
def test_the_cuts_are_those_that_ruptures_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = np.repeat(rng.uniform(0.3, 0.95, 6), rng.integers(5, 25, 6))
    support = rng.integers(20, 60, len(levels))
    tp = rng.binomial(support, levels)
    factor = max(float(dispersion(tp[None], support[None])[0]), 1.0)
    penalty = factor * 2 * np.log(len(tp) / DOUBT)
    search = ruptures.Pelt(custom_cost=Binomial(), min_size=1, jump=1)
    expected = search.fit(np.column_stack([tp, support])).predict(pen=penalty)[:-1]
    assert len(expected) >= 3
    assert cuts(tp[None], support[None]).at.tolist() == expected


def test_where_nothing_changes_there_is_no_cut() -> None:
    rates = np.tile(np.random.default_rng(0).uniform(0.3, 0.98, (300, 1)), (1, 120))
    counts = draw(rates, 13)
    assert len(cuts(counts.tp, counts.support).row) == 0


def test_the_likely_places_hold_the_true_one_nearly_always() -> None:
    held = found = 0
    for seed in range(60):
        true = 60 + 2 * seed
        counts = draw(np.where(np.arange(250) < true, 0.9, 0.6)[None], 6, seed)
        cut = cuts(counts.tp, counts.support)
        found += len(cut.row) == 1
        held += len(cut.row) == 1 and cut.first[0] <= true <= cut.last[0]
    assert found >= 55
    assert held / found > 0.9


def test_a_cut_is_placed_as_finely_as_the_windows_are() -> None:
    counts = draw(np.where(np.arange(2000) < 1237, 0.95, 0.4)[None], 20)
    cut = cuts(counts.tp, counts.support)
    assert cut.at.tolist() == [1237]
    assert cut.last[0] - cut.first[0] <= 2


def test_cuts_close_to_each_other_keep_their_order_when_they_are_placed_finely() -> None:
    rates = np.full((400, 600), 0.9)
    rates[:, :40] = 0.02
    rates[:, 40:42] = [0.2, 0.7]  # learnt within less than a block of those in which cuts are first looked for
    counts = draw(rates, 20)
    cut = cuts(counts.tp, counts.support)
    same = cut.row[1:] == cut.row[:-1]
    assert same.sum() > 100
    assert (np.diff(cut.at)[same] > 0).all()


def test_while_a_class_is_not_seen_nobody_knows_when_it_changed() -> None:
    support = np.full((1, 120), 20)
    support[0, 50:80] = 0
    tp = (support * np.where(np.arange(120) < 60, 0.9, 0.4)).astype(np.int64)
    cut = cuts(tp, support)
    assert (cut.at.tolist(), cut.first.tolist(), cut.last.tolist()) == ([80], [50], [80])


def test_a_class_that_jitters_all_the_time_is_not_cut_at_every_jump() -> None:
    jitter = np.random.default_rng(3).normal(0, 0.12, (20, 200))
    steady = draw(np.clip(0.7 + jitter, 0, 1), 40)
    assert len(cuts(steady.tp, steady.support).row) <= 4
    jitter[:, 100:] -= 0.4
    fallen = draw(np.clip(0.7 + jitter, 0, 1), 40)
    cut = cuts(fallen.tp, fallen.support)
    assert set(range(20)) <= set(cut.row[np.abs(cut.at - 100) <= 3].tolist())


def test_single_jumps_count_little_in_the_dispersion() -> None:
    counts = draw(np.where(np.arange(200) < 100, 0.95, 0.2)[None], 100)
    assert dispersion(counts.tp, counts.support)[0] < 1.4


@pytest.mark.parametrize("shape", [(3, 0), (0, 5), (2, 1), (2, 2)])
def test_few_windows_or_none_have_no_cuts(shape: tuple[int, int]) -> None:
    counts = np.full(shape, 5)
    assert len(cuts(counts, counts).row) == 0
