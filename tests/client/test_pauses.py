"""Pauses: a healthy training of whatever pace is never called stalled; one that hangs is; what is usual is learnt."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain, repeat

import pytest
from epochscope import Run, flusher, pauses
from epochscope.pauses import Pauses
from listener import Listener, until

MINUTE, HOUR = 60.0, 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 500.0

    def __call__(self) -> float:
        return self.now


class Told:
    """What is told of a training, as the flusher does once a second: for how long it was called stalled, in seconds."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.pauses = Pauses(self.clock)
        self.called = 0.0

    def wait(self, seconds: float) -> float:
        """Nothing new for so long. How long of it was called stalled."""
        called = 0.0
        while seconds > 0:
            step = min(1.0, seconds)
            self.clock.now += step
            seconds -= step
            called += step * (self.pauses.look() > 0)
        self.called += called
        return called

    def batches(self, times: Iterator[float]) -> None:
        """Batches that take so long each; those that are ready within a second are told together."""
        for seconds in times:
            self.wait(seconds)
            self.pauses.went_on()


def epoch(told: Told, batch: float, batches: int, validation: float, checkpoint: float, first: float = 0.0) -> None:
    """An epoch of which the validation is not recorded, only that it comes; ``first``: its first batch is compiled."""
    told.pauses.expect(batches=not first)
    if first:
        told.wait(first)
        told.pauses.went_on()
    told.pauses.expect(batches=True)
    told.batches(repeat(batch, batches))
    told.pauses.expect(batches=False)
    told.pauses.went_on()
    told.wait(validation)
    told.pauses.went_on()
    told.wait(checkpoint)


@pytest.mark.parametrize(
    ("batch", "batches", "validation", "checkpoint", "first"),
    [
        (1.0, 300, 20.0, 5.0, 2.0),
        (1.0, 600, 4 * MINUTE, 3 * MINUTE, 10.0),  # far slower things than batches come after the first epoch only
        (1.0, 120, 9 * MINUTE, 9 * MINUTE, 1.0),
        (0.3, 400, 2.0, 2.0, 45 * MINUTE),  # XLA takes its time
        (30.0, 40, 10 * MINUTE, MINUTE, 5 * MINUTE),
        (20 * MINUTE, 6, HOUR, MINUTE, 21 * MINUTE),  # steps_per_execution is large
    ],
)
def test_a_healthy_training_is_never_called_stalled(
    batch: float, batches: int, validation: float, checkpoint: float, first: float
) -> None:
    told = Told()
    epoch(told, batch, batches, validation, checkpoint, first)
    for _ in range(4):
        epoch(told, batch, batches, validation, checkpoint)
    assert told.called == 0


@pytest.mark.parametrize(
    ("batch", "before", "after_at_most"),
    [(1.0, 600, 5 * MINUTE), (1.0, 4000, MINUTE), (30.0, 100, 10 * MINUTE), (20 * MINUTE, 10, 400 * MINUTE)],
)
def test_a_training_that_hangs_is_called_stalled_in_time_and_not_any_more_once_it_goes_on(
    batch: float, before: int, after_at_most: float
) -> None:
    told = Told()
    told.batches(chain([2 * batch], repeat(batch, before)))
    told.pauses.expect(batches=True)
    called = told.wait(after_at_most + 10 * batch)
    assert 9 * batch <= called <= 10 * batch + 1 + after_at_most - 20 * batch
    told.pauses.went_on()
    assert told.pauses.look() == 0


def test_however_long_the_first_batch_is_compiled_it_is_not_called_stalled() -> None:
    told = Told()
    assert told.wait(5 * HOUR) == 0


def test_a_pause_that_comes_again_is_this_trainings_way() -> None:
    told = Told()
    told.pauses.expect(batches=True)
    called = []
    for _ in range(4):
        told.batches(repeat(1.0, 2000))
        called.append(told.wait(8 * MINUTE))  # in the middle of a pass
        told.pauses.went_on()
    assert called[0] > 0
    assert called[2:] == [0, 0]


def test_one_long_fault_does_not_hide_the_next() -> None:
    told = Told()
    told.pauses.expect(batches=True)
    told.batches(repeat(1.0, 3000))
    assert told.wait(9 * HOUR) > 8 * HOUR
    told.batches(repeat(1.0, 100))
    assert told.wait(5 * MINUTE) >= 3 * MINUTE


def test_a_laptop_that_slept_has_not_stalled() -> None:
    told = Told()
    told.pauses.expect(batches=True)
    told.batches(repeat(1.0, 3000))
    told.clock.now += 8 * HOUR
    assert told.wait(50.0) == 0
    assert told.wait(MINUTE) > 0


@pytest.mark.slow
def test_a_run_says_that_it_has_stalled_and_when_it_goes_on(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("GATHER_S", 0.05), ("_SOONEST_S", 0.02), ("HEARTBEAT_S", 0.1)):
        monkeypatch.setattr(flusher, name, value)
    for name in ("WITHIN_S", "YOUNG_WITHIN_S", "BETWEEN_S", "TIMES_USUAL", "TIMES_LONGEST"):
        monkeypatch.setattr(pauses, name, 0.0)
    monkeypatch.setattr(pauses, "WITHIN_S", 0.6)
    with Run(url=listener.url) as run:
        run.span("train", 1, 1)
        time.sleep(0.8)
        assert not any(flush.stalled_s for flush in listener.flushes)  # the first batch may take its time
        run.log(1, loss=0.5)
        until(lambda: any(flush.stalled_s for flush in listener.flushes))
        run.log(2, loss=0.5)
        until(lambda: len(listener.series("loss")[0]) == 2)
        with_batch = next(flush for flush in listener.flushes[::-1] if flush.series)
        assert with_batch.stalled_s == 0
