"""GET /runs/{run}/series: smoothed first, thinned after, with nothing lost from sight."""

from __future__ import annotations

import numpy as np
import pytest
from epochscope import wire
from stage import Service, Training


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
