"""One class by itself: its rates are scikit-learn's, and the parts of its mistakes add up to all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from epochscope_server.analysis.curves import CellCurve
from epochscope_server.figures.one_class import class_figure, mistakes_figure
from sklearn.metrics import precision_recall_fscore_support

NAMES = ("cat", "dog", "owl", "emu")
WINDOWS = [slice(at, at + 10) for at in range(0, 40, 10)]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_three_lines_are_the_rates_of_scikit_learn(
    theme: Any, predictions: Any, curves_of: Any, validated: Any, decoded: Any
) -> None:
    true, predicted = predictions
    curves = curves_of(true == 1, predicted == 1, ("no", "dog"), 10)
    alone = type(curves)(
        "train", ("dog",), curves.start, curves.stop, None, curves.tp[1:], curves.fp[1:], curves.fn[1:]
    )
    figure = validated(class_figure(alone, theme=theme))
    lines = {trace["name"]: decoded(trace["y"]) for trace in figure["data"] if "name" in trace}
    rates = [
        precision_recall_fscore_support(true[w].ravel(), predicted[w].ravel(), labels=[1], average=None)
        for w in WINDOWS
    ]
    for place, name in enumerate(("precision", "recall", "F1")):
        assert lines[name] == pytest.approx([rate[place][0] for rate in rates], abs=1e-6)
    dashes = {trace["line"]["dash"] for trace in figure["data"] if "name" in trace}
    assert len(dashes) == 3  # never hue alone
    assert figure["layout"]["meta"]["from"] == [1, 11, 21, 31]


def parts_of(true: Any, predicted: Any, pairs: list[tuple[int, int]]) -> list[CellCurve]:
    start = np.arange(1, 41, 10)
    return [
        CellCurve(
            "train", NAMES[i], NAMES[j], start, start + 10, None,
            np.array([np.sum((true[w] == i) & (predicted[w] == j)) for w in WINDOWS]),
            np.array([np.sum(true[w] == i) for w in WINDOWS]),
        )
        for i, j in pairs
    ]  # fmt: skip


def test_the_bars_of_mistakes_add_up_and_what_is_not_named_is_the_rest(
    predictions: Any, validated: Any, decoded: Any
) -> None:
    true, predicted = predictions
    wrong = np.array([np.sum((true[w] == 1) & (predicted[w] != 1)) for w in WINDOWS])
    of = np.array([np.sum(true[w] == 1) for w in WINDOWS])
    parts = parts_of(true, predicted, [(1, 0), (1, 2)])
    figure = validated(mistakes_figure("dog", parts, [3, 0], wrong, of, came=False))
    assert [trace["name"] for trace in figure["data"]] == ["cat", "owl", "the rest"]
    heights = [decoded(trace["y"]) for trace in figure["data"]]
    assert np.sum(heights, axis=0) == pytest.approx(wrong / of, abs=1e-6)
    assert heights[0] == pytest.approx(parts[0].count / of, abs=1e-6)
    assert decoded(figure["data"][2]["customdata"])[:, 2].tolist() == (wrong - parts[0].count - parts[1].count).tolist()
    assert decoded(figure["data"][0]["width"]).tolist() == [10] * 4
    assert figure["layout"]["barmode"] == "stack"
    assert figure["layout"]["meta"]["count"] == wrong.sum()


def test_a_class_without_mistakes_says_so(validated: Any) -> None:
    nothing = np.zeros(4, np.int64)
    figure = validated(mistakes_figure("<b>dog</b>", [], [], nothing, nothing + 3, came=True))
    assert figure["data"] == []
    assert figure["layout"]["annotations"][0]["text"] == "Nothing was taken for &lt;b&gt;dog&lt;/b&gt; here."
