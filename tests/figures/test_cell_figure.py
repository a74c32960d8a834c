"""One confusion over time: its shares and intervals are those of scipy, unknown is a gap, names are text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from epochscope_server.analysis.curves import CellCurve
from epochscope_server.figures.cell import cell_figure
from scipy.stats import binomtest

COUNT, SUPPORT = np.array([3, 0, 0, 20]), np.array([10, 0, 8, 25])


def curve(true: str, predicted: str, count: Any = COUNT, epochs: bool = False) -> CellCurve:
    start = np.array([1, 26, 51, 76])
    return CellCurve(
        "val", true, predicted, start, start + 25, np.arange(1, 5) if epochs else None, np.asarray(count), SUPPORT
    )


def lines(figure: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in figure["data"] if "name" in trace}


def test_each_point_is_the_share_of_the_true_class_with_scipys_wilson_interval(validated: Any, decoded: Any) -> None:
    trace = lines(validated(cell_figure([curve("shirt", "coat")])))["shirt taken for coat"]
    told = decoded(trace["customdata"])
    for point in (0, 2, 3):
        k, n = int(COUNT[point]), int(SUPPORT[point])
        interval = binomtest(k, n).proportion_ci(method="wilson")
        assert decoded(trace["y"])[point] == pytest.approx(k / n, abs=1e-6)
        assert told[point] == pytest.approx(
            [interval.low, interval.high, k, n, 25 * point + 1, 25 * point + 25], abs=1e-6
        )
    assert decoded(trace["x"]).tolist() == [13, 38, 63, 88]


def test_where_the_class_was_not_seen_there_is_a_gap(validated: Any, decoded: Any) -> None:
    trace = lines(validated(cell_figure([curve("shirt", "coat")])))["shirt taken for coat"]
    assert np.isnan(decoded(trace["y"])).tolist() == [False, True, False, False]


def test_the_other_way_round_is_dashed_and_both_are_named(validated: Any) -> None:
    figure = validated(cell_figure([curve("shirt", "coat"), curve("coat", "shirt", [1, 0, 0, 2])]))
    drawn = lines(figure)
    assert drawn["coat taken for shirt"]["line"]["dash"] == "dash"
    assert "dash" not in drawn["shirt taken for coat"]["line"]
    assert figure["layout"]["showlegend"] is True


def test_the_diagonal_is_what_was_recognised(validated: Any) -> None:
    figure = validated(cell_figure([curve("coat", "coat")]))
    assert list(lines(figure)) == ["coat recognised"]
    assert figure["layout"]["showlegend"] is False


def test_the_figure_says_its_windows_sums_and_course(validated: Any) -> None:
    meta = validated(cell_figure([curve("shirt", "coat")]))["layout"]["meta"]
    assert (meta["from"], meta["to"], meta["count"], meta["total"]) == ([1, 26, 51, 76], [26, 51, 76, 101], 23, 43)
    assert meta["summary"] == (
        "shirt taken for coat, val: 23 of 43, 53.5%; 30.0% in the first window, 80.0% in the last."
    )


def test_epochs_stand_at_their_numbers(validated: Any, decoded: Any) -> None:
    figure = validated(cell_figure([curve("shirt", "coat", epochs=True)]))
    assert decoded(lines(figure)["shirt taken for coat"]["x"]).tolist() == [1, 2, 3, 4]
    assert figure["layout"]["meta"]["epoch"] == [1, 2, 3, 4]


def test_names_are_drawn_as_they_are_written(validated: Any) -> None:
    figure = validated(cell_figure([curve("<b>bold</b>", "R&D")]))
    assert list(lines(figure)) == ["&lt;b&gt;bold&lt;/b&gt; taken for R&amp;D"]


def test_a_class_that_was_never_seen_is_told_in_one_sentence(validated: Any) -> None:
    none = np.zeros(4, np.int64)
    start = np.arange(1, 5)
    figure = validated(cell_figure([CellCurve("val", "<i>", "b", start, start + 1, None, none, none)]))
    assert figure["layout"]["meta"] == {"empty": True, "summary": "No sample of this class was counted here."}
