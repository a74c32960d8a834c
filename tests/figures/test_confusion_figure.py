"""The confusion matrix: its numbers are scikit-learn's, true on y, predicted on x, names are text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from epochscope_server.figures.blocks import Area
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


def test_hovering_tells_classes_count_and_both_shares_with_their_intervals(confusion_of: Any, validated: Any) -> None:
    figure = validated(confusion_figure(confusion_of([[6, 3], [1, 2]], ("a<b", "R&D"))))
    assert figure["data"][0]["hovertext"][0][1] == (
        "true <b>a&lt;b</b>, predicted <b>R&amp;D</b>: 3<br>33.33 % (12.06 to 64.58 %) of 9 true a&lt;b"
        "<br>60.00 % (23.07 to 88.24 %) of 5 predicted R&amp;D"
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

    assert cells(2) == ["50.0 %<br>30", ""]  # room for the count too
    assert cells(4) == ["25.0", ""]
    assert cells(12) == ["8.3", ""]
    assert cells(30) == ["3", ""]
    assert cells(31) == ["", ""]


def test_a_hundred_classes_have_few_labels_no_gaps_and_hover_only_where_something_is(
    confusion_of: Any, validated: Any
) -> None:
    counts = np.diag(np.full(100, 9))
    counts[3, 7] = 1
    figure = validated(confusion_figure(confusion_of(counts, tuple(f"c{i}" for i in range(100)))))
    assert len(figure["layout"]["xaxis"]["tickvals"]) == 25
    assert "xgap" not in figure["data"][0]
    assert sum(bool(text) for row in figure["data"][0]["hovertext"] for text in row) == 101


def test_the_deepest_ink_stands_for_one_of_few_shares_of_a_class(confusion_of: Any, validated: Any) -> None:
    def top(off: int, normalise: str) -> float:
        counts = [[1000 - off, off], [0, 1000]]
        return float(
            validated(confusion_figure(confusion_of(counts, ("a", "b")), normalise=normalise))["data"][0]["zmax"]
        )

    tops = [top(off, "true") for off in (0, 20, 21, 50, 51, 200, 201, 500, 501)]
    assert tops == [0.02, 0.02, 0.05, 0.05, 0.2, 0.2, 0.5, 0.5, 1]
    assert [top(off, "none") for off in (0, 300)] == [20, 500]


def inked(trace: dict[str, Any], value: float) -> float:
    """How much ink Plotly gives a value, 0 to 1: linear between the stops of the scale."""
    stops = [place for place, _ in trace["colorscale"]]
    share = np.clip((value - trace["zmin"]) / (trace["zmax"] - trace["zmin"]), 0, 1)
    return float(np.interp(share, stops, np.linspace(0, 1, len(stops))))


def test_small_shares_are_seen_by_root_and_better_by_logarithm(confusion_of: Any, validated: Any) -> None:
    def drawn(way: str) -> dict[str, Any]:
        counts = [[98_000, 1990, 10], [20, 99_980, 0], [0, 0, 100_000]]
        figure = validated(confusion_figure(confusion_of(counts, NAMES[:3]), normalise="true", way=way))
        trace: dict[str, Any] = figure["data"][0]
        return trace

    assert inked(drawn("linear"), 0.0002) == pytest.approx(0.01)
    assert inked(drawn("root"), 0.0002) == pytest.approx(0.07, abs=0.02)
    assert inked(drawn("log"), 0.0002) == pytest.approx(3 / 7, abs=0.02)  # a third of three decades above the first
    assert [inked(drawn(way), 0.02) for way in ("linear", "root", "log")] == [1, 1, 1]
    assert [inked(drawn(way), 0) for way in ("linear", "root", "log")] == [0, 0, 0]


def test_the_bar_of_logarithmic_ink_names_decades(confusion_of: Any, validated: Any) -> None:
    def ticks(counts: Any, normalise: str) -> list[str]:
        figure = validated(confusion_figure(confusion_of(counts, NAMES[:2]), normalise=normalise, way="log"))
        assert not figure["data"][0]["showscale"]
        named: list[str] = figure["data"][-1]["marker"]["colorbar"]["ticktext"]
        return named

    assert ticks([[985, 15], [0, 1000]], "true") == ["0", "0.01 %", "0.1 %", "1 %"]
    assert ticks([[99_000, 1000], [0, 9]], "none") == ["0", "1", "10", "100", "1,000"]


def test_a_hidden_diagonal_has_neither_ink_nor_number_but_is_told_when_asked(
    confusion_of: Any, validated: Any, decoded: Any
) -> None:
    figure = validated(confusion_figure(confusion_of([[6, 3], [1, 2]], ("a", "b")), diagonal=False))
    right = figure["data"][1]
    assert {colour for _, colour in right["colorscale"]} == {"#ffffff"}
    assert "text" not in right
    assert right["hovertext"][0][0].startswith("true <b>a</b>, predicted <b>a</b>: 6")
    assert decoded(figure["data"][0]["z"]).tolist() == [[6, 3], [1, 2]]  # its numbers stay whole


def test_classes_stand_in_the_order_asked_for(confusion_of: Any, validated: Any, decoded: Any) -> None:
    counts = np.arange(9).reshape(3, 3)
    figure = validated(confusion_figure(confusion_of(counts, NAMES[:3]), order=[2, 0, 1]))
    assert decoded(figure["data"][0]["z"]).tolist() == counts[np.ix_([2, 0, 1], [2, 0, 1])].tolist()
    assert figure["layout"]["yaxis"]["ticktext"] == figure["layout"]["xaxis"]["ticktext"] == ["owl", "cat", "dog"]
    assert figure["layout"]["meta"]["order"] == [2, 0, 1]
    assert figure["layout"]["meta"]["largest"][0]["true"] == 2  # by index, whatever the order


def test_a_thousand_classes_are_a_map_on_which_the_largest_confusion_of_each_block_shows(
    confusion_of: Any, validated: Any, decoded: Any
) -> None:
    rng = np.random.default_rng(5)
    counts = np.diag(rng.integers(50, 100, 1000))
    true, predicted = rng.integers(0, 1000, (2, 400))
    np.add.at(counts, (true, predicted), rng.integers(1, 5, 400))
    names = tuple(f"c{i}" for i in range(1000))
    (trace,) = validated(confusion_figure(confusion_of(counts, names)))["data"]
    blocks = decoded(trace["z"])
    assert blocks.shape == (200, 200)
    assert (trace["x0"], trace["dx"], trace["y0"], trace["dy"]) == (2, 5, 2, 5)  # its squares lie on the classes
    cells = decoded(trace["customdata"])
    off = counts - np.diag(counts.diagonal())
    for row in range(200):
        for column in range(200):
            block = off[5 * row : 5 * row + 5, 5 * column : 5 * column + 5]
            assert blocks[row, column] == block.max()
            if block.max():
                i, j = divmod(int(cells[row, column]), 1000)
                assert off[i, j] == block.max()
                assert f"true <b>c{i}</b>, predicted <b>c{j}</b>: {off[i, j]}<br>" in trace["hovertext"][row][column]


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
        {"true": 2, "predicted": 0, "count": 5, "of": 10, "share": 0.5, "called": 11, "covered": 0.555556}
        | {"low": 0.236593, "high": 0.763407},
        {"true": 0, "predicted": 1, "count": 3, "of": 10, "share": 0.3, "called": 12, "covered": 0.888889}
        | {"low": 0.107791, "high": 0.603222},
        {"true": 0, "predicted": 2, "count": 1, "of": 10, "share": 0.1, "called": 6, "covered": 1.0}
        | {"low": 0.017876, "high": 0.404150},
    ]
    assert meta["different"] == 3
    assert meta["summary"] == "29 predictions, 20 of them right. Most confused: c taken for a, 5 of 10."


def test_an_empty_window_makes_an_empty_figure_with_a_sentence(confusion_of: Any, validated: Any) -> None:
    figure = validated(confusion_figure(confusion_of(np.zeros((3, 3)), NAMES[:3])))
    assert figure["data"] == []
    assert figure["layout"]["annotations"][0]["text"] == "No predictions in this window."


@pytest.fixture
def thousand() -> Any:
    """Counts of a thousand classes, confused here and there."""
    rng = np.random.default_rng(6)
    counts = np.diag(rng.integers(50, 100, 1000))
    true, predicted = rng.integers(0, 1000, (2, 20_000))
    np.add.at(counts, (true, predicted), rng.integers(1, 5, 20_000))
    return counts


@pytest.mark.parametrize("area", [Area(0, 1000, 0, 1000), Area(100, 901, 5, 10)])
def test_a_part_of_a_map_that_would_be_no_finer_is_not_drawn_over_it(
    confusion_of: Any, validated: Any, thousand: Any, area: Area
) -> None:
    names = tuple(f"c{i}" for i in range(1000))
    figure, without = (validated(confusion_figure(confusion_of(thousand, names), area=one)) for one in (area, None))
    assert figure == without


def test_a_small_part_of_a_map_is_drawn_cell_by_cell(
    confusion_of: Any, validated: Any, decoded: Any, thousand: Any
) -> None:
    names = tuple(f"<i>{i}" for i in range(1000))
    order = np.random.default_rng(1).permutation(1000)
    area = Area(700, 850, 650, 790)
    figure = validated(confusion_figure(confusion_of(thousand, names), order=order, area=area))
    whole, part, right = figure["data"]
    assert decoded(whole["z"]).shape == (200, 200)
    stood = thousand[np.ix_(order, order)]
    off = stood - np.diag(stood.diagonal())
    assert decoded(part["z"]).tolist() == off[700:850, 650:790].tolist()
    assert (part["x0"], part["dx"], part["y0"], part["dy"]) == (650, 1, 700, 1)
    assert (part["zmin"], part["zmax"], part["colorscale"]) == (whole["zmin"], whole["zmax"], whole["colorscale"])
    assert part["showscale"] is False
    cells = decoded(part["customdata"])
    assert cells[3, 4] == 703 * 1000 + 654
    row, column = np.argwhere(off[700:850, 650:790] > 0)[0]
    i, j = order[700 + row], order[650 + column]
    told = f"true <b>&lt;i&gt;{i}</b>, predicted <b>&lt;i&gt;{j}</b>: {thousand[i, j]}<br>"
    assert part["hovertext"][row][column].startswith(told)
    assert np.diagonal(decoded(right["z"])).tolist() == stood.diagonal()[700:790].tolist()
    assert (right["x0"], right["y0"]) == (700, 700)
    assert decoded(right["customdata"])[1, 1] == 701 * 1000 + 701
    assert figure["layout"]["xaxis"]["range"] == [-0.5, 999.5]
    assert figure["layout"]["yaxis"]["range"] == [999.5, -0.5]
    assert min(figure["layout"]["yaxis"]["tickvals"]) == 700
    assert max(figure["layout"]["xaxis"]["tickvals"]) < 790
    assert figure["layout"]["meta"]["map"] == {"squares": 200, "side": 5}


def test_a_larger_part_of_a_map_has_squares_of_fewer_classes(
    confusion_of: Any, validated: Any, decoded: Any, thousand: Any
) -> None:
    names = tuple(f"c{i}" for i in range(1000))
    figure = validated(confusion_figure(confusion_of(thousand, names), area=Area(0, 301, 600, 1000)))
    _, part = figure["data"]
    z = decoded(part["z"])
    assert z.shape == (151, 200)
    off = thousand - np.diag(thousand.diagonal())
    for row, column in ((0, 0), (75, 12), (149, 199)):
        assert z[row, column] == off[2 * row : 2 * row + 2, 600 + 2 * column : 602 + 2 * column].max()
    assert z[150, 3] == off[300:301, 606:608].max()
    assert (part["x0"], part["dx"], part["y0"]) == (600.5, 2, 0.5)


def test_where_every_cell_is_drawn_a_part_changes_nothing(confusion_of: Any, validated: Any) -> None:
    counts = np.eye(20, dtype=np.int64)
    names = tuple(f"c{i}" for i in range(20))
    figure, without = (
        validated(confusion_figure(confusion_of(counts, names), area=one)) for one in (Area(0, 3, 0, 3), None)
    )
    assert figure == without
    assert "map" not in figure["layout"]["meta"]
