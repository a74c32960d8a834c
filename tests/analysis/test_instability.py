"""Excess instability: held against a plain loop, a simulated null, and what is planted."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_counts import draw
from epochscope_server.analysis.instability import instability


def by_hand(tp: list[int], support: list[int]) -> float:
    """The index as the formula reads, block by block."""
    moved = expected = 0.0

    def noise(t: int) -> float:
        around = range(max(t - 5, 0), min(t + 6, len(tp)))
        k, n = sum(tp[i] for i in around), sum(support[i] for i in around)
        return k / n * (1 - k / n) / support[t] * n / (n - 1)

    for t in range(1, len(tp) - 1):
        if min(support[t - 1 : t + 2]) > 0:
            r = [tp[i] / support[i] for i in (t - 1, t, t + 1)]
            moved += (r[1] - (r[0] + r[2]) / 2) ** 2
            expected += noise(t) + (noise(t - 1) + noise(t + 1)) / 4
    return moved / expected


def test_it_is_the_ratio_of_observed_to_binomial_movement() -> None:
    counts = draw(np.full((3, 60), 0.8), 50)
    support = counts.support.copy()
    support[1, 20] = 0  # not seen there: no movement to or from it
    tp = np.minimum(counts.tp, support)
    found = instability(tp, support)
    assert found.windows.tolist() == [1, 1, 1]
    for row in range(3):
        assert found.value[row] == pytest.approx(by_hand(tp[row].tolist(), support[row].tolist()))


def test_thin_windows_are_taken_together_until_a_block_holds_enough() -> None:
    counts = draw(np.full((2, 320), 0.8), 4.2)
    found = instability(counts.tp, counts.support)
    assert found.windows.tolist() == [8, 8]
    blocks = [part[0].reshape(-1, 8).sum(axis=1).tolist() for part in (counts.tp, counts.support)]
    assert found.value[0] == pytest.approx(by_hand(*blocks))


@pytest.mark.parametrize(("n", "rate"), [(40, 0.5), (40, 0.9), (200, 0.97), (3.2, 0.85)])
def test_chance_alone_gives_one_on_average_and_stays_in_the_band(n: float, rate: float) -> None:
    counts = draw(np.full((1500, 400 if n < 10 else 60), rate), n)
    found = instability(counts.tp, counts.support)
    known = np.isfinite(found.value)
    assert known.mean() > 0.99
    assert found.value[known].mean() == pytest.approx(1, abs=0.02)
    assert (found.value[known] > found.high[known]).sum() <= 2  # the band holds for all classes at once
    assert "unstable" not in np.array(found.verdict)[known & (found.value <= found.high)]


def test_the_band_of_one_class_is_left_by_chance_once_in_twenty_times() -> None:
    counts = draw(np.full((2000, 60), 0.8), 60)
    alone = [instability(counts.tp[row : row + 1], counts.support[row : row + 1]) for row in range(0, 2000, 5)]
    value, low = (np.concatenate([getattr(one, name) for one in alone]) for name in ("value", "low"))
    assert 0.005 < (value < low).mean() < 0.045  # 2.5 % below; above, the tolerance of five points is added


def test_a_class_that_rises_steadily_does_not_seem_unstable() -> None:
    counts = draw(np.tile(np.linspace(0.2, 0.9, 200), (300, 1)), 60)
    found = instability(counts.tp, counts.support)
    assert found.value.mean() == pytest.approx(1, abs=0.03)
    assert set(found.verdict) == {"noise"}


def test_real_movement_is_found_and_measured() -> None:
    jitter = np.random.default_rng(1).normal(0, 0.1, (20, 200))
    counts = draw(np.clip(0.75 + jitter, 0, 1), 60)
    found = instability(counts.tp, counts.support)
    assert set(found.verdict) == {"unstable"}
    assert found.movement.mean() == pytest.approx(0.1, abs=0.01)


def test_movement_of_less_than_five_points_is_no_instability_however_sure() -> None:
    jitter = np.random.default_rng(1).normal(0, 0.02, (10, 300))
    counts = draw(np.clip(0.75 + jitter, 0, 1), 2000)
    found = instability(counts.tp, counts.support)
    assert found.value.min() > 3
    assert set(found.verdict) == {"noise"}
    assert found.movement == pytest.approx(np.full(10, 0.02), abs=0.004)


def test_of_a_thin_class_nothing_can_be_told() -> None:
    counts = draw(np.array([[0.7] * 100, [0.7] * 100]) * 1.0, 1.5)
    assert instability(counts.tp, counts.support).verdict == ("cannot tell", "cannot tell")


@pytest.mark.parametrize("windows", [0, 1, 5])
def test_few_windows_or_none_are_unknown(windows: int) -> None:
    counts = np.full((2, windows), 30)
    found = instability(counts, counts)
    assert np.isnan(found.value).all()
    assert found.verdict == ("cannot tell", "cannot tell")


def test_a_class_that_is_always_right_stands_still_and_nothing_is_divided_by_nothing() -> None:
    counts = np.full((1, 50), 40)
    found = instability(counts, counts)
    assert np.isnan(found.value[0])
    assert found.verdict == ("noise",)
