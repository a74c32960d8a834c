"""GET /runs/{run}/confusion: the exact matrix of any window, held against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from epochscope import wire
from sealing import seal
from sklearn.metrics import confusion_matrix
from stage import Service, Training, counted

BATCHES, CLASSES = 120, 5


class Seen:
    """What a made-up training saw: labels and guesses of each batch, batches of uneven size."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.batches = []
        for _ in range(BATCHES):
            size = int(random.integers(1, 40))
            labels = random.integers(0, CLASSES, size)
            guesses = np.where(random.random(size) < 0.6, labels, random.integers(0, CLASSES, size))
            self.batches.append((labels, guesses))

    def matrix(self, start: int, stop: int) -> list[list[int]]:
        chosen = self.batches[start - 1 : stop - 1]
        labels, guesses = (np.concatenate([batch[side] for batch in chosen]) for side in (0, 1))
        found: list[list[int]] = confusion_matrix(labels, guesses, labels=range(CLASSES)).tolist()
        return found


@pytest.fixture(scope="module")
def train() -> Seen:
    return Seen(1)


@pytest.fixture(scope="module")
def val() -> Seen:
    return Seen(2)


@pytest.fixture(scope="module")
def told(service: Service, train: Seen, val: Seen) -> Training:
    """A run of three epochs of 40 batches, sent in flushes that do not stop where epochs do."""
    training = Training(service, class_names=tuple("abcde"))
    for first in range(0, BATCHES, 7):
        training.send(
            confusion=[
                counted(train.batches[first : first + 7], first + 1),
                counted(val.batches[first : first + 7], first + 1, "val"),
            ]
        )
    for split in ("train", "val"):
        for epoch in (1, 2, 3):
            stop = 40 * epoch + 1
            training.send(spans=[wire.Span(split, epoch, stop - 40, stop)])
    return training


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(("start", "stop"), [(1, 2), (1, 121), (7, 8), (8, 15), (3, 100), (40, 41), (119, 121)])
def test_a_window_is_scikit_learns_matrix(
    told: Training, train: Seen, val: Seen, split: str, start: int, stop: int
) -> None:
    seen = train if split == "train" else val
    answer = told.get("/confusion", split=split, **{"from": start, "to": stop})
    assert answer["counts"] == seen.matrix(start, stop)
    assert (answer["from"], answer["to"], answer["split"]) == (start, stop, split)


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_an_epoch_is_scikit_learns_matrix(told: Training, train: Seen, val: Seen, epoch: int) -> None:
    start, stop = 40 * (epoch - 1) + 1, 40 * epoch + 1
    assert told.get("/confusion", epoch=epoch)["counts"] == train.matrix(start, stop)
    assert told.get("/confusion", split="val", epoch=epoch)["counts"] == val.matrix(start, stop)


def test_a_window_left_open_reaches_to_the_end_of_the_run(told: Training, train: Seen) -> None:
    assert told.get("/confusion")["counts"] == train.matrix(1, 121)
    assert told.get("/confusion", **{"from": 50})["counts"] == train.matrix(50, 121)
    assert told.get("/confusion", to=50)["counts"] == train.matrix(1, 50)


def test_what_lies_outside_the_run_is_clipped(told: Training, train: Seen) -> None:
    answer = told.get("/confusion", **{"from": -5, "to": 10_000})
    assert (answer["from"], answer["to"]) == (1, 121)
    assert answer["counts"] == train.matrix(1, 121)
    beyond = told.get("/confusion", **{"from": 500, "to": 600})
    assert np.sum(beyond["counts"]) == 0


@pytest.mark.parametrize(("start", "stop"), [(9, 3), (5, 5), (0, 0)])
def test_a_reversed_or_empty_window_is_refused(told: Training, start: int, stop: int) -> None:
    answer = told.ask("/confusion", **{"from": start, "to": stop})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "from"


def test_a_window_that_ends_before_the_first_step_is_refused(told: Training) -> None:
    assert told.ask("/confusion", to=0).status_code == 422


