"""Bars of how classes differ: coloured where chance does not span 0, grey where it does, the best on top."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from epochscope_server.analysis.compare import differ, scores
from epochscope_server.figures.deltas import deltas_figure
from epochscope_server.figures.palette import INKS

NAMES = ("cat", "<b>", "eel", "never")
FIRST = np.array([[500, 500, 0, 0], [400, 600, 0, 0], [0, 10, 90, 0], [0, 0, 0, 0]])
SECOND = np.array([[800, 200, 0, 0], [600, 400, 0, 0], [0, 11, 89, 0], [0, 0, 0, 0]])


def drawn(validated: Any, **more: Any) -> dict[str, Any]:
    a, b = scores(FIRST, "recall"), scores(SECOND, "recall")
    names = ("first", "second")
    figure: dict[str, Any] = validated(
        deltas_figure(NAMES, a.rate, b.rate, differ(a, b), names=names, metric="recall", **more)
    )
    return figure


def test_each_class_has_its_difference_and_the_best_is_on_top(validated: Any, decoded: Any) -> None:
    figure = drawn(validated)
    bars = figure["data"][0]
    assert bars["text"] == ["cat", "eel", "&lt;b&gt;"]
    assert decoded(bars["x"]) == pytest.approx([30, -1, -20])
    assert figure["layout"]["meta"]["rows"] == [0, 2, 1]


def test_a_bar_is_grey_where_its_interval_spans_0(validated: Any, decoded: Any) -> None:
    bars = drawn(validated)["data"][0]
    inks = INKS["light"]
    assert bars["marker"]["color"] == [inks.better[3], inks.context, inks.worse[3]]
    low = decoded(bars["x"]) - decoded(bars["error_x"]["arrayminus"])
    high = decoded(bars["x"]) + decoded(bars["error_x"]["array"])
    assert ((low < 0) & (high > 0)).tolist() == [False, True, False]


def test_a_sign_beside_the_colour_tells_what_is_real(validated: Any) -> None:
    figure = drawn(validated)
    assert figure["layout"]["yaxis"]["ticktext"] == ["◆ cat", "eel", "◆ &lt;b&gt;"]
    assert figure["data"][1]["text"] == [" +30.0 ", " −1.0 ", " −20.0 "]
    assert figure["layout"]["meta"]["summary"] == (
        "second against first, recall: better in 1 class, it is cat (+30.0 points); "
        "worse in 1 class, it is <b> (−20.0 points)."
    )


def test_of_many_classes_those_that_differ_most_are_shown(validated: Any) -> None:
    meta = drawn(validated, rows=2)["layout"]["meta"]
    assert (meta["rows"], meta["folded"]) == ([0, 1], 1)


def test_without_a_class_in_both_there_is_a_sentence(validated: Any) -> None:
    a, b = scores(np.zeros((2, 2), int), "f1"), scores(FIRST[:2, :2], "f1")
    figure = validated(deltas_figure(("a", "b"), a.rate, b.rate, differ(a, b), names=("x", "y")))
    assert figure["layout"]["meta"] == {"empty": True, "summary": "No class was seen in both."}
