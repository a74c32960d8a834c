"""GET /figures/parallel and /tables/parallel: many runs by their params and results."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from epochscope import wire
from stage import Service, Training


@pytest.fixture(scope="module")
def sweep(service: Service) -> list[str]:
    """Four runs of two optimizers, each with a result."""
    ids = []
    for number, (optimizer, lr) in enumerate([("adam", 0.1), ("adam", 0.01), ("sgd", 0.001), ("sgd", 0.1)]):
        params: dict[str, Any] = {"optimizer": optimizer, "lr": lr, "batch": 32, "layers": f"8,{number}"}
        training = Training(service, info={"name": f"try {number}", "params": params})
        values = wire.SeriesColumns.of("macro_f1", "val", "epoch", [1], [number / 10])
        training.send(series=[values])
        ids.append(training.run)
    return ids


def test_axes_are_the_params_that_differ_and_the_results(service: Service, sweep: list[str]) -> None:
    meta = service.get("/figures/parallel", runs=",".join(sweep))["layout"]["meta"]
    assert [one["name"] for one in meta["axes"]] == [
        "params.layers", "params.lr", "params.optimizer", "summary.val_macro_f1",
    ]  # fmt: skip
    assert meta["colour"] == "summary.val_macro_f1"
    assert next((row["name"], row["words"][1:]) for row in meta["table"]) == ("try 3", ["0.1", "sgd", "0.3"])


def test_a_stretch_leaves_those_that_pass_it(service: Service, sweep: list[str]) -> None:
    query = {"runs": ",".join(sweep), "axis": ["params.lr"], "brush": ["params.lr:0.01:0.1"]}
    table = service.get("/figures/parallel", **query)["layout"]["meta"]["table"]
    assert [row["name"] for row in table if row["kept"]] == ["try 3", "try 1", "try 0"]
    rows = list(csv.DictReader(io.StringIO(service.ask("/tables/parallel", params=query).text)))
    assert [(row["name"], row["passes"], row["params.optimizer"]) for row in rows] == [
        ("try 0", "True", "adam"), ("try 1", "True", "adam"), ("try 2", "False", "sgd"), ("try 3", "True", "sgd"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"axis": "params.nothing"}, "None of these runs has"),
        ({"brush": "params.lr:1"}, "NAME:LOW:HIGH"),
        ({"brush": "params.lr:nan:1"}, "NAME:LOW:HIGH"),
        ({"runs": ","}, "Name 1 to 200 runs"),
    ],
)
def test_nonsense_is_told(service: Service, sweep: list[str], query: dict[str, str], says: str) -> None:
    answer = service.ask("/figures/parallel", params={"runs": ",".join(sweep), **query})
    assert answer.status_code == 422
    assert says in answer.json()["error"]["message"]
