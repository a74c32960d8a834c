"""The signed difference of two matrices: scikit-learn's shares subtracted, coloured by better and worse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from epochscope_server.figures.compare import compare_figure
from epochscope_server.figures.palette import INKS
from sklearn.metrics import confusion_matrix

NAMES = ("cat", "dog", "owl", "emu")


def whole(figure: dict[str, Any], decoded: Any) -> Any:
    off, on = (decoded(trace["z"]) for trace in figure["data"])
    return np.where(np.isfinite(off), off, on)


@pytest.mark.parametrize(
    ("normalise", "sklearn_word", "unit"), [("true", "true", 100), ("predicted", "pred", 100), ("none", None, 1)]
)
def test_cells_are_the_second_run_minus_the_first(
    normalise: str, sklearn_word: Any, unit: int, predictions: Any, confusion_of: Any, validated: Any, decoded: Any
) -> None:
    true, predicted = (column.ravel() for column in predictions)
    better = np.where(true == 1, true, predicted)
    matrices = [confusion_matrix(true, guess, labels=range(4)) for guess in (predicted, better)]
    a, b = ((name, confusion_of(counts, NAMES)) for name, counts in zip("ab", matrices, strict=True))
    figure = validated(compare_figure(a, b, normalise=normalise))
    one, two = (confusion_matrix(true, guess, labels=range(4), normalize=sklearn_word) for guess in (predicted, better))
    assert whole(figure, decoded) == pytest.approx(unit * (two - one), abs=1e-4)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_more_on_the_diagonal_and_less_off_it_have_the_colour_of_better(
    theme: Any, confusion_of: Any, validated: Any
) -> None:
    off, on = validated(
        compare_figure(
            ("a", confusion_of([[5, 5], [0, 10]], ("x", "y"))),
            ("b", confusion_of([[9, 1], [0, 10]], ("x", "y"))),
            theme=theme,
        )
    )["data"]
    inks = INKS[theme]
    assert on["colorscale"][-1] == [1, inks.better[-1]]
    assert off["colorscale"][0] == [0, inks.better[-1]]
    assert off["colorscale"][-1] == [1, inks.worse[-1]]
    for trace in (off, on):
        assert trace["zmin"] == -trace["zmax"]
        middle = [colour for place, colour in trace["colorscale"] if place == 0.5]
        assert middle == [inks.surface]


def test_numbers_stand_only_where_noise_does_not_explain_the_difference(confusion_of: Any, validated: Any) -> None:
    few = confusion_of([[6, 4], [5, 5]], ("x", "y")), confusion_of([[7, 3], [5, 5]], ("x", "y"))
    many = (
        confusion_of([[6000, 4000], [5000, 5000]], ("x", "y")),
        confusion_of([[7000, 3000], [5000, 5000]], ("x", "y")),
    )
    assert validated(compare_figure(("a", few[0]), ("b", few[1])))["data"][0]["text"] == [["", ""], ["", ""]]
    figure = validated(compare_figure(("a", many[0]), ("b", many[1])))
    assert figure["data"][0]["text"] == [["", "−10.0"], ["", ""]]
    assert figure["data"][1]["text"] == [["+10.0", ""], ["", ""]]
    assert [(one["true"], one["predicted"], one["better"]) for one in figure["layout"]["meta"]["largest"]] == [
        (0, 1, True),
        (0, 0, True),
    ]


def test_hovering_tells_both_counts(confusion_of: Any, validated: Any) -> None:
    figure = validated(
        compare_figure(
            ("a", confusion_of([[6, 4], [5, 5]], ("<x>", "y"))), ("b", confusion_of([[7, 3], [5, 5]], ("<x>", "y")))
        )
    )
    assert figure["data"][0]["hovertext"][0][1] == (
        "true <b>&lt;x&gt;</b>, predicted <b>y</b>: −10.00 pp<br>4 of 10 → 3 of 10"
    )


def test_a_class_that_is_missing_in_one_run_is_a_gap(confusion_of: Any, validated: Any, decoded: Any) -> None:
    a, b = confusion_of([[6, 4], [0, 0]], ("x", "y")), confusion_of([[7, 3], [5, 5]], ("x", "y"))
    assert np.isnan(whole(validated(compare_figure(("a", a), ("b", b))), decoded)[1]).all()


def test_what_cannot_be_subtracted_says_so(confusion_of: Any, validated: Any) -> None:
    def said(a: Any, b: Any) -> str:
        figure = validated(compare_figure(("a", a), ("<b>", b)))
        assert figure["data"] == []
        return str(figure["layout"]["annotations"][0]["text"])

    two, three = confusion_of(np.eye(2), ("x", "y")), confusion_of(np.eye(3), ("x", "y", "z"))
    assert "different classes" in said(two, three)
    assert said(two, confusion_of(np.zeros((2, 2)), ("x", "y"))) == "No predictions of &lt;b&gt; in this window."
