"""A run that goes back to a checkpoint: its latest word replaces what it said before, sealed or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from epochscope import wire
from sealing import seal
from stage import Service, Training, counted

Sealing = Callable[[], None]


@pytest.fixture(params=["waiting", "sealed"])
def sealing(request: pytest.FixtureRequest, service: Service) -> Sealing:
    """Called after each act: has it sealed, or leaves it waiting."""
    return (lambda: seal(service)) if request.param == "sealed" else (lambda: None)


def batch(true: int, predicted: int, first: int, stop: int, split: wire.Split = "train") -> dict[str, Any]:
    """One sample a batch, and its loss, for the steps from ``first`` to ``stop`` - 1."""
    steps = range(first, stop)
    return {
        "confusion": [counted([([true], [predicted])] * len(steps), first, split)],
        "series": [wire.SeriesColumns.of("loss", split, "batch", steps, [predicted + 0.5] * len(steps))],
    }


def resumed(training: Training, stream: str, started_ms: int, **at: int) -> Training:
    """Another process that goes on with the run of ``training``."""
    info = {"started_ms": started_ms, "resumed_at": at}
    return Training(training.service, run=training.run, stream=stream, info=info)


def column(training: Training, true: int, **query: Any) -> list[int]:
    counts: list[int] = training.get("/confusion", **query)["counts"][true]
    return counts


def test_steps_told_again_replace_and_those_not_reached_yet_are_gone(training: Training, sealing: Sealing) -> None:
    training.send(**batch(0, 0, 1, 101), spans=[wire.Span("train", 1, 1, 51), wire.Span("train", 2, 51, 101)])
    sealing()
    again = resumed(training, "stream01", 1_800_000_000_000, train=51)
    again.send(**batch(0, 1, 51, 61), spans=[wire.Span("train", 2, 51, 0)])
    sealing()
    assert column(training, 0) == [50, 10, 0]
    assert column(training, 0, **{"from": 45, "to": 55}) == [6, 4, 0]
    assert column(training, 0, epoch=2) == [0, 10, 0]
    run = training.get()
    assert run["steps"] == {"train": 60}
    assert [(span["epoch"], span["from"], span["to"]) for span in run["spans"]] == [(1, 1, 51), (2, 51, 61)]
    (loss,) = training.get("/series", keys="loss")["series"]
    assert loss["step"] == list(range(1, 61))
    assert loss["value"] == [0.5] * 50 + [1.5] * 10
    curves = training.get("/classes", width=30)
    assert (curves["from"], curves["tp"][0], curves["fn"][0]) == ([1, 31], [30, 20], [0, 10])
    assert training.get("/cell", true="cat", predicted="dog", width=30)["count"] == [0, 10]


def test_each_attempt_replaces_all_before_it(training: Training, sealing: Sealing) -> None:
    training.send(**batch(0, 0, 1, 101))
    for number, start in enumerate((51, 81, 21), 1):
        resumed(training, f"stream{number:02d}", number + 1_800_000_000_000, train=start).send(
            **batch(0, number % 3, start, start + 40)
        )
        sealing()
    assert column(training, 0) == [20 + 40, 0, 0]
    assert column(training, 0, to=21) == [20, 0, 0]
    assert training.get()["steps"] == {"train": 60}


def test_only_the_splits_that_are_named_go_back(training: Training, sealing: Sealing) -> None:
    training.send(**batch(0, 0, 1, 11))
    training.send(**batch(0, 0, 1, 11, "val"))
    sealing()
    again = resumed(training, "stream01", 1_800_000_000_000, train=6)
    again.send(**batch(0, 1, 6, 8))
    again.send(**batch(0, 1, 11, 13, "val"))
    sealing()
    assert column(training, 0) == [5, 2, 0]
    assert column(training, 0, split="val") == [10, 2, 0]
    assert training.get()["steps"] == {"train": 7, "val": 12}


def test_what_an_earlier_attempt_sends_late_does_not_come_back(training: Training, sealing: Sealing) -> None:
    training.send(**batch(0, 0, 1, 51))
    again = resumed(training, "stream01", 1_800_000_000_000, train=31)
    again.send(**batch(0, 1, 31, 41))
    sealing()
    training.send(**batch(0, 0, 51, 101))  # what lay in its spool
    training.send(**batch(0, 2, 11, 21))  # counts of a step that still counts add up
    sealing()
    assert column(training, 0) == [30, 10, 10]
    assert training.get()["steps"] == {"train": 40}
    # Nor where the first that is heard of it is after the attempt that replaces it.
    spooled = Training(training.service, run=training.run, stream="stream02")
    spooled.send(**batch(0, 0, 35, 60))
    sealing()
    assert column(training, 0) == [30, 10, 10]


def test_an_attempt_that_goes_on_under_another_stream_is_still_one(training: Training, sealing: Sealing) -> None:
    training.send(**batch(0, 0, 1, 51))
    for stream in ("stream01", "stream02"):
        resumed(training, stream, 1_800_000_000_000, train=31).send(**batch(0, 1, 31, 41))
        sealing()
    assert column(training, 0) == [30, 20, 0]


def test_a_crash_at_the_same_checkpoint_twice_is_two_attempts(training: Training, sealing: Sealing) -> None:
    training.send(**batch(0, 0, 1, 51))
    for number in (1, 2):
        resumed(training, f"stream{number:02d}", 1_800_000_000_000 + number, train=31).send(**batch(0, 1, 31, 41))
        sealing()
    assert column(training, 0) == [30, 10, 0]


def test_two_streams_that_do_not_resume_add_up(training: Training, sealing: Sealing) -> None:
    training.send(**batch(0, 0, 1, 51))
    sealing()
    Training(training.service, run=training.run, stream="stream01").send(**batch(0, 1, 31, 61))
    sealing()
    assert column(training, 0) == [50, 30, 0]
    assert training.get()["steps"] == {"train": 60}


def test_a_run_says_how_many_processes_have_told_of_it(training: Training) -> None:
    training.send(**batch(0, 0, 1, 51))
    assert training.get()["processes"] == 1
    Training(training.service, run=training.run, stream="stream00again").send(**batch(0, 1, 51, 61))
    assert training.get()["processes"] == 1
    Training(training.service, run=training.run, stream="stream01").send(**batch(0, 1, 61, 71))
    assert training.get()["processes"] == 2


def test_of_an_epoch_told_again_the_latest_word_counts_and_later_ones_are_gone(
    training: Training, sealing: Sealing
) -> None:
    def accuracy(first: int, values: list[float]) -> wire.SeriesColumns:
        return wire.SeriesColumns.of("accuracy", "val", "epoch", range(first, first + len(values)), values)

    training.send(series=[accuracy(1, [0.1, 0.2, 0.3, 0.4])])
    sealing()
    again = resumed(training, "stream01", 1_800_000_000_000, train=51, val=6)
    again.send(series=[accuracy(3, [0.9])])
    sealing()
    (found,) = training.get("/series", split="val", by="epoch")["series"]
    assert (found["step"], found["value"]) == ([1, 2, 3], [0.1, 0.2, 0.9])


def test_a_run_says_which_attempt_told_which_steps(training: Training) -> None:
    training.send(**batch(0, 0, 1, 51))
    assert training.get()["attempts"] == []
    resumed(training, "stream01", 1_800_000_000_000, train=31, val=3).send(**batch(0, 1, 31, 41))
    assert training.get()["attempts"] == [
        {"split": "train", "attempt": 1, "from": 1, "to": 31},
        {"split": "train", "attempt": 2, "from": 31, "to": 41},
    ]


@pytest.mark.parametrize("at", [{"train": 0}, {"moon": 3}, {"train": -1}, {"train": "soon"}])
def test_a_resumption_that_makes_no_sense_is_refused(training: Training, at: dict[Any, Any]) -> None:
    answer = training.post(training.flush(info=wire.RunInfo("p", "n", 1, resumed_at=at)))
    assert answer.status_code == 422
    assert "resumed_at" in answer.json()["error"]["message"]
