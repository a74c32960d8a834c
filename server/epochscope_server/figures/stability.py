"""Is training stable? Every class over time as a row of ink: how far it lies below its own best, the worst on top.

Beside it stands how far each class surely fell (the solid part of its bar) and how far it was seen to fall, of which
chance may be the cause (the hollow part), with a legend that says so; and where it is now. A healthy class has no ink
at all. Triangles mark changes: where one is found, it is not chance.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from epochscope_server.analysis.drawdown import Drawdown
from epochscope_server.analysis.stability import Stability
from epochscope_server.figures import change_marks, columns, text
from epochscope_server.figures.drop_bars import bars_legend, drop_bars, now_points
from epochscope_server.figures.frame import Figure, axis, brushed, empty_figure, layout
from epochscope_server.figures.palette import INKS, Colorscale, Inks, Theme

ROWS = 25  # classes shown where none are asked for; the quieter ones are folded
DEEPEST = 0.3  # of recall lost: the darkest ink, whatever the run
SEEN = 0.005  # of recall: what rounds to less than a point is not worth a word
NO_COUNTS = "No predictions counted here yet."

_HOVER_CELL = (
    "<b>%{text}</b>  recall %{customdata[0]:.3f}  (95 %: %{customdata[1]:.3f} to %{customdata[2]:.3f})"
    "<br>%{customdata[3]:,.0f} true members, steps %{customdata[4]:,.0f} to %{customdata[5]:,.0f}"
    "<br>it had been surely at %{customdata[6]:.3f}<extra></extra>"
)


def stability_figure(
    found: Stability,
    down: Drawdown,
    *,
    rows: int = ROWS,
    in_alarm: frozenset[int] = frozenset(),
    compact: bool = False,
    theme: Theme = "light",
) -> Figure:
    """The raster of the ``rows`` classes that likely fell furthest.

    Args:
        found, down: the analysis of a run and its blocks.
        in_alarm: classes that are below their best now; their names say so.
        compact: for narrow places, without what each class is now.

    ``layout.meta`` gives the blocks behind the columns (``from``, ``to``, in steps), the ``rows`` shown from top to
    bottom, how many are ``folded``, and ``changes`` as the page lists them.
    """
    blocks = down.blocks
    if not blocks.support.any():
        return empty_figure(NO_COUNTS, theme)
    inks = INKS[theme]
    seen = blocks.support.sum(axis=1) > 0
    order = [int(index) for index in found.order if seen[index]]
    shown = order[: max(rows, 1)]
    names = [text.escaped(blocks.class_names[index]) for index in shown]
    by = "step" if blocks.epoch is None else "pass"
    edge = _edges(down)
    across = _range(down)
    data = [_ink(down, shown, names, edge, inks), *drop_bars(found, shown, names, inks)]
    if not compact:
        data.append(now_points(down, shown, names, inks))
    told = change_marks.listed(found)
    data += _marks(told, shown, found, down, inks)
    left, right = (0.72, 0.79) if compact else (0.68, 0.72)
    middle = 1.0 if compact else 0.86
    largest = 100 * max(float(np.maximum(found.drops.drop, found.drops.likely)[shown].max()), 0.1)
    ticks: dict[str, Any] = {"tickformat": ",d"} if by == "step" else {"tickmode": "linear", "dtick": _tick(down)}
    more: dict[str, Any] = {}
    if not compact:
        more["xaxis3"] = axis(
            inks, "recall now", domain=[0.89, 1], range=[-0.03, 1.03], tickvals=[0, 0.5, 1], fixedrange=True
        )
    return {
        "data": data,
        "layout": layout(
            inks,
            f"stability {blocks.split} {len(shown)} {compact}",
            xaxis=axis(
                inks, f"{by} ({blocks.split})", domain=[0, left], range=across, showgrid=False, tickangle=0, **ticks
            ),
            xaxis2=axis(
                inks,
                "drop, points",
                domain=[right, middle],
                range=[0, 1.25 * largest],
                nticks=4,
                fixedrange=True,
            ),
            yaxis=axis(
                inks,
                "",
                tickvals=list(range(len(shown))),
                ticktext=[_label(blocks.class_names[index], index in in_alarm, inks) for index in shown],
                range=[len(shown) - 0.5, -0.5],
                showgrid=False,
                ticks="",
                showline=False,
                fixedrange=True,
            ),
            barmode="overlay",
            bargap=0.35,
            margin={"l": 30, "r": 12, "t": 42, "b": 40},
            annotations=[_scale_title(inks)],
            showlegend=True,
            legend=bars_legend(inks, right, compact),
            **brushed(inks),
            meta={
                "x": "step" if by == "step" else "epoch",
                "split": blocks.split,
                "from": blocks.start.tolist(),
                "to": blocks.stop.tolist(),
                "epoch": None if blocks.epoch is None else blocks.epoch.tolist(),
                "rows": shown,
                "folded": len(order) - len(shown),
                "changes": told,
                "movement": change_marks.movement(found),
                "summary": summary(found),
            },
            **more,
        ),
    }


def summary(found: Stability) -> str:
    """One sentence that answers whether training is stable."""
    names, drop = found.curves.class_names, found.drops.drop
    fallen = [int(index) for index in found.order if drop[index] > 0]
    split = found.curves.split
    if not fallen:
        return f"No class surely fell below its own best, {split}{_seen(found)}."
    worst = fallen[0]
    start = int(found.curves.start[found.drops.start[worst]])
    gone = sum(found.drops.forgetting[index] > 0 for index in fallen)
    rest = f"; {len(fallen) - 1} more of {len(names)} classes fell" if len(fallen) > 1 else ""
    missing = "" if not gone else "; it is still below" if len(fallen) == 1 else f"; {gone} of them still below"
    return (
        f"{names[worst]} surely fell by {100 * drop[worst]:.0f} points, at its lowest at step {start:,}, "
        f"{split}{rest}{missing}."
    )


def _seen(found: Stability) -> str:
    """What the hollow bars of a training in which no class surely fell show, and why it is no finding."""
    if not len(found.order):
        return ""
    first = int(found.order[0])
    seen = float(found.drops.likely[first])
    if seen < SEEN:
        return ""
    points = f"{100 * seen:.0f} point{'' if round(100 * seen) == 1 else 's'}"
    return f"; the {points} seen of {found.curves.class_names[first]} may be sampling noise"


def _edges(down: Drawdown) -> columns.Column:
    """Where the columns of the raster begin and end: steps, or half a pass on either side."""
    blocks = down.blocks
    if blocks.epoch is None:
        return columns.exact(np.append(blocks.start, blocks.stop[-1]))
    gap = np.diff(blocks.epoch, append=blocks.epoch[-1] + 1)
    return columns.numbers(np.append(blocks.epoch - 0.5, blocks.epoch[-1] + gap[-1] - 0.5))


def _range(down: Drawdown) -> list[float]:
    """All of the raster, and no more: marks at its ends make no room for themselves."""
    blocks = down.blocks
    if blocks.epoch is None:
        return [float(blocks.start[0]), float(blocks.stop[-1])]
    return [float(blocks.epoch[0]) - 0.5, float(blocks.epoch[-1]) + 0.5]


def _tick(down: Drawdown) -> int:
    assert down.blocks.epoch is not None
    return max(1, -(-int(down.blocks.epoch[-1]) // 12))


def _label(name: str, alarm: bool, inks: Inks) -> str:
    shown = text.label(name)
    return f'<span style="color:{inks.alarm}">▾ {shown}</span>' if alarm else shown


def _scale(inks: Inks) -> Colorscale:
    """From a healthy class's quiet ground to the deepest ink."""
    ramp = (inks.healthy[0], *inks.error[2:])
    return [[place / (len(ramp) - 1), colour] for place, colour in enumerate(ramp)]


