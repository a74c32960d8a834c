"""GET /runs/{run}/cell: the course of one confusion, held against a plain count and scipy, sealed or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from epochscope import wire
from scipy.stats import binomtest
from sealing import seal
from stage import Service, Training, counted

BATCHES, CLASSES = 1300, 3
CHANCE = np.random.default_rng(9)
TRUE = CHANCE.integers(0, CLASSES, (BATCHES, 5))
GUESSED = CHANCE.integers(0, CLASSES, (BATCHES, 5))


@pytest.fixture(scope="module", params=["waiting", "sealed", "half sealed"])
def told(request: pytest.FixtureRequest, service: Service) -> Training:
    training = Training(service, class_names=("cat", "dog", "1"))
    for first in range(0, BATCHES, 100):
        batches = list(zip(TRUE[first : first + 100], GUESSED[first : first + 100], strict=True))
        training.send(confusion=[counted(batches, first + 1)])
        if request.param == "half sealed" and first == 600:
            seal(service)
    training.send(spans=[wire.Span("train", 1, 1, 641), wire.Span("train", 2, 641, 0)])
    if request.param == "sealed":
        seal(service)
    return training


def plainly(start: int, stop: int, true: int, predicted: int) -> tuple[int, int]:
    members = TRUE[start - 1 : stop - 1] == true
    return int((members & (GUESSED[start - 1 : stop - 1] == predicted)).sum()), int(members.sum())


@pytest.mark.parametrize("true", [0, 1, 2])
@pytest.mark.parametrize("predicted", [0, 2])
@pytest.mark.parametrize(
    "query",
    [
        {"points": 1},
        {"points": 7},
        {"width": 1, "from": 500, "to": 600},
        {"width": 512, "from": 3},
        {"by": "epoch"},
        {},
    ],
)
def test_each_window_is_a_plain_count(told: Training, true: int, predicted: int, query: dict[str, Any]) -> None:
    names = ("cat", "dog", "1")
    answer = told.get("/cell", true=names[true], predicted=names[predicted], **query)
    assert len(answer["from"]) == len(answer["to"]) > 0
    for point, (start, stop) in enumerate(zip(answer["from"], answer["to"], strict=True)):
        assert (answer["count"][point], answer["support"][point]) == plainly(start, stop, true, predicted)


def test_the_share_has_scipys_wilson_interval(told: Training) -> None:
    answer = told.get("/cell", true="dog", predicted="cat", points=3)
    for point in range(3):
        k, n = answer["count"][point], answer["support"][point]
        interval = binomtest(k, n).proportion_ci(method="wilson")
        found = {name: values[point] for name, values in answer["rate"].items()}
        assert found == pytest.approx({"value": k / n, "low": interval.low, "high": interval.high})


def test_a_class_may_be_named_by_its_index_unless_one_is_called_so(told: Training) -> None:
    assert told.get("/cell", true="0", predicted="1")["predicted"] == "1"
    assert told.get("/cell", true="0", predicted="2")["predicted"] == "1"


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ({"true": "cow", "predicted": "cat"}, 404, "'cow'"),
        ({"true": "cat", "predicted": "7"}, 404, "0 to 2"),
        ({"true": "cat"}, 422, "predicted"),
        ({"true": "cat", "predicted": "dog", "points": 3, "width": 3}, 422, "not for both"),
        ({"true": "cat", "predicted": "dog", "split": "moon"}, 422, "split"),
    ],
)
def test_what_is_unknown_is_named(told: Training, query: dict[str, Any], status: int, word: str) -> None:
    answer = told.ask("/cell", **query)
    assert answer.status_code == status
    assert word in answer.json()["error"]["message"]


def test_a_label_has_a_cell_of_its_own_two_by_two(service: Service) -> None:
    training = Training(service, info={"outputs": [wire.Output("output", ("red", "ripe"), True)]})
    training.send(confusion=[counted([([0, 2, 3], [1, 3, 3]), ([3, 3], [2, 3])])])
    for _ in range(2):
        answer = training.get("/cell", label="ripe", true="yes", predicted="no", width=1)
        assert (answer["count"], answer["support"]) == ([0, 1], [1, 2])
        seal(service)
    assert training.ask("/cell", true="red", predicted="ripe").json()["error"]["code"] == "label_needed"
