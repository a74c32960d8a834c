"""Levels that somebody named: a class is told where the counts leave no other way, and again only after it was back."""

from __future__ import annotations

import math

import numpy as np
from epochscope_server.analysis.below import below
from scipy.optimize import brentq


def most(hits: int, trials: int, doubt: float) -> float:
    """The highest share that the Chernoff bound leaves, found by SciPy."""
    if not trials or hits == trials:
        return 1.0

    def distance(p: float) -> float:
        share = hits / trials
        first = 0.0 if hits == 0 else share * math.log(share / p)
        return trials * (first + (1 - share) * math.log((1 - share) / (1 - p))) + math.log(doubt)

    return float(brentq(distance, max(hits / trials, 1e-12), 1 - 1e-12))


def by_hand(hits: list[int], trials: list[int], at: float, classes: int) -> list[tuple[int, int]]:
    found, on = [], -1
    for place, (k, n) in enumerate(zip(hits, trials, strict=True)):
        if on < 0 and most(k, n, 0.05 / classes / ((place + 1) * (place + 2))) < at:
            on = place
        elif on >= 0 and n and k / n >= at:
            found.append((on, place))
            on = -1
    return [*found, (on, -1)] if on >= 0 else found


def test_it_says_what_a_plain_walk_over_the_windows_says() -> None:
    rng = np.random.default_rng(3)
    true = np.repeat(rng.choice([0.3, 0.8], (6, 10)), 4, axis=1)
    trials = rng.integers(0, 120, true.shape)
    hits = rng.binomial(trials, true)
    found = [(one.index, one.place, one.back) for one in below(hits, trials, 0.7)]
    expected = [
        (index, *pair) for index in range(6) for pair in by_hand(hits[index].tolist(), trials[index].tolist(), 0.7, 6)
    ]
    assert found == expected
    assert len(found) > 6


def test_windows_that_come_later_change_nothing_that_was_said() -> None:
    rng = np.random.default_rng(4)
    trials = rng.integers(0, 80, (5, 60))
    hits = rng.binomial(trials, np.repeat(rng.choice([0.3, 0.9], (5, 12)), 5, axis=1))
    every = {(one.index, one.place) for one in below(hits, trials, 0.7)}
    for windows in range(1, 60):
        part = {(one.index, one.place) for one in below(hits[:, :windows], trials[:, :windows], 0.7)}
        assert part == {one for one in every if one[1] < windows}


def test_classes_that_are_at_the_level_are_hardly_ever_accused() -> None:
    rng = np.random.default_rng(5)
    accused = 0
    for _ in range(100):
        trials = rng.poisson(40, (20, 50))
        accused += bool(below(rng.binomial(trials, 0.7), trials, 0.7))
    assert accused <= 5
