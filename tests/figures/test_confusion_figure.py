"""The confusion matrix: its numbers are scikit-learn's, true on y, predicted on x, names are text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from epochscope_server.figures.confusion import confusion_figure
from sklearn.metrics import confusion_matrix

NAMES = ("cat", "dog", "owl", "emu")
NORMALISED = {"none": None, "true": "true", "predicted": "pred"}


def whole(figure: dict[str, Any], decoded: Any) -> Any:
    """The first heatmap, which is the whole matrix; the second lies over its diagonal and says the same."""
    matrix, on = (decoded(trace["z"]) for trace in figure["data"])
    assert np.diagonal(on) == pytest.approx(np.diagonal(matrix), nan_ok=True)
    assert np.isnan(on[~np.eye(len(on), dtype=bool)]).all()
    return matrix


@pytest.mark.parametrize("normalise", ["none", "true", "predicted"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_cells_are_the_confusion_matrix_of_scikit_learn(
    normalise: str, theme: Any, predictions: Any, confusion_of: Any, validated: Any, decoded: Any
) -> None:
    true, predicted = (column.ravel() for column in predictions)
    counts = confusion_matrix(true, predicted, labels=range(4))
    figure = validated(confusion_figure(confusion_of(counts, NAMES), normalise=normalise, theme=theme))
    want = confusion_matrix(true, predicted, labels=range(4), normalize=NORMALISED[normalise])
    assert whole(figure, decoded) == pytest.approx(want, abs=1e-6)
    assert {trace["type"] for trace in figure["data"]} == {"heatmap"}


def test_true_classes_go_down_from_the_first_and_predicted_ones_to_the_right(
    confusion_of: Any, validated: Any, decoded: Any
) -> None:
    figure = validated(confusion_figure(confusion_of([[5, 3], [0, 2]], ("a", "b"))))
    assert decoded(figure["data"][0]["z"])[0, 1] == 3  # three a taken for b: first row, second column
    layout = figure["layout"]
    assert layout["yaxis"]["autorange"] == "reversed"
    assert (layout["yaxis"]["title"]["text"], layout["xaxis"]["title"]["text"]) == ("true class", "predicted class")
    assert layout["yaxis"]["ticktext"] == layout["xaxis"]["ticktext"] == ["a", "b"]
    assert layout["yaxis"]["tickvals"] == [0, 1]


def test_a_class_without_members_is_a_gap_among_shares_of_the_true_class(
    confusion_of: Any, validated: Any, decoded: Any
) -> None:
    counts = [[4, 1, 0], [0, 0, 0], [2, 2, 4]]
    shown = whole(validated(confusion_figure(confusion_of(counts, NAMES[:3]), normalise="true")), decoded)
    assert np.isnan(shown[1]).all()
    shown = whole(validated(confusion_figure(confusion_of(counts, NAMES[:3]), normalise="predicted")), decoded)
    assert shown[:, 1] == pytest.approx([1 / 3, 0, 2 / 3])


def test_hovering_tells_classes_count_and_both_shares(confusion_of: Any, validated: Any) -> None:
    figure = validated(confusion_figure(confusion_of([[6, 3], [1, 2]], ("a<b", "R&D"))))
    assert figure["data"][0]["hovertext"][0][1] == (
        "true <b>a&lt;b</b>, predicted <b>R&amp;D</b>: 3<br>33.33 % of 9 true a&lt;b<br>60.00 % of 5 predicted R&amp;D"
    )
    assert {trace["hovertemplate"] for trace in figure["data"]} == {"%{hovertext}<extra></extra>"}
    assert figure["data"][1]["hovertext"][0] == [figure["data"][0]["hovertext"][0][0], ""]


def test_names_stay_text_on_the_axes_and_are_cut_where_they_are_long(confusion_of: Any, validated: Any) -> None:
    names = ("<b>x</b>", '<a href="https://example.org">y</a>', "z" * 60)
    figure = validated(confusion_figure(confusion_of(np.eye(3) + 1, names)))
    assert figure["layout"]["xaxis"]["ticktext"] == [
        "&lt;b&gt;x&lt;/b&gt;",
        '&lt;a href="https://…',
        "z" * 17 + "…",
    ]
    assert "z" * 60 in figure["data"][0]["hovertext"][0][2]


def test_text_stands_in_cells_only_where_it_can_be_read(confusion_of: Any, validated: Any) -> None:
    def cells(classes: int) -> list[str]:
        names = tuple(f"c{i}" for i in range(classes))
        figure = validated(confusion_figure(confusion_of(np.full((classes, classes), 30), names), normalise="true"))
        return [trace["text"][0][1] if "text" in trace else "" for trace in figure["data"]]

    assert cells(4) == ["25.0", ""]
    assert cells(12) == ["8.3", ""]
    assert cells(20) == ["5", ""]
    assert cells(21) == ["", ""]


def test_a_hundred_classes_have_few_labels_no_gaps_and_hover_only_where_something_is(
    confusion_of: Any, validated: Any
) -> None:
    counts = np.diag(np.full(100, 9))
    counts[3, 7] = 1
    figure = validated(confusion_figure(confusion_of(counts, tuple(f"c{i}" for i in range(100)))))
    assert len(figure["layout"]["xaxis"]["tickvals"]) == 25
    assert "xgap" not in figure["data"][0]
    assert sum(bool(text) for row in figure["data"][0]["hovertext"] for text in row) == 101


def test_the_deepest_ink_stands_for_a_fifth_a_half_or_all_of_a_class(confusion_of: Any, validated: Any) -> None:
    def top(off: int, normalise: str) -> float:
        counts = [[100 - off, off], [0, 100]]
        return float(
            validated(confusion_figure(confusion_of(counts, ("a", "b")), normalise=normalise))["data"][0]["zmax"]
        )

    assert [top(off, "true") for off in (0, 1, 20, 21, 50, 51)] == [0.2, 0.2, 0.2, 0.5, 0.5, 1]
    assert [top(off, "none") for off in (0, 30)] == [20, 50]


def test_nothing_confused_has_no_ink(confusion_of: Any, validated: Any) -> None:
    figure = validated(confusion_figure(confusion_of(np.diag([5, 5]), ("a", "b")), theme="dark"))
    place, colour = figure["data"][0]["colorscale"][0]
    assert (place, colour) == (0, "#15191f")  # the surface of the page


def test_meta_names_the_window_and_the_largest_confusions(confusion_of: Any, validated: Any) -> None:
    counts = [[6, 3, 1], [0, 9, 0], [5, 0, 5]]
    meta = validated(confusion_figure(confusion_of(counts, ("a", "b", "c"), epoch=2)))["layout"]["meta"]
    assert (meta["split"], meta["from"], meta["to"], meta["epoch"]) == ("val", 11, 31, 2)
    assert (meta["total"], meta["right"]) == (29, 20)
    assert meta["largest"] == [
        {"true": 2, "predicted": 0, "count": 5, "of": 10, "share": 0.5},
        {"true": 0, "predicted": 1, "count": 3, "of": 10, "share": 0.3},
        {"true": 0, "predicted": 2, "count": 1, "of": 10, "share": 0.1},
    ]
    assert meta["summary"] == "29 predictions, 20 of them right. Most confused: c taken for a, 5 of 10."


def test_an_empty_window_makes_an_empty_figure_with_a_sentence(confusion_of: Any, validated: Any) -> None:
    figure = validated(confusion_figure(confusion_of(np.zeros((3, 3)), NAMES[:3])))
    assert figure["data"] == []
    assert figure["layout"]["annotations"][0]["text"] == "No predictions in this window."
