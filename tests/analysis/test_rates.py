"""Recall, precision and F1 with their intervals, for few and for very many classes and windows at once."""

from __future__ import annotations

import numpy as np
from epochscope_server.analysis import rates
from scipy.stats import binomtest


def test_many_intervals_at_once_are_those_of_each_alone() -> None:
    chance = np.random.default_rng(0)
    trials = np.concatenate((chance.integers(0, 400, 30_000), chance.integers(0, 64, 9000), [0, 63, 255, 256, 10**7]))
    hits = chance.binomial(trials, chance.random(len(trials)))
    more = chance.integers(0, 90, len(trials))
    many = rates.wilson(hits, trials)
    many_f1 = rates.f1(hits, trials - hits, more)
    for at in [*chance.integers(0, len(trials), 150).tolist(), *range(len(trials) - 5, len(trials))]:
        one = slice(at, at + 1)
        alone = rates.wilson(hits[one], trials[one])
        alone_f1 = rates.f1(hits[one], (trials - hits)[one], more[one])
        for name in ("value", "low", "high"):
            assert getattr(many, name)[one].tobytes() == getattr(alone, name).tobytes()
            assert getattr(many_f1, name)[one].tobytes() == getattr(alone_f1, name).tobytes()
        if trials[at]:
            said = binomtest(int(hits[at]), int(trials[at])).proportion_ci(method="wilson")
            assert np.allclose((many.low[at], many.high[at]), (said.low, said.high), rtol=0, atol=1e-12)
        else:
            assert np.isnan(many.value[at])
