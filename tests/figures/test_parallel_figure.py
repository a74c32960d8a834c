"""Parallel coordinates: each run where its params and results are; the best in the strongest ink, all in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from epochscope_server.analysis.parallel import Brush, axis, passing
from epochscope_server.figures.parallel import NONE, parallel_figure

RUNS: list[dict[str, Any]] = [
    {"params.lr": 0.1 / (run + 1), "params.opt": ("adam", "<b>")[run % 2], "summary.val_macro_f1": run / 10}
    for run in range(10)
] + [{"params.lr": 0.05}]  # fmt: skip
NAMES = [f"run {run}" for run in range(10)] + ["<i>"]


def drawn(
    validated: Any, *brushes: Brush, colour: str = "summary.val_macro_f1", theme: Any = "light"
) -> dict[str, Any]:
    axes = [axis(name, RUNS) for name in ("params.lr", "params.opt", "summary.val_macro_f1")]
    kept = passing(axes, brushes, len(RUNS))
    by = axis(colour, RUNS)
    figure: dict[str, Any] = validated(
        parallel_figure(NAMES, axes, by, kept, brushes, uids=[f"id{run}" for run in range(11)], theme=theme)
    )
    return figure


def lines(figure: dict[str, Any]) -> list[dict[str, Any]]:
    return [trace for trace in figure["data"] if trace["mode"] == "lines+markers"]


def test_every_run_is_a_line_through_its_places(validated: Any, decoded: Any) -> None:
    figure = drawn(validated)
    best = lines(figure)[-1]
    assert decoded(best["x"]).tolist() == [0, 1, 2]
    assert decoded(best["y"]) == pytest.approx([0, 0.25, 1])
    assert best["hovertext"] == "<b>run 9</b><br>lr 0.01<br>opt &lt;b&gt;<br>val_macro_f1 0.9"


def test_what_a_run_lacks_is_below_the_axis_and_named(validated: Any, decoded: Any) -> None:
    figure = drawn(validated)
    lacking = next(line for line in lines(figure) if line["hovertext"].startswith("<b>&lt;i&gt;"))
    assert decoded(lacking["y"])[1:] == pytest.approx([NONE, NONE])
    assert [note["x"] for note in figure["layout"]["annotations"] if note["text"] == "none"] == [1, 2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_better_a_run_the_stronger_its_ink(validated: Any, theme: str) -> None:
    shades = [line["line"]["color"] for line in lines(drawn(validated, theme=theme))[1:]]
    assert len(set(shades)) == 10
    light = [sum(int(shade[at : at + 2], 16) for at in (1, 3, 5)) for shade in shades]
    assert light == sorted(light, reverse=theme == "light")


def test_runs_outside_of_a_stretch_are_grey_and_below_the_others(validated: Any) -> None:
    figure = drawn(validated, Brush("params.opt", 1, 1))
    inside = [line["hoverinfo"] == "text" for line in lines(figure)]
    assert inside == [False] * 6 + [True] * 5  # the first word in order is <b>
    (rect,) = (shape for shape in figure["layout"]["shapes"] if shape["type"] == "rect")
    assert (rect["x0"], rect["x1"]) == (0.95, 1.05)
    meta = figure["layout"]["meta"]
    assert meta["summary"].startswith(
        "5 of 11 runs are in the ranges. Best val_macro_f1 0.8: run 8 (lr 0.01111, opt adam)"
    )
    assert [row["kept"] for row in meta["table"]] == [True] * 5 + [False] * 6


def test_the_summary_names_the_best_run_and_what_goes_with_its_result(validated: Any) -> None:
    summary = drawn(validated)["layout"]["meta"]["summary"]
    assert summary == (
        "11 runs. Best val_macro_f1 0.9: run 9 (lr 0.01, opt <b>). "
        "Of the params in numbers lr goes with it most (rank correlation −1.00)."
    )


def test_where_nothing_differs_there_is_a_sentence(validated: Any) -> None:
    figure = validated(parallel_figure(["a"], [], None, np.ones(1, bool), [], uids=["a"]))
    assert figure["layout"]["meta"]["summary"] == "No param or result differs between these runs."
