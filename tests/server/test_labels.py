"""An output whose samples may have several labels: each label is a 2x2 of its own, on every route."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from epochscope import wire
from sklearn.metrics import f1_score, multilabel_confusion_matrix, precision_score, recall_score
from stage import Service, Training, counted

LABELS = ("red", "round", "ripe")
RANDOM = np.random.default_rng(11)
TRUE = RANDOM.uniform(size=(6, 20, 3)) > 0.5  # step, sample, label
SAID = np.where(RANDOM.uniform(size=TRUE.shape) > 0.3, TRUE, ~TRUE)


def batch(step: int) -> tuple[list[int], list[int]]:
    """Indices as they travel: label l says no as 2 l, yes as 2 l + 1."""
    no = 2 * np.arange(3)
    return (TRUE[step] + no).ravel().tolist(), (SAID[step] + no).ravel().tolist()


def told(service: Service, flip: bool = False) -> Training:
    training = Training(service, info={"outputs": [wire.Output("output", LABELS, True)]})
    pairs = [batch(step) for step in range(6)]
    training.send(
        confusion=[counted([(said, true) for true, said in pairs] if flip else pairs)],
        spans=[wire.Span("train", 1, 1, 4), wire.Span("train", 2, 4, 7)],
    )
    return training


@pytest.mark.parametrize("window", [{"from": 1, "to": 7}, {"from": 2, "to": 4}, {"epoch": 2}])
def test_each_label_is_a_two_by_two_of_its_own(window: dict[str, int], service: Service) -> None:
    training = told(service)
    start, stop = (4, 7) if "epoch" in window else (window["from"], window["to"])
    true, said = (array[start - 1 : stop - 1].reshape(-1, 3) for array in (TRUE, SAID))
    expected = multilabel_confusion_matrix(true, said)
    for number, label in enumerate(LABELS):
        answer = training.get("/confusion", label=label, **window)
        assert answer["class_names"] == ["no", "yes"]
        assert answer["counts"] == expected[number].tolist()


def test_the_curves_are_of_saying_yes_to_each_label(service: Service) -> None:
    training = told(service)
    answer = training.get("/classes", by="epoch")
    assert answer["class_names"] == list(LABELS)
    for epoch in (0, 1):
        true, said = (array[3 * epoch : 3 * epoch + 3].reshape(-1, 3) for array in (TRUE, SAID))
        for rate, score in (("recall", recall_score), ("precision", precision_score), ("f1", f1_score)):
            values = [curve[epoch] for curve in answer[rate]["value"]]
            assert values == pytest.approx(score(true, said, average=None))
        assert [curve[epoch] for curve in answer["support"]] == true.sum(axis=0).tolist()
    one = training.get("/classes", by="epoch", label="round")
    assert one["class_names"] == ["no", "yes"]
    assert one["f1"]["value"][1] == answer["f1"]["value"][1]
    assert one["support"][0][0] == (~TRUE[:3, :, 1]).sum()


def test_two_runs_are_compared_label_by_label(service: Service) -> None:
    runs = f"{told(service).run},{told(service, flip=True).run}"
    answer = service.get("/compare", runs=runs, split="train", label="ripe")
    assert [one["class_name"] for one in answer["classes"]] == ["no", "yes"]
    yes = answer["classes"][1]["recall"]
    assert yes["first"]["value"] == pytest.approx(recall_score(TRUE[..., 2].ravel(), SAID[..., 2].ravel()))
    assert yes["second"]["value"] == pytest.approx(recall_score(SAID[..., 2].ravel(), TRUE[..., 2].ravel()))


def test_figures_take_a_label_too(service: Service) -> None:
    one, other = told(service), told(service, flip=True)
    names = [trace.get("name") for trace in service.get("/figures/classes", run=one.run, focus="0,1,2")["data"]]
    assert set(LABELS) <= set(names)
    layout = service.get("/figures/confusion", run=one.run, label="red")["layout"]
    assert list(layout["xaxis"]["ticktext"]) == list(layout["yaxis"]["ticktext"]) == ["no", "yes"]
    assert service.get("/figures/compare", runs=f"{one.run},{other.run}", split="train", label="red")["data"]


@pytest.mark.parametrize(
    ("query", "status", "code", "word"),
    [
        ({}, 422, "label_needed", "red, round, ripe"),
        ({"label": "blue"}, 404, "unknown_label", "red, round, ripe"),
    ],
)
def test_a_matrix_of_no_known_label_is_answered_with_the_labels_there_are(
    query: dict[str, Any], status: int, code: str, word: str, service: Service
) -> None:
    answer = told(service).ask("/confusion", **query)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert word in answer.json()["error"]["message"]


def test_a_label_of_an_output_with_classes_is_refused(service: Service) -> None:
    training = Training(service)
    training.send(confusion=[counted([([0], [1])])])
    answer = training.ask("/confusion", label="cat")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "no_labels")


def test_the_run_says_which_outputs_have_labels(service: Service) -> None:
    (output,) = told(service).get()["outputs"]
    assert output == {"name": "output", "class_names": list(LABELS), "labels": True}


def test_counts_beyond_the_labels_and_a_change_of_kind_are_refused(service: Service) -> None:
    training = told(service)
    answer = training.post(training.flush(confusion=[counted([([6], [0])])]))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "class_out_of_range")
    training.seq -= 1
    changed = wire.RunInfo("animals", "zoo", 1, outputs=[wire.Output("output", LABELS)])
    answer = training.post(training.flush(info=changed))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "classes_changed")
