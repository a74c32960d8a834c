"""GET /runs/{run}/stability: what was planted in a training is found in its counts, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epochscope import Run, wire
from scipy.stats import binomtest
from sklearn.metrics import f1_score
from stage import Service, Training, counted

NAMES = ("cat", "dog", "eel", "fox", "gnu")
EPOCH, BATCH = 60, 64
STEPS = 4 * EPOCH


def guessed(labels: Any, rng: np.random.Generator, rate: float = 0.9) -> Any:
    return np.where(rng.random(len(labels)) < rate, labels, rng.integers(0, len(NAMES), len(labels)))


@pytest.fixture(scope="module")
def batches() -> list[tuple[Any, Any]]:
    """Five classes of recall 0.92; in steps 131 to 160 the eel is taken for the dog."""
    rng = np.random.default_rng(3)
    made = []
    for step in range(1, STEPS + 1):
        labels = rng.integers(0, len(NAMES), BATCH)
        guesses = guessed(labels, rng)
        if 131 <= step <= 160:
            guesses = np.where((labels == 2) & (rng.random(BATCH) < 0.7), 1, guesses)
        made.append((labels, guesses))
    return made


@pytest.fixture(scope="module")
def told(service: Service, batches: list[tuple[Any, Any]], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The training as ``Run`` tells it; the learning rate jumps at step 131, the eel's weight with epoch 3."""
    folder = tmp_path_factory.mktemp("spool")
    with Run("animals", "collapse", class_names=list(NAMES), url=service.url, spool_dir=folder) as run:
        for step, (labels, guesses) in enumerate(batches, 1):
            run.log(step, loss=0.5, learning_rate=0.1 if step < 131 else 0.5)
            run.confusion(step, labels, guesses)
        for epoch in range(1, 5):
            run.span("train", epoch, (epoch - 1) * EPOCH + 1, epoch * EPOCH + 1)
            weights: dict[str, Any] = {"class_weight/eel": 1.0 if epoch < 3 else 2.0}
            run.log(epoch, by="epoch", **weights)
    return lambda **query: service.get(f"/runs/{run.id}/stability", **query)


def of(answer: Any, name: str) -> Any:
    return next(one for one in answer["classes"] if one["class_name"] == name)


def test_the_whole_run_is_answered_class_by_class(told: Any, batches: list[tuple[Any, Any]]) -> None:
    answer = told()
    assert (answer["split"], answer["from"], answer["to"], answer["width"]) == ("train", 1, STEPS + 1, 1)
    assert [one["class_name"] for one in answer["classes"]] == list(NAMES)
    labels, guesses = (np.concatenate(side) for side in zip(*batches, strict=True))
    for index, one in enumerate(answer["classes"]):
        hits, seen = int(((labels == index) & (guesses == index)).sum()), int((labels == index).sum())
        interval = binomtest(hits, seen).proportion_ci(method="wilson")
        assert one["support"] == seen
        assert one["recall"] == pytest.approx({"value": hits / seen, "low": interval.low, "high": interval.high})
    macro = answer["averages"]["macro_f1"]
    assert macro["value"] == pytest.approx(f1_score(labels, guesses, average="macro"))
    assert macro["low"] < macro["value"] < macro["high"]


def test_a_planted_collapse_is_named_dated_and_explained_and_no_other_class_is_accused(told: Any) -> None:
    answer = told()
    drop, recovery = of(answer, "eel")["changes"]
    assert (drop["direction"], drop["kind"], recovery["direction"], recovery["kind"]) == (
        "drop", "drop", "rise", "recovery",
    )  # fmt: skip
    assert drop["from"] <= 131 < drop["to"]
    assert recovery["from"] <= 161 < recovery["to"]
    assert drop["to"] - drop["from"] <= 6
    assert drop["taken_for"] == recovery["taken_for"] == "dog"
    assert drop["before"]["low"] > 0.85 > 0.45 > drop["after"]["high"]
    assert drop["before"]["value"] == pytest.approx(recovery["after"]["value"], abs=0.04)
    assert not drop["mix"]["explains"]
    assert answer["order"][0] == 2
    for name in ("cat", "dog", "fox", "gnu"):
        assert of(answer, name)["changes"] == []
        assert of(answer, name)["certified_drop"]["value"] == 0
        assert of(answer, name)["forgetting"] == 0


def test_the_drop_is_certified_with_its_place_and_its_recovery(told: Any) -> None:
    drop = of(told(), "eel")["certified_drop"]
    assert 0.25 < drop["value"] < 0.7
    assert drop["value"] <= drop["likely"]
    assert 131 <= drop["from"] < drop["to"] <= 161
    assert drop["best"]["to"] <= 131
    assert 129 <= drop["fell"] <= 132
    assert 159 <= drop["back"] <= 165
    assert drop["recovery"] == drop["back"] - drop["fell"]


def test_where_nothing_fell_there_is_a_drop_of_zero_and_no_place(told: Any) -> None:
    drop = of(told(), "cat")["certified_drop"]
    assert drop.pop("likely") < 0.1
    assert drop == {"value": 0.0, "from": None, "to": None, "best": None, "fell": None, "back": None, "recovery": None}


