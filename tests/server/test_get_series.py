"""GET /runs/{run}/series: smoothed first, thinned after, with nothing lost from sight."""

from __future__ import annotations

import base64
import csv
import io
from typing import Any

import numpy as np
import pytest
from epochscope import wire
from stage import Service, Training, counted


def columns(values: object, key: str = "loss", by: wire.By = "batch", first: int = 1) -> wire.SeriesColumns:
    listed = np.asarray(values, float)
    return wire.SeriesColumns.of(key, "train", by, range(first, first + len(listed)), listed)


@pytest.fixture(scope="module")
def told(service: Service) -> Training:
    training = Training(service)
    values = np.linspace(1, 0, 1000)
    values[500], values[700] = 50.0, np.nan
    for first in range(0, 1000, 64):
        training.send(series=[columns(values[first : first + 64], first=first + 1)])
    training.send(series=[columns([0.9, 0.95], "accuracy", "epoch")])
    return training


def test_without_points_every_value_comes_as_it_was_logged(told: Training) -> None:
    (series,) = told.get("/series", keys="loss")["series"]
    assert series["step"] == list(range(1, 1001))
    assert series["n"] == [1] * 1000
    assert series["value"][500] == 50.0
    assert series["value"][700] == "NaN"


def test_a_spike_and_a_nan_survive_thinning(told: Training) -> None:
    (series,) = told.get("/series", keys="loss", points=10)["series"]
    assert len(series["step"]) == 10
    assert max(series["max"]) == 50.0
    assert sum(series["nonfinite"]) == 1
    assert sum(series["n"]) == 1000


def test_two_points_of_fifty_steps_are_two_means(service: Service) -> None:
    training = Training(service)
    training.send(series=[columns(np.arange(50.0))])
    (series,) = training.get("/series", split="train", keys="loss", by="batch", points=2)["series"]
    assert (series["step"], series["n"]) == ([1, 26], [25, 25])
    assert series["value"] == [12.0, 37.0]
    assert (series["min"], series["max"]) == ([0.0, 25.0], [24.0, 49.0])


def test_a_curve_does_not_depend_on_how_it_is_thinned(told: Training) -> None:
    (fine,) = told.get("/series", keys="loss", smooth=0.95)["series"]
    (coarse,) = told.get("/series", keys="loss", smooth=0.95, points=10)["series"]
    values = np.array([value if value != "NaN" else np.nan for value in fine["value"]], float)
    np.testing.assert_allclose(coarse["value"], np.nanmean(values.reshape(10, 100), axis=1))


def test_smoothing_starts_at_the_first_value(told: Training) -> None:
    (series,) = told.get("/series", keys="loss", smooth=0.9, to=3)["series"]
    assert series["value"][0] == pytest.approx(1.0)


def test_a_window_holds_the_steps_it_names(told: Training) -> None:
    (series,) = told.get("/series", keys="loss", **{"from": 60, "to": 70})["series"]
    assert series["step"] == list(range(60, 70))


def test_without_keys_all_of_the_split_come(told: Training) -> None:
    assert [one["key"] for one in told.get("/series", by="epoch")["series"]] == ["accuracy"]


def test_an_unknown_key_is_404_and_names_those_there_are(told: Training) -> None:
    answer = told.ask("/series", keys="lost")
    assert answer.status_code == 404
    assert "loss" in answer.json()["error"]["message"]


def test_a_step_told_again_keeps_its_latest_value(service: Service) -> None:
    training = Training(service)
    training.send(series=[columns([1.0, 2.0, 3.0])])
    training.send(series=[columns([20.0], first=2)])
    assert training.get("/series", keys="loss")["series"][0]["value"] == [1.0, 20.0, 3.0]


def test_a_series_named_twice_in_a_flush_is_one_series(service: Service) -> None:
    training = Training(service)
    training.send(series=[columns([1.0]), columns([2.0], first=2)])
    (series,) = training.get("/series")["series"]
    assert series["value"] == [1.0, 2.0]


@pytest.mark.parametrize("query", [{"from": 5, "to": 5}, {"points": 0}, {"smooth": 1}, {"smooth": -1}, {"keys": ","}])
def test_what_makes_no_sense_is_refused(told: Training, query: dict[str, object]) -> None:
    assert told.ask("/series", **query).status_code == 422


def test_a_smooth_curve_does_not_depend_on_the_window_that_is_shown(told: Training) -> None:
    for query in ({"smooth": 0.95}, {"sliding": 40}):
        (whole,) = told.get("/series", keys="loss", **query)["series"]
        (part,) = told.get("/series", keys="loss", **query, **{"from": 600, "to": 650})["series"]
        assert part["step"] == list(range(600, 650))
        assert part["value"] == whole["value"][599:649]


def test_a_sliding_mean_is_of_the_last_so_many(told: Training) -> None:
    (series,) = told.get("/series", keys="loss", sliding=4, to=11)["series"]
    values = np.linspace(1, 0, 1000)
    assert series["value"][9] == pytest.approx(values[6:10].mean())


