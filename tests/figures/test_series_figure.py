"""Scalar series: what is drawn is what was recorded; a spike or a NaN is never out of sight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from epochscope_server.analysis.series import SeriesPoints, thinned
from epochscope_server.figures.palette import INKS
from epochscope_server.figures.series import series_figure


def points(
    values: Any, key: str = "loss", split: str = "train", by: str = "batch", most: int | None = None
) -> SeriesPoints:
    array = np.asarray(values, dtype=np.float64)
    return thinned(key, split, by, np.arange(1, len(array) + 1), array, most)


def lines(figure: dict[str, Any]) -> list[dict[str, Any]]:
    return [trace for trace in figure["data"] if "name" in trace and trace["mode"] != "markers"]


def test_a_short_series_is_drawn_point_by_point(validated: Any, decoded: Any) -> None:
    (line,) = lines(validated(series_figure([("", points([0.5, np.nan, 0.25]))])))
    assert decoded(line["x"]).tolist() == [1, 2, 3]
    assert decoded(line["y"]) == pytest.approx([0.5, np.nan, 0.25], nan_ok=True)


def test_a_spike_in_a_thinned_series_is_in_the_band_behind_it(validated: Any, decoded: Any) -> None:
    values = np.ones(10_000)
    values[5000] = 40
    figure = validated(series_figure([("", points(values, most=100))]))
    band = next(trace for trace in figure["data"] if trace.get("fill") == "toself")
    assert decoded(band["y"])[:-1].max() == 40
    assert figure["data"].index(band) < figure["data"].index(lines(figure)[0])


def test_a_value_that_is_not_finite_has_a_mark_at_the_edge_of_the_plot(validated: Any, decoded: Any) -> None:
    values = np.ones(10_000)
    values[[5000, 5001]] = np.nan, np.inf
    figure = validated(series_figure([("", points(values, most=100))]))
    (mark,) = (trace for trace in figure["data"] if trace["mode"] == "markers")
    assert decoded(mark["x"]).tolist() == [5001]
    assert decoded(mark["customdata"]).tolist() == [2]
    assert mark["yaxis"] == "y2"
    assert figure["layout"]["yaxis2"]["range"] == [0, 1]
    assert "2 values NaN or infinite" in figure["layout"]["meta"]["summary"]


def test_infinity_never_reaches_an_axis(validated: Any, decoded: Any) -> None:
    (line,) = lines(validated(series_figure([("", points([1, np.inf, -np.inf, 1e300]))])))
    assert decoded(line["y"]) == pytest.approx([1, np.nan, np.nan, np.nan], nan_ok=True)


def test_train_and_validation_differ_in_colour_and_dash(validated: Any) -> None:
    train, val = lines(
        validated(series_figure([("", points([1, 2], by="epoch")), ("", points([1, 3], split="val", by="epoch"))]))
    )
    assert train["line"]["color"] != val["line"]["color"]
    assert (train["line"]["dash"], val["line"]["dash"]) == ("solid", "dash")
    assert (train["name"], val["name"]) == ("train", "val")


def test_each_run_keeps_its_colour_also_where_one_before_it_has_nothing(validated: Any) -> None:
    figure = validated(series_figure([("a", points([])), ("<b>", points([1, 2]))]))
    (line,) = lines(figure)
    assert line["name"] == "&lt;b&gt; · train"
    assert line["line"]["color"] == INKS["light"].run(1)


def test_validation_by_epoch_stands_at_the_end_of_its_epoch_on_the_axis_of_steps(validated: Any, decoded: Any) -> None:
    series = [("", points(np.ones(20))), ("", points([0.5, 0.4], split="val", by="epoch"))]
    train, val = lines(validated(series_figure(series, epoch_steps={"": {1: 10, 2: 20}})))
    assert decoded(val["x"]).tolist() == [10, 20]
    assert decoded(train["x"])[-1] == 20
    assert [line["name"] for line in lines(validated(series_figure(series)))] == ["train"]  # no place for it


def test_a_learning_rate_that_falls_far_is_on_a_logarithmic_axis(validated: Any) -> None:
    def kind(values: list[float]) -> Any:
        return validated(series_figure([("", points(values, key="learning_rate"))]))["layout"]["yaxis"].get("type")

    assert kind([1e-1, 1e-4]) == "log"
    assert kind([1e-1, 5e-2]) is None
    assert kind([1e-1, 0]) is None


def test_no_values_make_an_empty_figure_with_a_sentence(validated: Any) -> None:
    for series in ([], [("", points([]))]):
        figure = validated(series_figure(series))
        assert figure["data"] == []
        assert figure["layout"]["annotations"][0]["text"] == "Nothing recorded here yet."


def test_steps_beyond_two_to_the_31_stay_exact(validated: Any, decoded: Any) -> None:
    far = SeriesPoints("loss", "train", "batch", *(np.array([value]) for value in (2**53 - 1, 1, 1.0, 1.0, 1.0, 0)))
    (line,) = lines(validated(series_figure([("", far)])))
    assert decoded(line["x"]).tolist() == [2**53 - 1]
