"""The curves of classes: their numbers are scikit-learn's, unknown is a gap, names are text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from epochscope_server.figures.classes import classes_figure
from epochscope_server.figures.overlay import classes_overlay_figure
from epochscope_server.figures.palette import INKS
from sklearn.metrics import f1_score, precision_score, recall_score

NAMES = ("cat", "dog", "owl", "emu")
HOSTILE = ("<b>bold</b>", '<a href="https://example.org">x</a>', "R&D &lt;", "plain")
SCORES = {"f1": f1_score, "recall": recall_score, "precision": precision_score}


def curve(figure: dict[str, Any], name: str) -> dict[str, Any]:
    found = [trace for trace in figure["data"] if trace.get("name") == name]
    assert len(found) == 1
    return dict(found[0])


@pytest.mark.parametrize("metric", ["f1", "recall", "precision"])
def test_each_point_is_the_score_of_scikit_learn_over_its_window(
    metric: str, predictions: Any, curves_of: Any, validated: Any, decoded: Any
) -> None:
    true, predicted = predictions
    figure = validated(classes_figure(curves_of(true, predicted, NAMES, 10), metric=metric))
    for index, name in enumerate(NAMES):
        trace = curve(figure, name)
        values = decoded(trace["y"])
        for window in range(4):
            rows = slice(10 * window, 10 * window + 10)
            want = SCORES[metric](
                true[rows].ravel(), predicted[rows].ravel(), labels=[index], average=None, zero_division=np.nan
            )[0]
            assert values[window] == pytest.approx(want, abs=1e-6, nan_ok=True)
        assert decoded(trace["x"]).tolist() == [5.5, 15.5, 25.5, 35.5]


def test_a_class_that_was_not_seen_is_a_gap_and_never_zero(
    predictions: Any, curves_of: Any, validated: Any, decoded: Any
) -> None:
    figure = validated(classes_figure(curves_of(*predictions, NAMES, 10), metric="recall"))
    values = decoded(curve(figure, "emu")["y"])
    assert np.isnan(values[:2]).all()
    assert np.isfinite(values[2:]).all()


def test_a_known_value_between_two_gaps_has_a_mark_since_a_line_would_not_show_it(
    curves_of: Any, validated: Any, decoded: Any
) -> None:
    true = np.array([[0, 0], [1, 0], [0, 0]])
    figure = validated(classes_figure(curves_of(true, true, ("a", "b"), 1), metric="recall"))
    assert decoded(curve(figure, "b")["marker"]["size"]).tolist() == [0, 4, 0]
    assert "marker" not in curve(figure, "a")


def test_the_three_worst_are_in_focus_where_none_is_named_and_the_rest_is_grey(
    predictions: Any, curves_of: Any, validated: Any
) -> None:
    true, predicted = predictions
    predicted = np.where(true == 1, true, predicted)  # the dog is always recognised
    figure = validated(classes_figure(curves_of(true, predicted, NAMES, 10), metric="recall"))
    assert curve(figure, "dog")["line"]["color"].startswith("rgba")
    in_focus = figure["layout"]["meta"]["focus"]
    assert {one["name"] for one in in_focus} == {"cat", "owl", "emu"}
    assert [one["value"] for one in in_focus] == sorted(one["value"] for one in in_focus)
    assert len([trace for trace in figure["data"] if trace.get("fill") == "toself"]) == 3


def test_named_classes_are_in_focus_in_the_order_they_are_named(
    predictions: Any, curves_of: Any, validated: Any
) -> None:
    figure = validated(classes_figure(curves_of(*predictions, NAMES, 10), focus=[2, 0]))
    assert [one["index"] for one in figure["layout"]["meta"]["focus"]] == [2, 0]
    assert curve(figure, "owl")["line"]["color"] == INKS["light"].line(0)
    assert curve(figure, "cat")["line"]["color"] == INKS["light"].line(1)


def test_up_to_three_classes_are_all_in_focus(curves_of: Any, validated: Any) -> None:
    true = np.random.default_rng(0).integers(0, 2, (20, 8))
    figure = validated(classes_figure(curves_of(true, true, ("a", "b"), 5)))
    assert len(figure["layout"]["meta"]["focus"]) == 2


def test_the_band_is_the_wilson_interval_in_outlines_that_leave_gaps(
    predictions: Any, curves_of: Any, validated: Any, decoded: Any
) -> None:
    from scipy.stats import binomtest

    true, predicted = predictions
    true = true.copy()
    true[:20][true[:20] == 2] = 0
    true[30:][true[30:] == 2] = 0  # the owl occurs in the third window only
    figure = validated(classes_figure(curves_of(true, predicted, NAMES, 10), metric="recall", focus=[2, 0]))
    owl, cat = (trace for trace in figure["data"] if trace.get("fill") == "toself")
    assert decoded(owl["x"])[:2].tolist() == [25.5, 25.5]
    assert len(decoded(owl["x"])) == 3  # up, down, and the end of the outline
    assert len(decoded(cat["x"])) == 9
    hits = int(((true[:10] == 0) & (predicted[:10] == 0)).sum())
    interval = binomtest(hits, int((true[:10] == 0).sum())).proportion_ci(method="wilson")
    assert decoded(cat["y"])[0] == pytest.approx(interval.high, abs=1e-6)
    assert decoded(cat["y"])[7] == pytest.approx(interval.low, abs=1e-6)


def test_meta_gives_the_windows_behind_the_points(predictions: Any, curves_of: Any, validated: Any) -> None:
    meta = validated(classes_figure(curves_of(*predictions, NAMES, 15)))["layout"]["meta"]
    assert (meta["x"], meta["from"], meta["to"], meta["epoch"]) == ("step", [1, 16, 31], [16, 31, 41], None)
    meta = validated(classes_figure(curves_of(*predictions, NAMES, 20, epochs=True)))["layout"]["meta"]
    assert (meta["x"], meta["from"], meta["to"], meta["epoch"]) == ("epoch", [1, 21], [21, 41], [1, 2])


def test_by_epoch_points_stand_at_their_epoch_with_marks(
    predictions: Any, curves_of: Any, validated: Any, decoded: Any
) -> None:
    figure = validated(classes_figure(curves_of(*predictions, NAMES, 20, epochs=True)))
    assert decoded(curve(figure, "cat")["x"]).tolist() == [1, 2]
    assert curve(figure, "cat")["mode"] == "lines+markers"


def test_the_brush_is_horizontal_and_zoom_survives_an_update(predictions: Any, curves_of: Any, validated: Any) -> None:
    few, many = (validated(classes_figure(curves_of(*predictions, NAMES, width)))["layout"] for width in (20, 5))
    assert (few["dragmode"], few["selectdirection"]) == ("select", "h")
    assert few["uirevision"] == many["uirevision"]
    assert few["paper_bgcolor"] == "rgba(0,0,0,0)"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_names_stay_text_and_stand_in_no_template(theme: Any, predictions: Any, curves_of: Any, validated: Any) -> None:
    figure = validated(classes_figure(curves_of(*predictions, HOSTILE, 10), theme=theme))
    names = [trace["name"] for trace in figure["data"] if "name" in trace]
    assert {"&lt;b&gt;bold&lt;/b&gt;", "R&amp;D &amp;lt;", "plain"} <= set(names)
    drawn = [note["text"] for note in figure["layout"]["annotations"]] + names
    assert not any("<" in text for text in drawn)
    templates = {trace["hovertemplate"] for trace in figure["data"] if "hovertemplate" in trace}
    assert len(templates) == 1
    assert "bold" not in templates.pop()


def test_labels_at_the_ends_do_not_stand_on_each_other(curves_of: Any, validated: Any) -> None:
    true = np.tile([0, 1, 2], (20, 4))
    figure = validated(classes_figure(curves_of(true, true, ("a", "b", "c"), 5)))  # all three end at 1
    heights = sorted(note["y"] for note in figure["layout"]["annotations"])
    bottom, _ = figure["layout"]["yaxis"]["range"]
    assert np.diff(heights).min() > 0.06 * (1 - bottom)
    assert heights[-1] <= 1


def test_with_very_many_classes_context_is_a_band_and_not_a_thousand_lines(curves_of: Any, validated: Any) -> None:
    true = np.random.default_rng(0).integers(0, 300, (40, 200))
    figure = validated(classes_figure(curves_of(true, true, tuple(f"c{i}" for i in range(300)), 10)))
    assert len(figure["data"]) == 2 + 3 + 3


def test_runs_over_each_other_keep_a_colour_each_and_show_the_worst_class_of_the_first(
    predictions: Any, curves_of: Any, validated: Any
) -> None:
    true, predicted = predictions
    bad_owl = np.where((true == 2), 0, true)
    runs = [("one", curves_of(true, bad_owl, NAMES, 10)), ("<i>two</i>", curves_of(true, predicted, NAMES, 10))]
    figure = validated(classes_overlay_figure(runs, metric="recall"))
    lines = [trace for trace in figure["data"] if "name" in trace]
    assert [trace["name"] for trace in lines] == ["one · owl", "&lt;i&gt;two&lt;/i&gt; · owl"]
    assert [trace["line"]["color"] for trace in lines] == [INKS["light"].run(0), INKS["light"].run(1)]


def test_a_run_without_counts_takes_no_colour_away_from_the_others(
    predictions: Any, curves_of: Any, validated: Any
) -> None:
    nothing = np.zeros((0, 1), np.int64)
    runs = [("empty", curves_of(nothing, nothing, NAMES, 1)), ("full", curves_of(*predictions, NAMES, 10))]
    figure = validated(classes_overlay_figure(runs))
    assert [trace["line"]["color"] for trace in figure["data"] if "name" in trace] == [INKS["light"].run(1)]


def test_several_classes_over_each_other_are_told_apart_by_dashes(
    predictions: Any, curves_of: Any, validated: Any
) -> None:
    curves = curves_of(*predictions, NAMES, 10)
    figure = validated(classes_overlay_figure([("one", curves), ("two", curves)], focus=[0, 1]))
    assert [trace["line"]["dash"] for trace in figure["data"]] == ["solid", "dash"] * 2


def test_no_counts_make_an_empty_figure_with_a_sentence(curves_of: Any, validated: Any) -> None:
    nothing = np.zeros((0, 1), np.int64)
    for figure in (
        classes_figure(curves_of(nothing, nothing, NAMES, 1)),
        classes_overlay_figure([("one", curves_of(nothing, nothing, NAMES, 1))]),
    ):
        checked = validated(figure)
        assert checked["data"] == []
        assert checked["layout"]["annotations"][0]["text"] == "No predictions counted here yet."
