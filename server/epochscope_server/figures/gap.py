"""Training against validation at the same weights: how much better each class is on what the model was fitted to.

A dot right of 0 is better in training; its line is the 95 % interval of the gap. What noise does not explain is filled,
all else hollow, so that most of a healthy picture is hollow dots around 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from epochscope_server.analysis.rates import Rate
from epochscope_server.figures import columns, text
from epochscope_server.figures.classes import METRICS
from epochscope_server.figures.frame import Figure, axis, empty_figure, layout
from epochscope_server.figures.palette import INKS, Theme

ROWS = 25
NOTHING = "Nothing was counted in training or in validation here yet."

_HOVER = (
    "<b>%{text}</b>  %{customdata[0]:+.1f} points  (95 %: %{customdata[1]:+.1f} to %{customdata[2]:+.1f})"
    "<br>training %{customdata[3]:.3f}, validation %{customdata[4]:.3f}<extra></extra>"
)


def gap_figure(
    class_names: Sequence[str],
    train: Rate,
    val: Rate,
    gap: Rate,
    verdicts: Sequence[str],
    *,
    epoch: int,
    steps: tuple[int, int],
    metric: str = "recall",
    rows: int = ROWS,
    theme: Theme = "light",
) -> Figure:
    """The gap of each class, arrays [N], the greatest on top; classes not seen in one of the two are left out.

    Args:
        gap: training minus validation.
        verdicts: as of ``analysis.gap.verdicts``.
        epoch, steps: the epoch that was validated, and its last training steps ``[from, to)`` that stand for it.
    """
    known = np.flatnonzero(np.isfinite(gap.value))
    if not len(known):
        return empty_figure(NOTHING, theme)
    inks = INKS[theme]
    order = known[np.argsort(-gap.value[known], kind="stable")]
    shown = [int(index) for index in order[: max(rows, 1)]]
    value, low, high = (100 * getattr(gap, end)[shown] for end in ("value", "low", "high"))
    real = [verdicts[index] in ("overfits", "better in validation") for index in shown]
    colours = [inks.alarm if verdicts[index] == "overfits" else inks.line(1) for index in shown]
    dots: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": "gap",
        "x": columns.numbers(value),
        "y": columns.exact(np.arange(len(shown))),
        "error_x": {
            "type": "data", "symmetric": False, "array": columns.numbers(high - value),
            "arrayminus": columns.numbers(value - low), "color": inks.axis, "thickness": 1.5, "width": 0,
        },
        "marker": {
            "size": 8,
            "color": [colour if sure else inks.surface for colour, sure in zip(colours, real, strict=True)],
            "line": {"width": 1.5, "color": colours},
        },
        "text": [text.escaped(class_names[index]) for index in shown],
        "customdata": columns.numbers(
            np.column_stack([value, low, high, train.value[shown], val.value[shown]])
        ),
        "hovertemplate": _HOVER,
        "showlegend": False,
    }  # fmt: skip
    reach = 1.1 * max(float(np.abs(np.concatenate([low, high])).max()), 5.0)
    return {
        "data": [dots],
        "layout": layout(
            inks,
            f"gap {metric} {len(shown)}",
            xaxis=axis(
                inks, "training minus validation, percentage points", range=[-reach, reach], zeroline=True,
                zerolinecolor=inks.axis, zerolinewidth=1, fixedrange=True,
            ),
            yaxis=axis(
                inks,
                "",
                tickvals=list(range(len(shown))),
                ticktext=[text.label(class_names[index]) for index in shown],
                range=[len(shown) - 0.5, -0.5],
                ticks="",
                showline=False,
                fixedrange=True,
            ),
            dragmode=False,
            margin={"l": 30, "r": 16, "t": 6, "b": 40},
            meta={
                "rows": shown,
                "folded": len(order) - len(shown),
                "epoch": epoch,
                "from": steps[0],
                "to": steps[1],
                "summary": summary(class_names, gap, verdicts, metric),
            },
        ),
    }  # fmt: skip


def summary(class_names: Sequence[str], gap: Rate, verdicts: Sequence[str], metric: str) -> str:
    """One sentence that answers whether the model overfits, and on what."""
    worse = [index for index, verdict in enumerate(verdicts) if verdict == "overfits"]
    worse.sort(key=lambda index: -gap.value[index])
    if not worse:
        return f"In no class is the {METRICS[metric]} of training surely better than that of validation."
    first = worse[0]
    low, high = 100 * gap.low[first], 100 * gap.high[first]
    rest = f"; so are {len(worse) - 1} more of {len(class_names)} classes" if len(worse) > 1 else ""
    return (
        f"{class_names[first]} is better in training by {100 * gap.value[first]:.0f} points "
        f"(95 %: {low:.0f} to {high:.0f}), {METRICS[metric]}{rest}."
    )