def test_what_happened_near_a_change_is_told(told: Any) -> None:
    drop, recovery = of(told(), "eel")["changes"]
    assert [(event["what"], event["step"], event["says"]) for event in drop["near"]] == [
        ("learning_rate", 131, "learning rate 0.1 → 0.5")
    ]
    assert recovery["near"] == []


def test_an_epochs_border_and_a_class_weight_are_near_where_they_are(service: Service, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    with Run("animals", "border", class_names=list(NAMES), url=service.url, spool_dir=tmp_path) as run:
        for step in range(1, 161):
            labels = rng.integers(0, len(NAMES), BATCH)
            guesses = np.where((labels == 1) & (step > 80), 0, guessed(labels, rng))
            run.confusion(step, labels, guesses)
        for epoch in (1, 2):
            run.span("train", epoch, 80 * epoch - 79, 80 * epoch + 1)
            weights: dict[str, Any] = {"class_weight/dog": 2.0 / epoch, "class_weight/cat": float(epoch)}
            run.log(epoch, by="epoch", **weights)
    answer = service.get(f"/runs/{run.id}/stability")
    (drop,) = of(answer, "dog")["changes"]
    assert [event["says"] for event in drop["near"]] == ["epoch 2 begins", "weight of dog 2 → 1"]
    assert of(answer, "dog")["forgetting"] > 0.5


def test_chance_alone_is_noise_and_says_how_much_would_have_been_seen(told: Any) -> None:
    found = of(told(), "cat")["instability"]
    assert found["verdict"] == "noise"
    assert found["low"] < found["value"] < found["high"]
    assert found["low"] < 1 < found["high"]
    assert 0 < found["visible"] <= 0.05
    assert found["block"] == 4  # steps that hold 32 samples of a class


def test_a_class_that_jumps_all_the_time_is_unstable(service: Service) -> None:
    rng = np.random.default_rng(1)
    made = []
    for step in range(200):
        labels = rng.integers(0, len(NAMES), BATCH)
        rate = np.where(labels == 3, 0.9 if step // 8 % 2 else 0.4, 0.9)
        made.append((labels, np.where(rng.random(BATCH) < rate, labels, (labels + 1) % len(NAMES))))
    training = Training(service, class_names=NAMES)
    training.send(confusion=[counted(made)])
    answer = training.get("/stability")
    assert of(answer, "fox")["instability"]["verdict"] == "unstable"
    assert of(answer, "fox")["instability"]["movement"] > 0.1
    assert [one["instability"]["verdict"] for one in answer["classes"]].count("unstable") == 1


def test_a_mix_that_changes_is_named(service: Service) -> None:
    rng = np.random.default_rng(2)
    made = []
    for step in range(160):
        labels = rng.integers(0, len(NAMES), BATCH)
        if step >= 100:  # every cat is labelled as a dog, and still called a cat
            labels, guesses = np.where(labels == 0, 1, labels), labels
        else:
            guesses = labels
        made.append((labels, np.where(rng.random(BATCH) < 0.95, guesses, rng.integers(0, len(NAMES), BATCH))))
    training = Training(service, class_names=NAMES)
    training.send(confusion=[counted(made)])
    (drop,) = of(training.get("/stability"), "dog")["changes"]
    assert drop["from"] <= 101 < drop["to"]
    assert drop["taken_for"] == "cat"
    assert drop["mix"]["explains"]
    shifted = {share["class_name"]: share for share in drop["mix"]["shifted"]}
    assert shifted["cat"]["after"] == 0
    assert shifted["dog"]["after"] > 1.5 * shifted["dog"]["before"]


def test_learning_is_told_as_learning_with_the_step_by_which_it_was_done(service: Service) -> None:
    rng = np.random.default_rng(4)
    made = []
    for step in range(300):
        labels = rng.integers(0, len(NAMES), BATCH)
        made.append((labels, guessed(labels, rng, 0.9 * (1 - np.exp(-step / 25)))))
    training = Training(service, class_names=NAMES)
    training.send(confusion=[counted(made)])
    for one in training.get("/stability")["classes"]:
        assert {change["kind"] for change in one["changes"]} == {"learning"}
        assert len(one["changes"]) == 1
        assert 30 < one["learnt_at"] < 110
        assert one["certified_drop"]["value"] == 0


def test_a_window_is_analysed_by_itself(told: Any) -> None:
    answer = told(**{"from": 140, "to": 241})
    (rise,) = of(answer, "eel")["changes"]
    assert rise["direction"] == "rise"
    assert (answer["from"], answer["to"]) == (140, 241)


def test_validation_is_analysed_pass_by_pass(service: Service) -> None:
    rng = np.random.default_rng(6)
    made, spans = [], []
    for epoch in range(1, 9):
        for _ in range(5):
            labels = np.repeat(np.arange(len(NAMES)), 40)
            made.append((labels, np.where((labels == 1) & (epoch > 5), 2, guessed(labels, rng))))
        spans.append(wire.Span("val", epoch, 5 * epoch - 4, 5 * epoch + 1))
    training = Training(service, class_names=NAMES)
    training.send(confusion=[counted(made, split="val")], spans=spans)
    answer = training.get("/stability", split="val")
    assert (answer["from"], answer["to"], answer["width"]) == (1, 41, None)
    (drop,) = of(answer, "dog")["changes"]
    assert drop["from"] <= 26 < drop["to"]
    assert drop["taken_for"] == "eel"
    assert of(answer, "dog")["forgetting"] > 0.5


def test_what_is_below_its_best_now_is_an_alarm_while_the_run_goes_on(service: Service) -> None:
    rng = np.random.default_rng(8)
    made = []
    for step in range(200):
        labels = rng.integers(0, len(NAMES), BATCH)
        made.append((labels, np.where((labels == 4) & (step >= 150), 0, guessed(labels, rng))))
    training = Training(service, class_names=NAMES)
    training.send(confusion=[counted(made)])
    answer = training.get("/stability")
    alarm = of(answer, "gnu")["alarm"]
    assert 145 <= alarm["since"] <= 153
    assert alarm["now"]["high"] < 0.1 < 0.85 < alarm["best"]
    assert of(answer, "cat")["alarm"] is None
    training.send(end=wire.End("finished"))
    assert of(training.get("/stability"), "gnu")["alarm"] is None


def test_each_of_several_labels_is_a_class_and_one_label_a_pair(service: Service) -> None:
    rng = np.random.default_rng(9)
    made = []
    for step in range(120):
        true = rng.random((40, 2)) < 0.5
        said = np.where(rng.random((40, 2)) < 0.9, true, ~true)
        said[:, 1] &= step < 80  # the second label is no longer said
        made.append(((true + 2 * np.arange(2)).ravel(), (said + 2 * np.arange(2)).ravel()))
    training = Training(service, info={"outputs": [wire.Output("output", ("red", "round"), True)]})
    training.send(confusion=[counted(made)])
    answer = training.get("/stability")
    assert [one["class_name"] for one in answer["classes"]] == ["red", "round"]
    (drop,) = of(answer, "round")["changes"]
    assert drop["from"] <= 81 < drop["to"]
    assert drop["taken_for"] is None
    assert of(answer, "red")["changes"] == []
    pair = training.get("/stability", label="round")
    assert [one["class_name"] for one in pair["classes"]] == ["no", "yes"]
    assert of(pair, "yes")["changes"][0]["taken_for"] == "no"


def test_one_of_several_outputs_is_named(service: Service) -> None:
    outputs = [wire.Output("kind", NAMES), wire.Output("size", ("small", "large"))]
    training = Training(service, info={"outputs": outputs})
    training.send(confusion=[counted([([0, 1], [0, 1])], output="kind"), counted([([0], [1])], output="size")])
    assert training.ask("/stability").status_code == 422
    assert len(training.get("/stability", output="size")["classes"]) == 2


def test_without_counts_yet_everything_is_unknown_and_nothing_is_zero_that_is_not(service: Service) -> None:
    training = Training(service, class_names=NAMES)
    training.send()
    answer = training.get("/stability")
    assert (answer["from"], answer["to"], answer["averages"]) == (None, None, None)
    for one in answer["classes"]:
        assert one["recall"] == {"value": None, "low": None, "high": None}
        assert one["instability"]["verdict"] == "cannot tell"
        assert (one["support"], one["learnt_at"], one["changes"]) == (0, None, [])


def test_a_class_that_was_never_seen_is_unknown_among_those_that_were(service: Service) -> None:
    training = Training(service, class_names=NAMES)
    labels = np.tile([0, 1, 2, 3], 16)
    training.send(confusion=[counted([(labels, labels)] * 50)])
    answer = training.get("/stability")
    assert of(answer, "gnu")["recall"]["value"] is None
    assert of(answer, "cat")["instability"]["verdict"] == "noise"
    assert answer["order"][-1] == 4


@pytest.mark.parametrize("query", [{"split": "moon"}, {"from": 9, "to": 3}, {"output": "none"}, {"label": "x"}])
def test_what_makes_no_sense_is_refused(told: Any, service: Service, query: dict[str, Any]) -> None:
    training = Training(service, class_names=NAMES)
    training.send(confusion=[counted([([0], [0])])])
    assert training.ask("/stability", **query).status_code in (404, 422)


def test_an_unknown_run_is_not_there(service: Service) -> None:
    assert service.ask("/runs/nosuchrun1/stability").status_code == 404


def test_a_hundred_classes_and_a_thousand_are_answered(service: Service) -> None:
    rng = np.random.default_rng(10)
    for classes in (100, 1000):
        training = Training(service, class_names=tuple(f"c{index}" for index in range(classes)))
        made = []
        for step in range(60):
            labels = rng.integers(0, classes, 6 * classes)
            made.append((labels, np.where((labels == 7) & (step >= 30), 8, labels)))
        training.send(confusion=[counted(made)])
        answer = training.get("/stability")
        assert answer["order"][0] == 7
        assert of(answer, "c7")["changes"][0]["taken_for"] == "c8"
        assert [one["class_name"] for one in answer["classes"] if one["certified_drop"]["value"] > 0] == ["c7"]
