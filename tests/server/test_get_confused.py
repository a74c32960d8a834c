"""The largest confusions of a window, against counting by hand; searched, and of very many classes too."""

from __future__ import annotations

import csv
import io
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import recall_score
from stage import Service, Training, counted


def told(training: Training, classes: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, (6, 200))
    predicted = np.where(rng.random(true.shape) < 0.6, true, (true + rng.integers(1, 4, true.shape)) % classes)
    training.send(confusion=[counted(list(zip(true, predicted, strict=True)))])
    return true, predicted


@pytest.mark.parametrize("classes", [10, 1500])
def test_the_largest_confusions_are_those_that_were_counted(service: Service, classes: int) -> None:
    training = Training(service, class_names=tuple(f"kind {index}" for index in range(classes)))
    true, predicted = (column[2:5].ravel().tolist() for column in told(training, classes))
    answer = training.get("/confused", **{"from": 3, "to": 6}, limit=7)
    wrong = Counter((a, b) for a, b in zip(true, predicted, strict=True) if a != b)
    want = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:7]
    assert [((one["true"], one["predicted"]), one["count"]) for one in answer["confused"]] == want
    assert (answer["from"], answer["to"]) == (3, 6)
    assert (answer["total"], answer["total"] - answer["right"]) == (600, sum(wrong.values()))
    assert answer["different"] == len(wrong)
    first = answer["confused"][0]
    assert first["of"] == true.count(first["true"])
    assert first["called"] == predicted.count(first["predicted"])
    assert first["share"] == pytest.approx(first["count"] / first["of"], abs=1e-6)
    assert first["low"] < first["share"] < first["high"]
    assert answer["confused"][-1]["covered"] == pytest.approx(sum(n for _, n in want) / sum(wrong.values()), abs=1e-6)


def test_words_find_the_confusions_of_the_classes_they_name(service: Service) -> None:
    training = Training(service, class_names=("Red fox", "red panda", "grey fox", "owl"))
    pairs = [(0, 1, 3), (0, 2, 2), (2, 0, 4), (1, 3, 5), (3, 3, 9)]
    true, predicted = (np.repeat([pair[side] for pair in pairs], [pair[2] for pair in pairs]) for side in (0, 1))
    training.send(confusion=[counted([(true, predicted)])])

    def found(find: str) -> list[tuple[str, str, int]]:
        answer = training.get("/confused", find=find)
        return [(one["true_class"], one["predicted_class"], one["count"]) for one in answer["confused"]]

    assert found("FOX grey") == [("grey fox", "Red fox", 4), ("Red fox", "grey fox", 2)]
    assert found("panda") == [("red panda", "owl", 5), ("Red fox", "red panda", 3)]
    assert found("whale") == []
    assert training.get("/confused", find="panda")["right"] == 9  # what is found is a part; the window stays whole


def test_the_list_is_to_be_taken_away_as_a_table(service: Service) -> None:
    training = Training(service, class_names=("a", "b", "c"))
    training.send(confusion=[counted([([0, 0, 0, 1], [1, 1, 0, 2])])])
    answer = service.ask("/tables/confused", params={"run": training.run})
    rows = list(csv.reader(io.StringIO(answer.text, newline="")))
    assert rows[0] == ["true class", "predicted class", "count", "of", "share", "low", "high", "covered"]
    assert [row[:5] for row in rows[1:]] == [["a", "b", "2", "3", "0.666667"], ["b", "c", "1", "1", "1.0"]]


def test_of_too_many_classes_the_figure_has_the_list_alone(service: Service) -> None:
    training = Training(service, class_names=tuple(f"class {index}" for index in range(1001)))
    training.send(confusion=[counted([([1000, 1000, 3], [3, 3, 3])])])
    figure = service.get("/figures/confusion", run=training.run)
    assert figure["data"] == []
    assert "1,001 classes are too many for a matrix" in figure["layout"]["meta"]["summary"]
    (one,) = figure["layout"]["meta"]["largest"]
    assert (one["true"], one["predicted"], one["count"]) == (1000, 3, 2)


def test_an_order_is_of_the_whole_run_and_does_not_move_with_the_window(service: Service) -> None:
    training = Training(service, class_names=tuple("abcd"))
    true, predicted = told(training, 4)
    for order, window in (("error", {}), ("error", {"from": 2, "to": 3})):
        meta = service.get("/figures/confusion", run=training.run, order=order, **window)["layout"]["meta"]
        recall = recall_score(true.ravel(), predicted.ravel(), labels=range(4), average=None)
        assert meta["order"] == np.argsort(recall, kind="stable").tolist()