def _ink(down: Drawdown, shown: list[int], names: list[str], edge: columns.Column, inks: Inks) -> dict[str, Any]:
    blocks = down.blocks
    recall, seen = blocks.recall, blocks.support[shown]
    across = seen.shape
    customdata = np.stack(
        [
            recall.value[shown],
            recall.low[shown],
            recall.high[shown],
            seen,
            np.broadcast_to(blocks.start, across),
            np.broadcast_to(blocks.stop - 1, across),
            down.best[shown],
        ],
        axis=-1,
    )
    return {
        "type": "heatmap",
        "name": "below its best",
        "x": edge,
        "y": columns.exact(np.arange(len(shown))),
        "z": columns.numbers(100 * np.where(seen > 0, down.depth[shown], np.nan)),
        "zmin": 0,
        "zmax": 100 * DEEPEST,
        "colorscale": _scale(inks),
        "ygap": 2 if len(shown) <= 60 else 0,
        "hoverongaps": False,
        "text": [[name] * across[1] for name in names],
        "customdata": columns.numbers(customdata),
        "hovertemplate": _HOVER_CELL,
        "colorbar": {
            "title": {"text": "", "side": "right"},
            "orientation": "h",
            "thickness": 6,
            "lenmode": "pixels",
            "len": 170,
            "x": 0,
            "xanchor": "left",
            "y": 1,
            "yanchor": "bottom",
            "ypad": 4,
            "outlinewidth": 0,
            "tickvals": [0, 10, 20, 30],
            "ticktext": ["0", "10", "20", "30+"],
            "tickfont": {"size": 10, "color": inks.muted},
            "tickangle": 0,
        },
    }


def _scale_title(inks: Inks) -> dict[str, Any]:
    """What the ink means, above its scale. A title of the scale, above it, would move those of the axes in Plotly."""
    return {
        "text": "points below its best",
        "xref": "paper",
        "x": 0,
        "xanchor": "left",
        "yref": "paper",
        "y": 1,
        "yanchor": "bottom",
        "yshift": 24,
        "showarrow": False,
        "font": {"size": 11, "color": inks.muted},
    }


def _marks(
    told: list[dict[str, Any]], shown: list[int], found: Stability, down: Drawdown, inks: Inks
) -> list[dict[str, Any]]:
    """A triangle at each drop (pointing down) and recovery (up) of the classes shown."""
    row = {index: place for place, index in enumerate(shown)}
    there = [change for change in told if change["index"] in row and change["kind"] != "learning"]
    if not there:
        return []
    drops = np.array([change["direction"] == "drop" for change in there])
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "changes",
            "x": columns.exact(np.array([change_marks.place(change, found, down) for change in there])),
            "y": columns.numbers(np.array([row[change["index"]] for change in there]) + np.where(drops, -0.36, 0.36)),
            "text": [change["says"] for change in there],
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {
                "symbol": ["triangle-down" if drop else "triangle-up" for drop in drops],
                "size": 8,
                "color": [inks.alarm if drop else inks.muted for drop in drops],
                "line": {"width": 1, "color": inks.surface},
            },
            "showlegend": False,
            "cliponaxis": False,
        }
    ]
