"""GET /runs/{run}/classes: per-class rates of consecutive windows, held against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from epochscope import wire
from scipy.stats import binomtest
from sealing import seal
from sklearn.metrics import precision_recall_fscore_support
from stage import Service, Training, counted

CLASSES = 4


@pytest.fixture(scope="module")
def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(5)
    made = []
    for _ in range(50):
        labels = random.integers(0, CLASSES - 1, 32)  # the last class never occurs
        made.append((labels, np.where(random.random(32) < 0.7, labels, random.integers(0, CLASSES, 32))))
    return made


@pytest.fixture(scope="module")
def told(service: Service, batches: list[tuple[np.ndarray, np.ndarray]]) -> Training:
    training = Training(service, class_names=("a", "b", "c", "absent"))
    training.send(confusion=[counted(batches)])
    training.send(spans=[wire.Span("train", 1, 1, 21), wire.Span("train", 2, 21, 0)])
    return training


def test_each_window_has_scikit_learns_rates(told: Training, batches: list[tuple[np.ndarray, np.ndarray]]) -> None:
    answer = told.get("/classes", points=7)
    assert answer["from"] == [1, 9, 17, 25, 33, 41, 49]
    assert answer["to"] == [9, 17, 25, 33, 41, 49, 51]
    for point, (start, stop) in enumerate(zip(answer["from"], answer["to"], strict=True)):
        labels, guesses = (np.concatenate([batch[side] for batch in batches[start - 1 : stop - 1]]) for side in (0, 1))
        expected = precision_recall_fscore_support(labels, guesses, labels=range(CLASSES), zero_division=np.nan)
        for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
            found = answer[name] if name == "support" else answer[name]["value"]
            np.testing.assert_allclose([row[point] if row[point] is not None else np.nan for row in found], values)


def test_intervals_are_scipys_wilson_intervals(told: Training) -> None:
    answer = told.get("/classes", points=3)
    tp, fp, fn = (np.array(answer[name]) for name in ("tp", "fp", "fn"))
    for row in range(CLASSES - 1):
        for point in range(3):
            k = int(tp[row, point])
            trials = {"recall": k + fn[row, point], "precision": k + fp[row, point]}
            for name, n in trials.items():
                interval = binomtest(k, int(n)).proportion_ci(method="wilson")
                assert answer[name]["low"][row][point] == pytest.approx(interval.low, abs=1e-12)
                assert answer[name]["high"][row][point] == pytest.approx(interval.high, abs=1e-12)
            jaccard = binomtest(k, int(k + fp[row, point] + fn[row, point])).proportion_ci(method="wilson")
            for end in ("low", "high"):
                j = getattr(jaccard, end)
                assert answer["f1"][end][row][point] == pytest.approx(2 * j / (1 + j), abs=1e-12)


def test_a_class_without_support_is_unknown_and_not_zero(told: Training) -> None:
    answer = told.get("/classes", points=1)
    assert answer["support"][3] == [0]
    assert answer["recall"]["value"][3] == [None]
    assert answer["recall"]["low"][3] == [None]


def test_two_points_of_fifty_steps_are_two_halves(told: Training) -> None:
    answer = told.get("/classes", split="train", points=2)
    assert (answer["from"], answer["to"]) == ([1, 26], [26, 51])


def test_windows_have_the_width_that_is_asked_for(told: Training) -> None:
    answer = told.get("/classes", width=20, **{"from": 5, "to": 48})
    assert (answer["from"], answer["to"]) == ([5, 25, 45], [25, 45, 48])


def test_without_a_wish_a_thin_rest_belongs_to_the_last_window(told: Training) -> None:
    answer = told.get("/classes", to=61)  # 50 steps
    assert (answer["from"], answer["to"]) == ([1, 26], [26, 51])
    answer = told.get("/classes", to=37)
    assert (answer["from"], answer["to"]) == ([1], [37])
    answer = told.get("/classes", to=40)
    assert (answer["from"], answer["to"]) == ([1, 26], [26, 40])


def test_single_batches_are_one_step_wide(told: Training) -> None:
    assert len(told.get("/classes", width=1)["from"]) == 50


def test_by_epoch_each_point_is_an_epoch(told: Training) -> None:
    answer = told.get("/classes", by="epoch")
    assert (answer["epoch"], answer["from"], answer["to"]) == ([1, 2], [1, 21], [21, 51])
    assert np.sum(answer["support"]) == 50 * 32


def test_the_sum_of_all_windows_is_the_window_of_all(told: Training) -> None:
    whole, parts = told.get("/classes", points=1), told.get("/classes", points=13)
    for name in ("tp", "fp", "fn"):
        assert np.sum(parts[name], axis=1).tolist() == np.ravel(whole[name]).tolist()


def test_what_contradicts_itself_is_refused(told: Training) -> None:
    for query in ({"points": 3, "width": 2}, {"by": "epoch", "points": 3}, {"points": 0}, {"width": 0}, {"by": "moon"}):
        assert told.ask("/classes", **query).status_code == 422


def test_more_values_than_an_answer_can_hold_are_refused(service: Service) -> None:
    training = Training(service, class_names=tuple(f"class {index}" for index in range(5000)))
    columns = wire.ConfusionColumns.of("output", "train", [1, 1000], [1, 1], [0, 4999], [0, 0], [1, 1])
    training.send(confusion=[columns])
    answer = training.ask("/classes", width=1)
    assert answer.status_code == 422
    message = answer.json()["error"]["message"]
    assert "at most 100 for all 5,000 classes" in message
    assert "classes=" in message
    some = training.get("/classes", width=1, classes="4999,0")
    assert some["class_names"] == ["class 4999", "class 0"]
    assert (np.sum(some["fn"], axis=1).tolist(), np.sum(some["fp"], axis=1).tolist()) == ([1, 0], [0, 1])


@pytest.mark.parametrize("choice", ["4", "x", "-1", "0,,1"])
def test_a_choice_of_classes_that_are_not_there_is_refused(told: Training, choice: str) -> None:
    answer = told.ask("/classes", classes=choice)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "classes"


def test_many_points_of_a_long_training_lie_on_a_grid_and_leave_no_step_out(service: Service) -> None:
    training = Training(service, class_names=("a", "b"))
    steps = range(1, 20_001)
    columns = wire.ConfusionColumns.of("output", "train", steps, [1] * 20_000, [0] * 20_000, [1] * 20_000, [1] * 20_000)
    training.send(confusion=[columns])
    for _ in range(2):
        answer = training.get("/classes", points=300, **{"from": 5, "to": 19_999})
        starts, stops = np.array(answer["from"]), np.array(answer["to"])
        assert len(starts) <= 300
        assert (starts[0], stops[-1]) == (5, 19_999)
        assert (starts[1:] == stops[:-1]).all()
        assert not (starts[1:] % 16).any()
        assert answer["fn"][0] == (stops - starts).tolist()
        assert answer["fp"][1] == (stops - starts).tolist()
        default = training.get("/classes")
        assert len(default["from"]) == 313  # of 64 steps; what is left over, 33 steps, is more than half of that
        few = training.get("/classes", points=7)
        assert set(np.diff(few["from"])) == {2858}
        seal(service)


def test_a_step_far_away_does_not_fill_the_memory(service: Service) -> None:
    training = Training(service)
    training.send(
        confusion=[wire.ConfusionColumns.of("output", "train", [1, wire.MAX_STEP], [1, 1], [0, 1], [0, 1], [1, 1])]
    )
    assert training.ask("/classes", width=1).status_code == 422
    answer = training.get("/classes")
    assert len(answer["from"]) <= 400
    assert np.sum(answer["tp"]) == 2
