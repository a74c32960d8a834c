"""Classes of several runs on any axis of training, and groups of runs as their mean and spread, held against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from epochscope_server.analysis.rulers import Ruler, by_epoch, by_samples, by_time
from epochscope_server.analysis.series import thinned
from epochscope_server.figures.overlay import classes_overlay_figure
from epochscope_server.figures.palette import INKS
from epochscope_server.figures.series import series_figure

NAMES = ("cat", "dog", "owl")
SPANS = [{"epoch": 1, "from": 1, "to": 21}, {"epoch": 2, "from": 21, "to": 41}]


@pytest.fixture
def seeds(curves_of: Any) -> Any:
    """Curves of so many runs of 40 steps, of which class 1 is right in a share that differs."""

    def make(number: int, width: int = 10, epochs: bool = False, steps: int = 40) -> list[Any]:
        chance = np.random.default_rng(5)
        found = []
        for seed in range(number):
            true = chance.integers(0, 3, (steps, 24))
            predicted = np.where(chance.random(true.shape) < 0.6 + 0.1 * seed, true, (true + 1) % 3)
            found.append(curves_of(true, predicted, NAMES, width, epochs))
        return found

    return make


def lines(figure: dict[str, Any]) -> list[dict[str, Any]]:
    return [trace for trace in figure["data"] if "hovertemplate" in trace]


@pytest.mark.parametrize(
    ("ruler", "expected", "unit", "title"),
    [
        (by_epoch(SPANS, 20), [0.275, 0.775, 1.275, 1.775], "epoch", "epochs trained"),
        (by_samples(SPANS, [41], [960]), [132, 372, 612, 852], "samples", "samples seen"),
        (by_time(SPANS, [40], [80.0]), [11, 31, 51, 71], "time", "time trained, s"),
    ],
)
def test_windows_of_steps_stand_where_the_ruler_puts_their_middle(
    seeds: Any, validated: Any, decoded: Any, ruler: Ruler, expected: list[float], unit: str, title: str
) -> None:
    (curves,) = seeds(1)
    figure = validated(classes_overlay_figure([("one", curves)], focus=[1], rulers={"one": ruler}))
    (line,) = lines(figure)
    assert decoded(line["x"]) == pytest.approx(expected)
    assert decoded(line["y"]) == pytest.approx(curves.f1.value[1], abs=1e-6)
    assert figure["layout"]["xaxis"]["title"]["text"] == title
    meta = figure["layout"]["meta"]
    assert meta["x"] == unit
    assert meta["places"]["step"][-1] == 40
    assert np.interp(5.5, meta["places"]["step"], meta["places"]["x"]) == pytest.approx(expected[0])


def test_an_hour_of_training_is_said_in_minutes(seeds: Any, validated: Any, decoded: Any) -> None:
    (curves,) = seeds(1)
    ruler = by_time(SPANS, [40], [3600.0])
    figure = validated(classes_overlay_figure([("one", curves)], focus=[1], rulers={"one": ruler}))
    assert figure["layout"]["xaxis"]["title"]["text"] == "time trained, min"
    assert decoded(lines(figure)[0]["x"]) == pytest.approx([8.25, 23.25, 38.25, 53.25])
    assert figure["layout"]["meta"]["places"]["x"][-1] == 60


def test_epochs_stand_at_their_ends_on_an_axis_of_time(seeds: Any, validated: Any, decoded: Any) -> None:
    (curves,) = seeds(1, 20, epochs=True)
    ruler = by_time(SPANS, [40], [80.0])
    (line,) = lines(validated(classes_overlay_figure([("one", curves)], focus=[1], rulers={"one": ruler})))
    assert decoded(line["x"]).tolist() == [40, 80]


def test_a_run_that_the_axis_does_not_know_is_left_out_and_words_say_so(seeds: Any, validated: Any) -> None:
    runs = list(zip(("one", "two"), seeds(2), strict=True))
    rulers = {"one": by_time(SPANS, [40], [80.0]), "two": Ruler("time")}
    figure = validated(classes_overlay_figure(runs, focus=[1], rulers=rulers))
    assert [line["name"] for line in lines(figure)] == ["one · dog"]
    assert figure["layout"]["meta"]["notes"] == ["two cannot be shown by time: that was not recorded."]
    nowhere = validated(classes_overlay_figure(runs, rulers={"one": Ruler("time"), "two": Ruler("time")}))
    assert nowhere["data"] == []
    assert "one, two cannot be shown by time" in nowhere["layout"]["annotations"][0]["text"]


@pytest.mark.parametrize("epochs", [False, True])
def test_runs_of_a_group_are_drawn_as_mean_and_standard_deviation(
    seeds: Any, validated: Any, decoded: Any, epochs: bool
) -> None:
    curves = seeds(5, 20 if epochs else 10, epochs)
    runs = [(f"run {number}", one) for number, one in enumerate(curves)]
    groups = ["<b>a</b>", "b", "<b>a</b>", "<b>a</b>", "b"]
    figure = validated(classes_overlay_figure(runs, metric="recall", focus=[1], groups=groups))
    drawn = lines(figure)
    assert [line["name"] for line in drawn] == ["&lt;b&gt;a&lt;/b&gt; · dog", "b · dog"]
    assert [line["line"]["color"] for line in drawn] == [INKS["light"].run(0), INKS["light"].run(1)]
    bands = [trace for trace in figure["data"] if trace.get("fill") == "toself"]
    for line, band, members in zip(drawn, bands, ([0, 2, 3], [1, 4]), strict=True):
        values = np.array([curves[number].recall.value[1] for number in members])
        assert decoded(line["y"]) == pytest.approx(values.mean(axis=0), abs=1e-6)
        spread = values.std(axis=0, ddof=1)
        assert decoded(line["customdata"])[:, 0] == pytest.approx(spread, abs=1e-6)
        assert decoded(line["customdata"])[:, 1].tolist() == [len(members)] * len(spread)
        top = decoded(band["y"])[: len(spread)]
        assert top == pytest.approx(np.minimum(values.mean(axis=0) + spread, 1), abs=1e-6)
    assert figure["layout"]["meta"]["notes"] == ["Mean over runs, ± one standard deviation."]
    several = validated(classes_overlay_figure(runs, focus=[0, 1], groups=groups))
    assert not any(trace.get("fill") for trace in several["data"])
    assert several["layout"]["meta"]["notes"] == ["Mean over runs; a class alone has its spread, too."]
    assert [one["run"] for one in figure["layout"]["meta"]["focus"]] == ["<b>a</b>", "b"]


def test_a_group_says_that_a_run_of_it_ended_early(seeds: Any, validated: Any, decoded: Any) -> None:
    runs = [("long", seeds(1)[0]), ("short", seeds(2, steps=20)[1])]
    figure = validated(classes_overlay_figure(runs, focus=[1], groups=["seeds", "seeds"]))
    (line,) = lines(figure)
    assert decoded(line["customdata"])[:, 1].tolist() == [2, 2, 1, 1]
    assert figure["layout"]["meta"]["notes"][1] == "Of seeds 1 of 2 runs go on to the end."
    (band,) = [trace for trace in figure["data"] if trace.get("fill") == "toself"]
    assert len(decoded(band["y"])) == 2 * 2 + 1, "of one run there is no spread"


def test_series_of_a_group_are_drawn_as_mean_and_standard_deviation(validated: Any, decoded: Any) -> None:
    values = np.array([[4.0, 3, 2, 1], [2.0, 3, 4, np.nan], [1.0, 1, 1, 1]])
    runs = ["a", "b", "c"]
    drawn = [
        (run, thinned("loss", "train", "batch", np.arange(1, 5), row, None))
        for run, row in zip(runs, values, strict=True)
    ]
    groups = {"a": "<i>two</i>", "b": "<i>two</i>", "c": "one"}
    figure = validated(series_figure(drawn, groups=groups))
    two, one = [line for line in lines(figure) if line["mode"] != "markers"]
    assert [two["name"], one["name"]] == ["&lt;i&gt;two&lt;/i&gt; · train", "one · train"]
    assert decoded(two["y"]).tolist() == [3, 3, 3, 1]
    assert decoded(two["customdata"])[:, 0] == pytest.approx([2**0.5, 0, 2**0.5, 0])
    assert decoded(two["customdata"])[:, 1].tolist() == [2, 2, 2, 1]
    assert decoded(one["y"]).tolist() == [1, 1, 1, 1]
    (band,) = [trace for trace in figure["data"] if trace.get("fill") == "toself"]
    assert decoded(band["y"])[:4] == pytest.approx([3 + 2**0.5, 3, 3 + 2**0.5, 1])
    (mark,) = [trace for trace in figure["data"] if trace["mode"] == "markers"]
    assert (mark["name"], decoded(mark["x"]).tolist()) == ("b · train", [4]), "which run it is that has a NaN"
    summary = figure["layout"]["meta"]["summary"]
    assert summary.startswith("Last values: <i>two</i> train loss 1; one train loss 1.")
    assert "one standard deviation" in summary
    assert "Of <i>two</i> 1 of 2 runs go on to the end." in figure["layout"]["meta"]["notes"]


def test_validation_of_a_group_stands_at_the_ends_of_its_epochs(validated: Any, decoded: Any) -> None:
    drawn = [
        (run, thinned("loss", "val", "epoch", np.array([1, 2]), np.array(row), None))
        for run, row in (("a", [0.5, 0.4]), ("b", [0.7, 0.2]))
    ]
    rulers = {"a": by_time(SPANS, [40], [80.0]), "b": by_time(SPANS, [40], [40.0])}
    figure = validated(series_figure(drawn, rulers=rulers, groups={"a": "g", "b": "g"}))
    (line,) = lines(figure)
    assert decoded(line["x"]).tolist() == [40, 80]
    assert decoded(line["y"]) == pytest.approx([(0.5 + 0.2) / 2, 0.4])
    assert line["mode"] == "lines+markers"
