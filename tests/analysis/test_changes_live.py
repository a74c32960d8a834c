"""The live watch: held against a sum over every possible beginning, against chance, and what is planted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from drawn_counts import draw
from epochscope_server.analysis.changes_live import Alarm, Watch


def fed(watch: Watch, counts: Any, others: bool = True) -> list[Alarm]:
    raised = []
    for at in range(counts.tp.shape[1]):
        column = [part[:, at] for part in (counts.tp, counts.fp, counts.support, counts.others)]
        raised += watch.update(at + 1, at + 2, *(column if others else column[:3]))
    return raised


def by_every_beginning(k: list[int], n: list[int], best: float, threshold: float) -> tuple[int, int] | None:
    """The first update at which a likelihood ratio from any beginning passes, and that beginning."""
    for at in range(len(k)):
        for fall in (0.1, 0.3):
            low = max(best - fall, best / 3)
            gains = [
                hit * math.log(low / best) + (seen - hit) * math.log((1 - low) / (1 - best))
                for hit, seen in zip(k[: at + 1], n[: at + 1], strict=True)
            ]
            sums = {begin: sum(gains[begin:]) for begin in range(at + 1)}
            begin = max(sums, key=lambda one: (sums[one], one))
            if sums[begin] > threshold:
                return at, begin
    return None


def test_the_alarm_is_the_first_likelihood_ratio_over_any_beginning_that_passes() -> None:
    watch = Watch(1, 200)
    flat = np.zeros(1, np.int64)
    watch.update(1, 2, np.array([9000]), flat, np.array([10_000]))
    rng = np.random.default_rng(0)
    support = rng.integers(2, 7, 120)
    tp = rng.binomial(support, np.where(np.arange(120) < 60, 0.93, 0.6))
    raised = []
    for at in range(120):
        raised += watch.update(at + 2, at + 3, tp[at : at + 1], flat, support[at : at + 1])
    threshold = math.log(4 * 1 * 200 / 0.05)
    expected = by_every_beginning(tp.tolist(), support.tolist(), raised[0].best, threshold)
    assert expected is not None
    assert (raised[0].found, raised[0].since) == (expected[0] + 2, expected[1] + 2)
    window = slice(expected[1], expected[0] + 1)
    assert (raised[0].hits, raised[0].seen) == (tp[window].sum(), support[window].sum())


def test_where_nothing_changes_or_all_is_learnt_there_is_no_alarm() -> None:
    flat = np.tile(np.random.default_rng(1).uniform(0.3, 0.98, (500, 1)), (1, 150))
    learnt = np.tile(0.95 - 0.85 * np.exp(-np.arange(150) / 30), (500, 1))
    for updates in (150, None):
        assert fed(Watch(1000, updates), draw(np.concatenate([flat, learnt]), 8)) == []


def test_a_fall_is_seen_dated_and_seen_to_be_over() -> None:
    rates = np.full((10, 300), 0.9)
    rates[4, 200:240] = 0.4
    watch = Watch(10, 300)
    (alarm,) = fed(watch, draw(rates, 10))
    assert alarm.index == 4
    assert 196 <= alarm.since <= 203
    assert 201 <= alarm.found <= 212
    (ended,) = watch.over
    assert watch.on == []
    assert ended.back is not None
    assert 241 <= ended.back <= 262


def test_an_alarm_that_is_on_counts_what_was_recognised_since() -> None:
    rates = np.full((3, 200), 0.9)
    rates[1, 150:] = 0.3
    watch = Watch(3, 200)
    fed(watch, draw(rates, 20))
    (alarm,) = watch.on
    assert alarm.hits / alarm.seen < 0.4
    assert alarm.best > 0.8


def test_a_name_that_everything_is_called_is_no_best() -> None:
    tp, fp, support = (np.zeros(10, np.int64) for _ in range(3))
    support[:] = 20
    everything, right = tp.copy(), np.full(10, 15)
    everything[0], wrong = 20, fp.copy()
    wrong[0] = 180
    watch = Watch(10, 200)
    raised = []
    for at in range(100):
        tp, fp = (everything, wrong) if at < 40 else (right, np.full(10, 5))
        raised += watch.update(at + 1, at + 2, tp, fp, support, 200 - support)
    assert raised == []


def test_thin_updates_and_classes_never_seen_do_no_harm() -> None:
    watch = Watch(3)
    for at in range(50):
        seen = np.array([1, 0, at % 2])
        assert watch.update(at + 1, at + 2, seen, np.zeros(3, np.int64), seen, np.full(3, 5)) == []
    assert watch.on == []
