"""Runs that differ by their seed alone, as one: the mean of each class, its 95 % interval, and every run as a mark.

Two groups stand one above the other in a row; where they differ more than their seeds do, the class has a sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from epochscope_server.analysis.compare import REAL
from epochscope_server.analysis.groups import Difference, Group
from epochscope_server.analysis.rates import Numbers
from epochscope_server.figures import columns, text
from epochscope_server.figures.classes import METRICS
from epochscope_server.figures.frame import Figure, axis, empty_figure, layout
from epochscope_server.figures.palette import INKS, Inks, Theme

ROWS = 25
NOTHING = "None of these runs has counts here."
SHIFT = 0.16  # of a row: how far the two groups lie from its middle

_HOVER_MEAN = (
    "<b>%{text}</b>  mean %{x:.3f}  (95 %: %{customdata[0]:.3f} to %{customdata[1]:.3f})"
    "<br>spread %{customdata[2]:.3f} over %{customdata[3]:.0f} runs<extra>%{fullData.name}</extra>"
)
_HOVER_RUN = "<b>%{text}</b>  %{x:.3f}<extra>one run of %{fullData.name}</extra>"


def groups_figure(
    class_names: Sequence[str],
    groups: Sequence[tuple[str, Group, Numbers]],
    difference: Difference | None,
    *,
    metric: str = "f1",
    rows: int = ROWS,
    theme: Theme = "light",
) -> Figure:
    """One or two groups, each its name, what is known of it, and the values [R, N] of its runs.

    Classes of which the groups differ surely stand on top, the largest difference first; of one group alone those that
    do worst.
    """
    known = np.flatnonzero(np.isfinite(np.stack([one.mean.value for _, one, _ in groups])).all(axis=0))
    if not len(known):
        return empty_figure(NOTHING, theme)
    inks = INKS[theme]
    real = np.zeros(len(class_names), bool) if difference is None else difference.q <= REAL
    far = groups[0][1].mean.value if difference is None else -np.abs(difference.difference.value)
    order = known[np.lexsort((far[known], ~real[known]))]
    shown = order[: max(rows, 1)]
    data: list[dict[str, Any]] = []
    for place, (name, one, values) in enumerate(groups):
        at = np.arange(len(shown), dtype=np.float64) + (0.0 if len(groups) == 1 else (2 * place - 1) * SHIFT)
        data += _of_group(name, one, values, at, class_names, shown, inks, place)
    return {
        "data": data,
        "layout": layout(
            inks,
            f"groups {metric} {len(shown)} {len(groups)}",
            xaxis=axis(inks, f"{METRICS[metric]} (share, 0 to 1)", fixedrange=True),
            yaxis=axis(
                inks,
                "",
                tickvals=list(range(len(shown))),
                ticktext=[("◆ " if real[index] else "") + text.label(class_names[index]) for index in shown],
                range=[len(shown) - 0.5, -0.5],
                ticks="",
                showline=False,
                fixedrange=True,
            ),
            dragmode=False,
            showlegend=len(groups) > 1,
            legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "font": {"color": inks.ink}},
            margin={"l": 30, "r": 16, "t": 28 if len(groups) > 1 else 6, "b": 40},
            meta={
                "rows": shown.tolist(),
                "folded": len(order) - len(shown),
                "summary": summary(class_names, groups, difference, metric),
            },
        ),
    }


def _of_group(
    name: str, one: Group, values: Numbers, at: Numbers, class_names: Sequence[str], shown: Any, inks: Inks, place: int
) -> list[dict[str, Any]]:
    colour, label = inks.run(place), text.escaped(name)
    names = [text.escaped(class_names[index]) for index in shown]
    mean, low, high = (getattr(one.mean, end)[shown] for end in ("value", "low", "high"))
    runs, across = len(values), values[:, shown]
    marks = {
        "type": "scatter",
        "mode": "markers",
        "name": label,
        "x": columns.numbers(across.ravel()),
        "y": columns.numbers(np.tile(at, runs)),
        "text": names * runs,
        "marker": {"symbol": "line-ns-open", "size": 9, "color": inks.muted, "line": {"width": 1}},
        "hovertemplate": _HOVER_RUN,
        "showlegend": False,
    }
    means = {
        "type": "scatter",
        "mode": "markers",
        "name": label,
        "x": columns.numbers(mean),
        "y": columns.numbers(at),
        "text": names,
        "customdata": columns.numbers(np.column_stack([low, high, one.spread[shown], one.runs[shown]])),
        "error_x": {
            "type": "data", "symmetric": False, "color": colour, "thickness": 1.5, "width": 0,
            # A share is none past 0 and 1, whatever Student's interval of few runs says; the hover tells all of it.
            "array": columns.numbers(np.nan_to_num(np.minimum(high, 1) - mean)),
            "arrayminus": columns.numbers(np.nan_to_num(mean - np.maximum(low, 0))),
        },
        "marker": {"size": 8, "color": colour, "symbol": ["circle", "square"][place % 2]},
        "hovertemplate": _HOVER_MEAN,
    }  # fmt: skip
    return [marks, means]


def summary(
    class_names: Sequence[str],
    groups: Sequence[tuple[str, Group, Numbers]],
    difference: Difference | None,
    metric: str,
) -> str:
    """One sentence: whether two groups differ; of one, which class its seeds move most."""
    if difference is None:
        name, one, values = groups[0]
        if len(values) < 2 or not np.isfinite(one.spread).any():
            return f"{name} has one run here; train it with other seeds to see how much they move it."
        most = int(np.nanargmax(one.spread))
        return (
            f"{name}, {len(values)} runs: {class_names[most]} differs most between them, "
            f"with a standard deviation of {100 * one.spread[most]:.1f} points in {METRICS[metric]}."
        )
    (a, *_), (b, *_) = groups
    real = np.flatnonzero(difference.q <= REAL)
    if not np.isfinite(difference.q).any():
        return "Each group needs two runs or more to say whether they differ."
    if not len(real):
        return f"In no class do {a} and {b} differ by more than their seeds do, {METRICS[metric]}."
    value = difference.difference.value
    first = int(real[np.argmax(np.abs(value[real]))])
    rest = f"; {len(real) - 1} more of {len(class_names)} classes differ" if len(real) > 1 else ""
    word = "better" if value[first] > 0 else "worse"
    return (
        f"{class_names[first]} is {word} in {b} than in {a} by {100 * abs(value[first]):.1f} points, "
        f"{METRICS[metric]}, more than seeds explain{rest}."
    )
