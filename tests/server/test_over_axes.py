"""Figures of several runs over HTTP: on any axis of training, and groups of runs as their mean and spread."""

from __future__ import annotations

import base64
import csv
import io
from typing import Any

import numpy as np
import pytest
from epochscope import wire
from stage import Service, Training, counted

STEPS = 20


def trained(service: Service, seed: int, name: str = "twin") -> Training:
    """Two epochs of ten batches of four, a pass after each; a clock that ticks half a second a step."""
    chance = np.random.default_rng(seed)
    training = Training(service, info={"name": name, "batches_per_epoch": 10})
    labels = chance.integers(0, 3, (STEPS + 2, 4))
    guesses = np.where(chance.random(labels.shape) < 0.7, labels, 0)
    batches = list(zip(labels, guesses, strict=True))
    training.send(
        confusion=[counted(batches[:STEPS]), counted(batches[STEPS:], 1, "val")],
        series=[
            wire.SeriesColumns.of("loss", "train", "batch", range(1, STEPS + 1), np.linspace(1, 0, STEPS) + seed),
            wire.SeriesColumns.of("system/seconds", "train", "batch", [10, 20], [5.0, 10.0]),
        ],
        spans=[
            *(wire.Span("train", one, 10 * one - 9, 10 * one + 1) for one in (1, 2)),
            *(wire.Span("val", one, one, one + 1) for one in (1, 2)),
        ],
        end=wire.End("finished"),
    )
    return training


def decoded(column: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.frombuffer(base64.b64decode(column["bdata"]), column["dtype"]).astype(np.float64)


def lines(figure: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one for one in figure["data"] if "hovertemplate" in one}


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ("step", [3, 8, 13, 18]),
        ("epoch", [0.3, 0.8, 1.3, 1.8]),
        ("samples", [12, 32, 52, 72]),
        ("time", [1.5, 4, 6.5, 9]),
    ],
)
def test_class_curves_of_training_stand_on_any_axis(service: Service, x: str, expected: list[float]) -> None:
    runs = ",".join(trained(service, seed).run for seed in (1, 2))
    figure = service.get("/figures/classes", runs=runs, x=x, width=5, focus=1)
    for line in lines(figure).values():
        assert decoded(line["x"]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("x", "expected"), [("step", [10, 20]), ("epoch", [1, 2]), ("samples", [40, 80]), ("time", [5, 10])]
)
def test_passes_of_validation_stand_at_the_ends_of_their_epochs(
    service: Service, x: str, expected: list[float]
) -> None:
    run = trained(service, 1).run
    figure = service.get("/figures/classes", runs=run, x=x, split="val", focus=1)
    (line,) = lines(figure).values()
    assert decoded(line["x"]).tolist() == expected
    told = service.get(f"/runs/{run}/classes", split="val", by="epoch")
    assert decoded(line["y"]) == pytest.approx(told["f1"]["value"][1], abs=1e-6)
    rows = list(
        csv.DictReader(io.StringIO(service.ask("/tables/classes", params={"runs": run, "x": x, "split": "val"}).text))
    )
    assert [row["epoch"] for row in rows if row["class"] == "dog"] == ["1", "2"]


def test_a_group_of_more_runs_than_are_drawn_over_each_other_is_one_line(service: Service) -> None:
    every = [trained(service, seed) for seed in range(10)]
    runs = ",".join(one.run for one in every)
    assert service.ask("/figures/classes", params={"runs": runs}).status_code == 422
    group = ["a"] * 9 + ["b"]
    figure = service.get("/figures/classes", runs=runs, group=group, width=5, focus=1, metric="recall")
    found = lines(figure)
    assert list(found) == ["a · dog", "b · dog"]
    told = [one.get("/classes", split="train", width=5)["recall"]["value"][1] for one in every]
    assert decoded(found["a · dog"]["y"]) == pytest.approx(np.mean(told[:9], axis=0), abs=1e-6)
    loss = lines(service.get("/figures/series", runs=runs, group=group, keys="loss"))
    assert decoded(loss["a · train"]["y"]) == pytest.approx(np.linspace(1, 0, STEPS) + 4, abs=1e-6)
    table = service.ask("/tables/series", params={"runs": runs, "group": group, "keys": "loss"}).text
    names = {row["run"] for row in csv.DictReader(io.StringIO(table))}
    assert len(names) == 10, "runs of one name are told apart by as much of their ids as that takes"


@pytest.mark.parametrize("route", ["/figures/classes", "/figures/series"])
def test_each_run_has_one_group(service: Service, route: str) -> None:
    runs = ",".join(trained(service, seed).run for seed in (1, 2))
    answer = service.ask(route, params={"runs": runs, "keys": "loss", "group": ["a"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "groups_and_runs")


def test_groups_have_no_baseline_and_one_run_has_no_axis_to_choose(service: Service) -> None:
    run = trained(service, 1).run
    query = {"runs": run, "keys": "loss", "group": ["a"], "baseline": run}
    assert service.ask("/figures/series", params=query).json()["error"]["code"] == "grouped_baseline"
    assert service.ask("/figures/classes", params={"run": run, "x": "time"}).json()["error"]["code"] == "several_needed"
