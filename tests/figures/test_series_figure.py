"""Scalar series: what is drawn is what was recorded; a spike or a NaN is never out of sight."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from epochscope_server.analysis.rulers import Ruler, by_epoch, by_samples, by_step, by_time
from epochscope_server.analysis.series import SeriesPoints, thinned
from epochscope_server.figures.palette import INKS
from epochscope_server.figures.series import series_figure

SPANS = [{"epoch": 1, "from": 1, "to": 11}, {"epoch": 2, "from": 11, "to": 21}]


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
    assert decoded(mark["customdata"]).tolist() == [[2, 5001]]
    assert mark["yaxis"] == "y2"
    assert figure["layout"]["yaxis2"]["range"] == [0, 1]
    summary = figure["layout"]["meta"]["summary"]
    assert "2 values NaN or infinite, the first of them NaN at step 5,001" in summary


def test_each_value_that_is_not_finite_says_which_it_is_where_it_happened(validated: Any, decoded: Any) -> None:
    figure = validated(series_figure([("", points([1, np.nan, 2, np.inf, -np.inf]))]))
    (mark,) = (trace for trace in figure["data"] if trace["mode"] == "markers")
    assert decoded(mark["x"]).tolist() == [2, 4, 5]
    assert mark["text"] == ["NaN at", "+∞ at", "−∞ at"]
    assert mark["marker"]["symbol"] == ["x", "triangle-up", "triangle-down"]
    assert decoded(mark["y"]) == pytest.approx([0.97, 0.97, 0.03])


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
    train, val = lines(validated(series_figure(series, rulers={"": by_step(SPANS)})))
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
    one = np.array([1])
    far = SeriesPoints("loss", "train", "batch", np.array([2**53 - 1]), one, one + 0.0, one + 0.0, one + 0.0, one - 1)
    (line,) = lines(validated(series_figure([("", far)])))
    assert decoded(line["x"]).tolist() == [2**53 - 1]


def test_an_axis_of_epochs_holds_batches_and_epochs_alike(validated: Any, decoded: Any) -> None:
    series = [("", points(np.ones(20))), ("", points([0.5, 0.4], split="val", by="epoch"))]
    figure = validated(series_figure(series, rulers={"": by_epoch(SPANS, 10)}))
    train, val = lines(figure)
    assert decoded(train["x"]) == pytest.approx(np.arange(1, 21) / 10)
    assert decoded(val["x"]).tolist() == [1, 2]
    assert figure["layout"]["xaxis"]["title"]["text"] == "epochs trained"
    assert figure["layout"]["meta"]["places"] == {"step": [0, 10, 10, 20], "x": [0, 1, 1, 2]}


def test_runs_of_different_batch_sizes_meet_on_an_axis_of_samples(validated: Any, decoded: Any) -> None:
    rulers = {"a": by_samples(SPANS, [11, 21], [320, 320]), "b": by_samples([], [11], [640])}
    series = [("a", points(np.ones(20))), ("b", points(np.ones(10)))]
    a, b = lines(validated(series_figure(series, rulers=rulers)))
    assert decoded(a["x"])[[0, 9, 19]] == pytest.approx([32, 320, 640])
    assert decoded(b["x"])[[0, 9]] == pytest.approx([64, 640])


def test_time_has_a_unit_that_suits_it_and_a_run_without_a_clock_is_named(validated: Any, decoded: Any) -> None:
    rulers = {"a": by_time([], [10, 20], [3600, 9000]), "<b>": Ruler("time")}
    figure = validated(series_figure([("a", points(np.ones(20))), ("<b>", points([1, 2]))], rulers=rulers))
    (line,) = lines(figure)
    assert decoded(line["x"])[[4, 19]] == pytest.approx([0.5, 2.5])
    assert figure["layout"]["xaxis"]["title"]["text"] == "time trained, h"
    assert figure["layout"]["meta"]["notes"] == ["<b> cannot be shown by time: that was not recorded."]


def test_ignoring_outliers_frames_the_middle_of_what_is_drawn_and_says_so(validated: Any) -> None:
    values = np.linspace(1, 2, 100)
    values[3] = 1e6
    figure = validated(series_figure([("", points(values))], inliers=True))
    low, high = figure["layout"]["yaxis"]["range"]
    assert 0.9 < low < 1.1
    assert 1.9 < high < 2.2
    assert figure["layout"]["meta"]["notes"] == ["y axis: the middle 96 % of what is drawn, 1 point outside."]


def test_a_logarithmic_axis_says_what_has_no_place_on_it(validated: Any) -> None:
    figure = validated(series_figure([("", points([1, 0, -1, 10]))], log=True))
    assert figure["layout"]["yaxis"]["type"] == "log"
    assert figure["layout"]["meta"]["notes"] == ["2 values of 0 or less have no place on a logarithmic axis."]


def test_smoothing_leaves_the_values_themselves_in_sight(validated: Any, decoded: Any) -> None:
    steps, values = np.arange(1, 5), np.array([1.0, 3, 1, 3])
    figure = validated(series_figure([("", thinned("loss", "train", "batch", steps, values, None, 0.5))], smooth=True))
    raw, line = figure["data"]
    assert line["name"] == "train, smoothed"
    assert decoded(raw["y"]).tolist() == values.tolist()
    assert decoded(line["y"]) == pytest.approx([1, 7 / 3, 11 / 7, 7 / 3])


def test_batches_and_running_mean_are_each_named(validated: Any) -> None:
    batches = points([1, 3])
    mean = replace(points([1, 2]), running=True)
    a, b = lines(validated(series_figure([("", batches), ("", mean)])))
    assert (a["name"], b["name"]) == ("train, each batch", "train, running mean")
    assert b["line"]["dash"] == "dot"


def test_runs_stand_as_their_difference_to_a_baseline(validated: Any, decoded: Any) -> None:
    series = [("a", points([1, 2, 3])), ("b", points([1.5, 2.5, 2])), ("c", points([], key="loss"))]
    figure = validated(series_figure(series, baseline="a", log=True))
    a, b = lines(figure)
    assert decoded(a["y"]).tolist() == [0, 0, 0]
    assert decoded(b["y"]) == pytest.approx([0.5, 0.5, -1])
    assert figure["layout"]["yaxis"].get("type") != "log"
    assert figure["layout"]["meta"]["notes"] == ["Difference to a."]