def test_two_ways_of_smoothing_are_one_too_many(told: Training) -> None:
    answer = told.ask("/series", keys="loss", sliding=4, smooth=0.5)
    assert answer.status_code == 422
    assert "not for both" in answer.json()["error"]["message"]


def decoded(column: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(column["bdata"]), column["dtype"])


@pytest.fixture(scope="module")
def epochs(service: Service) -> Training:
    """Two epochs of four batches of eight samples, with a clock."""
    training = Training(service)
    labels = np.zeros(8, np.int64)
    training.send(
        series=[
            columns([4.0, 2, 3, 3, 2, 2, 1, 1]),
            wire.SeriesColumns.of("system/seconds", "train", "batch", [4, 8], [2.0, 6.0]),
        ],
        confusion=[counted([(labels, labels)] * 8)],
        spans=[wire.Span("train", 1, 1, 5), wire.Span("train", 2, 5, 9)],
    )
    return training


def test_a_figure_has_the_running_mean_beside_each_batch(epochs: Training) -> None:
    figure = epochs.service.get("/figures/series", run=epochs.run, keys="loss", running=True)
    batch, mean = figure["data"]
    assert (batch["name"], mean["name"]) == ("train, each batch", "train, running mean")
    assert decoded(batch["y"]).tolist() == [4, 2, 3, 3, 2, 2, 1, 1]
    assert decoded(mean["y"]) == pytest.approx([4, 3, 3, 3, 2, 2, 5 / 3, 1.5])


@pytest.mark.parametrize(
    ("x", "places"),
    [
        ("step", [1, 4, 8]),
        ("epoch", [0.25, 1, 2]),
        ("samples", [8, 32, 64]),
        ("time", [0.5, 2, 6]),
    ],
)
def test_a_figure_stands_on_any_axis_that_was_recorded(epochs: Training, x: str, places: list[float]) -> None:
    figure = epochs.service.get("/figures/series", run=epochs.run, keys="loss", x=x)
    assert decoded(figure["data"][0]["x"])[[0, 3, 7]] == pytest.approx(places)


def test_a_run_without_a_clock_says_that_it_has_none(told: Training) -> None:
    for x in ("time", "samples"):
        figure = told.service.get("/figures/series", run=told.run, keys="loss", x=x)
        assert figure["layout"]["meta"]["empty"]
        assert "cannot be shown by" in figure["layout"]["meta"]["summary"]


def test_the_first_nan_of_a_long_series_is_named_though_a_bucket_holds_it(service: Service) -> None:
    training = Training(service)
    values = np.ones(5000)
    values[3217:] = np.nan
    training.send(series=[columns(values)])
    figure = service.get("/figures/series", run=training.run, keys="loss", points=50)
    assert "the first of them NaN at step 3,218" in figure["layout"]["meta"]["summary"]


COMMAS = ("loss, smoothed", "a,b", "a", "b", ",", " x ")


@pytest.fixture
def commas(service: Service) -> Training:
    training = Training(service)
    told = [wire.SeriesColumns.of(name, "train", "batch", [1, 2], [at, at]) for at, name in enumerate(COMMAS)]
    training.send(series=told, end=wire.End("finished"))
    return training


@pytest.mark.parametrize("name", COMMAS)
def test_a_series_with_a_comma_in_its_name_is_asked_for_as_it_is(commas: Training, name: str) -> None:
    (series,) = commas.get("/series", key=name)["series"]
    assert (series["key"], series["value"]) == (name, [COMMAS.index(name)] * 2)
    drawn = commas.service.get("/figures/series", run=commas.run, key=name)["data"]
    assert len(drawn) == 1
    table = commas.service.ask("/tables/series", params={"run": commas.run, "key": name}).text
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [(row["key"], float(row["value"])) for row in rows] == [(name, COMMAS.index(name))] * 2


def test_names_with_commas_between_are_several_as_ever_and_both_ways_add_up(commas: Training) -> None:
    assert [one["key"] for one in commas.get("/series", keys="a,b")["series"]] == ["a", "b"]
    both = commas.get("/series", keys="b", key=["a,b", "b", "loss, smoothed"])["series"]
    assert {one["key"] for one in both} == {"b", "a,b", "loss, smoothed"}
    assert len(both) == 3
    assert len(commas.get("/series")["series"]) == len(COMMAS)


@pytest.mark.parametrize("query", [{}, {"keys": ""}, {"keys": ","}, {"key": [str(number) for number in range(101)]}])
def test_a_figure_without_a_series_or_of_too_many_is_refused_with_how_to_name_them(
    commas: Training, query: dict[str, Any]
) -> None:
    for path in ("/figures/series", "/tables/series"):
        answer = commas.service.ask(path, params={"run": commas.run, **query})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_keys")
        assert "also where there is a comma in its name" in answer.text
