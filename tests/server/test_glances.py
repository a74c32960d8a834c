"""What the list of runs shows at a glance: the course of macro F1, the worst class, the certified drop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from epochscope import wire
from epochscope_server import glancer
from epochscope_server.analysis.glance import POINTS, thinned
from sklearn.metrics import f1_score
from stage import Service, Training, counted, start_service

NAMES = ("cat", "dog", "eel")
PASSES, BATCHES = 6, 40  # of an epoch


@pytest.fixture
def service(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(glancer, "TICK_S", 0.02)
    started = start_service(tmp_path_factory.mktemp("glances"))
    yield started
    started.stop()


def labelled(seed: int, steps: int, right: float = 0.8) -> tuple[Any, Any]:
    chance = np.random.default_rng(seed)
    true = chance.integers(0, 3, (steps, 32))
    return true, np.where(chance.random(true.shape) < right, true, chance.integers(0, 3, true.shape))


def epoch(training: Training, number: int, true: Any, predicted: Any, passed: tuple[Any, Any] | None = None) -> None:
    first = (number - 1) * BATCHES
    here = slice(first, first + BATCHES)
    counts = [counted(list(zip(true[here], predicted[here], strict=True)), first + 1)]
    spans = [wire.Span("train", number, first + 1, first + BATCHES + 1)]
    if passed is not None:
        counts.append(counted([passed], number, "val"))
        spans.append(wire.Span("val", number, number, number + 1))
    training.send(confusion=counts, spans=spans)


def seen(training: Training, until: Callable[[Any], object]) -> Any:
    """The run's glance, once it is as it should be."""
    deadline = time.monotonic() + 20
    while True:
        (listed,) = [one for one in training.service.get("/runs")["runs"] if one["id"] == training.run]
        if until(listed["glance"]):
            assert training.get()["glance"] == listed["glance"]
            return listed["glance"]
        assert time.monotonic() < deadline, listed["glance"]
        time.sleep(0.02)


def test_the_course_and_the_worst_class_are_those_of_scikit_learn_over_the_passes(service: Service) -> None:
    training = Training(service, class_names=NAMES)
    true, predicted = labelled(1, PASSES * BATCHES)
    passes = [(one, guess) for one, guess in zip(*labelled(2, PASSES, 0.6), strict=True)]
    for number in range(1, PASSES + 1):
        epoch(training, number, true, predicted, passes[number - 1])
    training.send(end=wire.End("finished"))
    told = seen(training, lambda glance: glance and len(glance["macro_f1"]) == PASSES)
    expected = [f1_score(one, guess, average="macro") for one, guess in passes]
    assert told["macro_f1"] == pytest.approx(expected, abs=1e-4)
    each = f1_score(*passes[-1], average=None)
    assert told["worst"] == {"class_name": NAMES[int(np.argmin(each))], "value": pytest.approx(min(each), abs=1e-4)}
    assert told["split"] == "val"


def test_the_drop_is_the_largest_of_those_on_the_page_of_stability(service: Service) -> None:
    training = Training(service, class_names=NAMES)
    true, predicted = labelled(3, PASSES * BATCHES, 0.9)
    late = slice(3 * BATCHES, 4 * BATCHES)
    predicted[late] = np.where(true[late] == 1, 2, predicted[late])
    for number in range(1, PASSES + 1):
        epoch(training, number, true, predicted)
    training.send(end=wire.End("finished"))
    drops = {one["class_name"]: one["certified_drop"]["value"] for one in training.get("/stability")["classes"]}
    worst = max(drops, key=lambda name: drops[name])
    assert worst == "dog"
    expected = {"class_name": "dog", "value": pytest.approx(drops["dog"], abs=1e-4)}
    told = seen(training, lambda glance: glance and glance["drop"] == expected)  # it is looked at more than once
    assert told["split"] == "train"
    steps = f1_score(true.ravel(), predicted.ravel(), average="macro")
    assert min(told["macro_f1"]) < steps < max(told["macro_f1"])


def test_a_run_that_goes_on_is_looked_at_once_an_epoch(service: Service) -> None:
    training = Training(service, class_names=NAMES)
    true, predicted = labelled(4, PASSES * BATCHES)
    passes = list(zip(*labelled(5, PASSES), strict=True))
    for number in (1, 2, 3):
        epoch(training, number, true, predicted, passes[number - 1])
    told = seen(training, lambda glance: glance and len(glance["macro_f1"]) == 2)  # of the third more may come
    epoch(training, 4, true, predicted, passes[3])
    later = seen(training, lambda glance: len(glance["macro_f1"]) == 3)
    assert later["macro_f1"][:2] == told["macro_f1"]


def test_a_run_without_classes_is_empty_at_a_glance(service: Service) -> None:
    training = Training(service, class_names=())
    training.send(series=[wire.SeriesColumns.of("loss", "train", "batch", [1, 2], [0.5, 0.4])])
    assert seen(training, lambda glance: glance is not None) == {}


def test_runs_that_were_told_while_nobody_looked_are_looked_at_after_the_next_start(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("later")
    monkeypatch.setattr(glancer.Glancer, "_round", lambda self: None)
    service = start_service(folder)
    training = Training(service, class_names=NAMES)
    epoch(training, 1, *labelled(6, BATCHES))
    training.send(end=wire.End("finished"))
    assert training.get()["glance"] is None
    service.stop()
    monkeypatch.undo()
    monkeypatch.setattr(glancer, "TICK_S", 0.02)
    training.service = start_service(folder)
    assert seen(training, lambda glance: glance)["split"] == "train"
    training.service.ask(f"/runs/{training.run}", "DELETE")
    training.service.stop()


def test_a_course_that_is_thinned_keeps_its_depths_its_heights_and_its_end() -> None:
    course = np.random.default_rng(7).random(1000)
    course[[137, 731]] = 0.0, 2.0
    course[400:450] = np.nan
    kept = thinned(course)
    assert len(kept) <= POINTS
    assert {kept.min(), kept.max()} == {0.0, 2.0}
    assert kept[-1] == course[-1]
    assert thinned(course[:POINTS]).tolist() == course[:POINTS].tolist()