def test_what_is_unknown_is_named(told: Training) -> None:
    for query, status, word in (
        ({"epoch": 4}, 404, "1, 2, 3"),
        ({"epoch": 0}, 422, "epoch"),
        ({"epoch": 1, "from": 3}, 422, "not for both"),
        ({"output": "head"}, 404, "output"),
        ({"split": "moon"}, 422, "split"),
        ({"from": "soon"}, 422, "integer"),
    ):
        answer = told.ask("/confusion", **query)
        assert answer.status_code == status
        assert word in answer.json()["error"]["message"]


def test_an_unknown_run_is_404(service: Service) -> None:
    answer = service.ask("/runs/nosuchrun/confusion")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_run"


def test_a_split_without_data_yet_answers_zeros(told: Training) -> None:
    answer = told.get("/confusion", split="test")
    assert np.sum(answer["counts"]) == 0
    assert (answer["from"], answer["to"]) == (1, 1)


def test_an_epoch_that_goes_on_holds_what_came_so_far(training: Training) -> None:
    training.send(spans=[wire.Span("train", 1, 1, 0)])
    assert np.sum(training.get("/confusion", epoch=1)["counts"]) == 0
    training.send(confusion=[counted([([0, 1], [0, 1])])])
    assert np.sum(training.get("/confusion", epoch=1)["counts"]) == 2


def test_counts_given_twice_for_a_step_add_up(training: Training) -> None:
    training.send(confusion=[counted([([0], [1])]), counted([([0], [1])])])
    training.send(confusion=[counted([([0], [1])])])
    assert training.get("/confusion", **{"from": 1, "to": 2})["counts"][0][1] == 3


def test_several_outputs_are_asked_for_by_name(service: Service) -> None:
    outputs = [wire.Output("shape", ("round", "square")), wire.Output("ink", ("red", "blue", "green"))]
    training = Training(service, info={"outputs": outputs})
    training.send(confusion=[counted([([0], [1])], output="shape"), counted([([2], [2])], output="ink")])
    assert training.get("/confusion", output="shape")["counts"] == [[0, 1], [0, 0]]
    assert training.get("/confusion", output="ink")["counts"][2] == [0, 0, 1]
    answer = training.ask("/confusion")
    assert answer.status_code == 422
    assert "shape, ink" in answer.json()["error"]["message"]


def test_a_run_without_counts_says_why(service: Service) -> None:
    training = Training(service, class_names=(), info={"capture": "loss only: this is a regression"})
    training.send(series=[wire.SeriesColumns.of("loss", "train", "batch", [1], [0.5])])
    answer = training.ask("/confusion")
    assert answer.status_code == 404
    assert "this is a regression" in answer.json()["error"]["message"]


def test_a_matrix_of_many_classes_is_answered_cell_by_cell(service: Service) -> None:
    classes = 100_000
    training = Training(service, class_names=tuple(map(str, range(classes))))
    pairs = ([99_999, 7, 99_999, 7], [0, 7, 0, 99_999])
    training.send(confusion=[counted([pairs, pairs])])
    expected = {"true": [7, 7, 99_999], "predicted": [7, 99_999, 0], "count": [2, 2, 4]}
    for _ in range(2):
        answer = training.get("/confusion")
        assert (answer["counts"], answer["cells"]) == (None, expected)
        assert training.get("/confusion", to=2)["cells"]["count"] == [1, 1, 2]
        assert training.get("/classes", points=1, classes="7,99999")["support"] == [[4], [4]]
        seal(service)


def test_a_table_is_made_only_of_a_matrix_that_a_sheet_can_hold(service: Service) -> None:
    training = Training(service, class_names=tuple(f"class {index}" for index in range(1001)))
    training.send(confusion=[counted([([1000], [3])])])
    answer = service.ask("/tables/confusion", params={"run": training.run})
    assert answer.status_code == 422
    assert "cells that are not 0" in answer.json()["error"]["message"]
    assert training.get("/classes", points=1)["support"][1000] == [1]


@pytest.mark.parametrize("area", ["", "1", "0,1,2", "0,1,2,x", "5,5,0,3", "0,4,0,3", "2,1,0,3", "-1,2,0,3"])
def test_a_part_of_a_map_that_is_none_is_refused(service: Service, area: str) -> None:
    training = Training(service)
    training.send(confusion=[counted([([0, 1], [0, 1])])])
    answer = service.ask("/figures/confusion", params={"run": training.run, "area": area})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "area")
