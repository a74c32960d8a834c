"""How each class differs between two runs, or two windows: a bar a class, with its 95 % interval.

A bar has the colour of better or worse where its interval keeps to one side of 0, and is grey where it spans it. A
diamond stands before the classes whose difference is real among all of them (false discovery rate up to 5 %).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from epochscope_server.analysis.compare import REAL, Difference
from epochscope_server.analysis.rates import Rate
from epochscope_server.figures import columns, text
from epochscope_server.figures.classes import METRICS
from epochscope_server.figures.frame import Figure, axis, empty_figure, layout
from epochscope_server.figures.palette import INKS, Theme

ROWS = 25
NOTHING = "No class was seen in both."
_HOVER = (
    "<b>%{text}</b>  %{customdata[0]:+.2f} points  (95 %: %{customdata[1]:+.2f} to %{customdata[2]:+.2f})"
    "<br>%{customdata[3]:.3f} → %{customdata[4]:.3f}<extra></extra>"
)


def deltas_figure(
    class_names: Sequence[str],
    first: Rate,
    second: Rate,
    found: Difference,
    *,
    names: tuple[str, str],
    metric: str = "f1",
    rows: int = ROWS,
    theme: Theme = "light",
) -> Figure:
    """Second minus first, arrays [N], in percentage points; the ``rows`` classes that differ most, the best on top.

    Args:
        names: what the two are called.
    """
    value, low, high = (100 * getattr(found.difference, end) for end in ("value", "low", "high"))
    known = np.flatnonzero(np.isfinite(value))
    if not len(known):
        return empty_figure(NOTHING, theme)
    inks = INKS[theme]
    clear = (low > 0) | (high < 0)
    most = known[np.lexsort((-np.abs(value[known]), ~clear[known]))][: max(rows, 1)]
    shown = most[np.argsort(-value[most], kind="stable")]
    colours = [
        inks.better[3] if low[index] > 0 else inks.worse[3] if high[index] < 0 else inks.context for index in shown
    ]
    labels = [("◆ " if found.q[index] <= REAL else "") + text.label(class_names[index]) for index in shown]
    places = columns.exact(np.arange(len(shown)))
    bars: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "name": "difference",
        "x": columns.numbers(value[shown]),
        "y": places,
        "text": [text.escaped(class_names[index]) for index in shown],
        "textposition": "none",
        "marker": {"color": colours, "line": {"width": 0}},
        "error_x": {
            "type": "data", "symmetric": False, "color": inks.muted, "thickness": 1.2, "width": 0,
            "array": columns.numbers((high - value)[shown]), "arrayminus": columns.numbers((value - low)[shown]),
        },
        "customdata": columns.numbers(
            np.column_stack([value, low, high, first.value, second.value])[shown]
        ),
        "hovertemplate": _HOVER,
    }  # fmt: skip
    ends = np.where(value[shown] >= 0, high[shown], low[shown])
    words: dict[str, Any] = {
        "type": "scatter",
        "mode": "text",
        "name": "points",
        "x": columns.numbers(ends),
        "y": places,
        "text": [f" {one:+.1f} ".replace("-", "−") for one in value[shown]],
        "textposition": ["middle right" if one >= 0 else "middle left" for one in value[shown]],
        "textfont": {"size": 11, "color": inks.ink},
        "hoverinfo": "skip",
        "showlegend": False,
        "cliponaxis": False,
    }
    reach = max(float(np.abs(np.concatenate([low[shown], high[shown]])).max()), 1.0)
    room = 0.2 * reach  # for the numbers beyond the intervals
    span = [min(float(low[shown].min()), 0.0) - room, max(float(high[shown].max()), 0.0) + room]
    return {
        "data": [bars, words],
        "layout": layout(
            inks,
            f"deltas {metric} {len(shown)}",
            xaxis=axis(
                inks, f"difference in {METRICS[metric]}, percentage points", range=span, zeroline=True,
                zerolinecolor=inks.axis, zerolinewidth=1, fixedrange=True, nticks=6,
            ),
            yaxis=axis(
                inks, "", tickvals=list(range(len(shown))), ticktext=labels, range=[len(shown) - 0.5, -0.5],
                ticks="", showline=False, showgrid=False, fixedrange=True,
            ),
            bargap=0.35,
            dragmode=False,
            margin={"l": 30, "r": 16, "t": 6, "b": 40},
            meta={
                "rows": shown.tolist(),
                "folded": len(known) - len(shown),
                "names": list(names),
                "summary": summary(class_names, found, names, metric),
            },
        ),
    }  # fmt: skip


def summary(class_names: Sequence[str], found: Difference, names: tuple[str, str], metric: str) -> str:
    """One sentence: in how many classes the second is really better or worse, and in which most."""
    real = np.flatnonzero(found.q <= REAL)
    a, b = names
    if not len(real):
        return f"{b} against {a}: in no class does {METRICS[metric]} differ more than chance explains."
    value = 100 * found.difference.value
    better, worse = real[value[real] > 0], real[value[real] < 0]
    parts = []
    for word, some in (("better", better), ("worse", worse)):
        if len(some):
            most = int(some[np.argmax(np.abs(value[some]))])
            count = f"{len(some)} of {len(class_names)} classes" if len(some) > 1 else "1 class"
            which = "most" if len(some) > 1 else "it is"
            points = f"{value[most]:+.1f} points".replace("-", "−")
            parts.append(f"{word} in {count}, {which} {class_names[most]} ({points})")
    return f"{b} against {a}, {METRICS[metric]}: {'; '.join(parts)}."
