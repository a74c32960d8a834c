"""GET /compare: two runs over the same window, the second minus the first."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from epochscope import wire
from epochscope_server.analysis import compare, rates
from stage import Service, Training, counted


def trained(service: Service, *matrix: list[int], names: tuple[str, ...] = ("cat", "dog", "eel")) -> Training:
    training = Training(service, class_names=names)
    labels = [row for row, line in enumerate(matrix) for count in line for _ in range(count)]
    guesses = [column for line in matrix for column, count in enumerate(line) for _ in range(count)]
    training.send(confusion=[counted([(labels, guesses)])])
    return training


def test_the_difference_is_the_second_runs_share_minus_the_firsts(service: Service) -> None:
    first = trained(service, [8, 2, 0], [0, 4, 0], [0, 0, 0])
    second = trained(service, [5, 5, 0], [0, 8, 0], [0, 0, 0])
    answer = service.get("/compare", runs=f"{first.run},{second.run}", split="train")
    np.testing.assert_allclose(answer["difference"][:2], [[-0.3, 0.3, 0.0], [0.0, 0.0, 0.0]], atol=1e-12)
    assert answer["difference"][2] == [None] * 3
    cat = answer["classes"][0]["recall"]
    assert (cat["first"]["value"], cat["second"]["value"]) == (0.8, 0.5)
    assert cat["difference"]["value"] == pytest.approx(-0.3)
    assert cat["difference"]["low"] < -0.3 < cat["difference"]["high"]


def test_newcombes_published_example_comes_out() -> None:
    # Newcombe 1998, table II, row (a), method 10: 56/70 against 48/80 is 0.2000, from 0.0524 to 0.3339.
    a = rates.wilson(np.array([48]), np.array([80]), NormalDist().inv_cdf(0.975))
    b = rates.wilson(np.array([56]), np.array([70]))
    found = compare.difference(a, b)
    assert [round(float(end[0]), 4) for end in (found.value, found.low, found.high)] == [0.2, 0.0524, 0.3339]


def test_runs_with_other_classes_are_not_subtracted(service: Service) -> None:
    first = trained(service, [1, 0, 0], [0, 0, 0], [0, 0, 0])
    second = trained(service, [1, 0], [0, 0], names=("cat", "dog"))
    answer = service.ask("/compare", params={"runs": f"{first.run},{second.run}", "split": "train"})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "other_classes"


@pytest.mark.parametrize(("runs", "status"), [("", 422), ("one", 422), ("a,b,c", 422), ("nosuch01,nosuch02", 404)])
def test_a_difference_is_of_two_known_runs(service: Service, runs: str, status: int) -> None:
    assert service.ask("/compare", params={"runs": runs}).status_code == status


def test_two_windows_of_one_run_are_compared_as_two_runs_are(service: Service) -> None:
    training = Training(service)
    right, wrong = np.zeros(40, np.int64), np.ones(40, np.int64)
    training.send(
        confusion=[counted([(right, right)] * 2 + [(right, wrong)] * 2)],
        spans=[wire.Span("train", 1, 1, 3), wire.Span("train", 2, 3, 5)],
    )
    by_epoch = service.get("/compare", runs=training.run, split="train", epoch=1, second_epoch=2)
    by_step = service.get(
        "/compare", runs=training.run, split="train", **{"from": 1, "to": 3, "second_from": 3, "second_to": 5}
    )
    for found in (by_epoch, by_step):
        assert [(one["id"], one["from"], one["to"]) for one in found["runs"]] == [
            (training.run, 1, 3), (training.run, 3, 5),
        ]  # fmt: skip
        assert found["difference"][0][:2] == [-1.0, 1.0]
        assert found["classes"][0]["recall"]["difference"]["value"] == -1.0
        assert found["classes"][0]["recall"]["real"]
    figure = service.get("/figures/deltas", runs=training.run, split="train", epoch=1, second_epoch=2, metric="recall")
    assert figure["layout"]["meta"]["names"] == ["epoch 1", "epoch 2"]
    table = service.ask(
        "/tables/compare", params={"runs": training.run, "split": "train", "epoch": 1, "second_epoch": 2}
    )
    assert table.text.splitlines()[0] == "split,class,metric,epoch 1,epoch 2,difference,low,high,p,q,real"


def test_one_run_without_a_second_window_is_no_comparison(service: Service) -> None:
    training = Training(service)
    training.send(confusion=[counted([([0], [0])])])
    answer = service.ask("/compare", params={"runs": training.run, "split": "train"})
    assert answer.status_code == 422
    assert "two windows of one" in answer.json()["error"]["message"]
