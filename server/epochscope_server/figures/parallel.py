"""Parallel coordinates: every run a line over axes of params and results, darker for a better result.

Plotly's own trace of this kind needs WebGL; here axes are shapes and lines are scatter, so that it is drawn anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochscope_server.analysis.parallel import Axis, Brush, correlation
from epochscope_server.analysis.rates import Numbers
from epochscope_server.figures import columns, text
from epochscope_server.figures.frame import Figure, empty_figure, layout
from epochscope_server.figures.palette import INKS, Inks, Theme, faint

NONE = -0.13  # where runs stand that have no value
_TICKS = 5
_RAMP: dict[Theme, tuple[str, ...]] = {
    "light": ("#c6d6e6", "#86b2d6", "#3f86bf", "#0b5a9c", "#062f5e"),
    "dark": ("#2b3d50", "#2f6796", "#3f93cf", "#7fc0ef", "#dceffd"),
}
_LESS_IS_BETTER = ("loss", "error", "mse", "mae", "perplexity")


def parallel_figure(
    names: Sequence[str],
    axes: Sequence[Axis],
    colour: Axis | None,
    kept: NDArray[np.bool_],
    brushes: Sequence[Brush],
    *,
    uids: Sequence[str],
    theme: Theme = "light",
) -> Figure:
    """R runs over A axes.

    Args:
        names, uids: of the runs [R].
        colour: the result that colours the lines: the better, the darker (on dark ground the brighter).
        kept: which runs pass the ``brushes``, bool [R]; the others are grey.

    ``layout.meta`` gives the ``axes`` and, in ``table``, each run's values as words and numbers, kept ones first.
    """
    if not len(axes) or not len(names):
        return empty_figure("No param or result differs between these runs.", theme)
    inks = INKS[theme]
    places = np.stack([one.places(one.values) for one in axes], axis=1)
    missing = bool(np.isnan(places).any())
    places = np.where(np.isfinite(places), places, NONE)
    order = _order(colour, kept)
    x = columns.exact(np.arange(len(axes)))
    data = [
        _line(x, places[run], _colour(run, colour, kept, theme, inks), _said(names[run], axes, run), bool(kept[run]))
        for run in order
    ]
    if colour is not None and np.isfinite(colour.values).any():
        data.append(_scale(colour, theme, inks))
    low = NONE - 0.06 if missing else -0.06
    return {
        "data": data,
        "layout": layout(
            inks,
            f"parallel {[one.name for one in axes]}",
            xaxis={
                "tickvals": list(range(len(axes))),
                "ticktext": [text.label(bare(one.name), 22) for one in axes],
                "side": "top",
                "range": [-0.35, len(axes) - 0.72],
                "showgrid": False, "zeroline": False, "showline": False, "ticks": "", "tickangle": 0,
                "tickfont": {"size": 12, "color": inks.ink},
                "fixedrange": True,
                "automargin": True,
            },
            yaxis={"range": [low, 1.04], "visible": False, "fixedrange": True},
            shapes=_shapes(axes, brushes, inks),
            annotations=[one for at, axis in enumerate(axes) for one in _ticks(axis, at, inks, missing)],
            margin={"l": 16, "r": 16, "t": 40, "b": 52},
            dragmode="select",
            newselection={"line": {"color": inks.ink, "width": 1, "dash": "solid"}},
            meta={
                "axes": [
                    {
                        "name": one.name, "says": bare(one.name), "kind": one.kind, "low": one.low, "high": one.high,
                        "categories": list(one.categories),
                    }
                    for one in axes
                ],
                "colour": None if colour is None else colour.name,
                "table": [
                    {
                        "id": uids[run], "name": names[run], "kept": bool(kept[run]),
                        "words": [one.word(float(one.values[run])) for one in axes],
                        "numbers": [_plain(one, run) for one in axes],
                    }
                    for run in reversed(order)
                ],
                "summary": summary(names, axes, colour, kept),
            },
        ),
    }  # fmt: skip


def summary(names: Sequence[str], axes: Sequence[Axis], colour: Axis | None, kept: NDArray[np.bool_]) -> str:
    """How many runs pass, which does best and how it was made, and which param goes with the result."""
    count = f"{len(names):,} runs" if kept.all() else f"{int(kept.sum()):,} of {len(names):,} runs are in the ranges"
    if colour is None or not np.isfinite(colour.values[kept]).any():
        return f"{count}."
    sign = -1 if lower(colour.name) else 1
    best = int(np.argmax(np.where(kept & np.isfinite(colour.values), sign * colour.values, -np.inf)))
    params = [one for one in axes if one.name.startswith("params.")]
    made = ", ".join(f"{bare(one.name)} {one.word(float(one.values[best]))}" for one in params)
    told = f"{count}. Best {bare(colour.name)} {colour.word(float(colour.values[best]))}: {names[best]}"
    told += f" ({made})." if made else "."
    found = [
        (correlation(one.values[kept], colour.values[kept]), one.name)
        for one in params
        if one.kind != "category"
    ]  # fmt: skip
    known = [one for one in found if math.isfinite(one[0])]
    if known:
        value, name = max(known, key=lambda one: abs(one[0]))
        size = f"{value:+.2f}".replace("-", "−")
        told += f" Of the params in numbers {bare(name)} goes with it most (rank correlation {size})."
    return told


def bare(name: str) -> str:
    """A param or a result without the word for which it is."""
    return name.split(".", 1)[1] if name.startswith(("params.", "summary.")) else name


def lower(name: str) -> bool:
    """Whether less of it is better."""
    return any(word in name.lower() for word in _LESS_IS_BETTER)


def _order(colour: Axis | None, kept: NDArray[np.bool_]) -> list[int]:
    """Runs in the order in which they are drawn: those that do not pass below, the best on top."""
    worth = np.zeros(len(kept)) if colour is None else colour.values * (-1 if lower(colour.name) else 1)
    worth = np.where(np.isfinite(worth), worth, -np.inf)
    return [int(run) for run in np.lexsort((worth, kept))]


def _share(run: int, colour: Axis) -> float:
    """How good a run is among all, from 0 to 1."""
    place = float(np.clip(colour.places(colour.values[run : run + 1])[0], 0, 1))
    return 1 - place if lower(colour.name) else place


def _colour(run: int, colour: Axis | None, kept: NDArray[np.bool_], theme: Theme, inks: Inks) -> str:
    if not kept[run]:
        return faint(inks.context, 0.45)
    if colour is None:
        return inks.line(1)
    return inks.context if not np.isfinite(colour.values[run]) else _between(_share(run, colour), theme)


def _between(share: float, theme: Theme) -> str:
    ramp = _RAMP[theme]
    at = share * (len(ramp) - 1)
    low = min(int(at), len(ramp) - 2)
    ends = [np.array([int(one[place : place + 2], 16) for place in (1, 3, 5)]) for one in ramp[low : low + 2]]
    mixed = np.rint(ends[0] + (at - low) * (ends[1] - ends[0])).astype(int)
    return "#" + "".join(f"{part:02x}" for part in mixed.tolist())


def _line(x: columns.Column, y: Numbers, colour: str, said: str, kept: bool) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": x,
        "y": columns.numbers(y),
        "line": {"color": colour, "width": 1.8 if kept else 1},
        "marker": {"color": colour, "size": 5 if kept else 3},
        "showlegend": False,
        **({"hovertext": said, "hoverinfo": "text"} if kept else {"hoverinfo": "skip"}),
    }


def _said(name: str, axes: Sequence[Axis], run: int) -> str:
    parts = [f"{text.escaped(bare(one.name))} {text.escaped(one.word(float(one.values[run])))}" for one in axes]
    return "<br>".join([f"<b>{text.escaped(name)}</b>", *parts])


def _scale(colour: Axis, theme: Theme, inks: Inks) -> dict[str, Any]:
    ramp = _RAMP[theme][::-1] if lower(colour.name) else _RAMP[theme]
    ends = [colour.low, colour.high]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [None, None],
        "y": [None, None],
        "hoverinfo": "skip",
        "showlegend": False,
        "marker": {
            "color": ends,
            "cmin": colour.low,
            "cmax": colour.high,
            "colorscale": [[at / (len(ramp) - 1), one] for at, one in enumerate(ramp)],
            "showscale": True,
            "colorbar": {
                "orientation": "h",
                "thickness": 8,
                "lenmode": "pixels",
                "len": 200,
                "x": 0.5,
                "y": 0,
                "yanchor": "top",
                "ypad": 6,
                "outlinewidth": 0,
                "tickvals": ends,
                "ticktext": [colour.word(one) for one in ends],
                "tickfont": {"size": 11, "color": inks.muted},
                "title": {
                    "text": text.label(bare(colour.name), 40), "side": "top", "font": {"size": 11, "color": inks.muted},
                },
            },
        },
    }  # fmt: skip


def _shapes(axes: Sequence[Axis], brushes: Sequence[Brush], inks: Inks) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": {"color": inks.axis, "width": 1}}
        for at in range(len(axes))
    ]
    for at, one in enumerate(axes):
        for brush in brushes:
            if brush.name != one.name:
                continue
            ends = one.places(np.array([brush.low, brush.high]))  # 0 and less lie below a logarithmic axis
            y0, y1 = np.clip(np.nan_to_num(ends, nan=0.0), 0, 1).tolist()
            found.append(
                {
                    "type": "rect", "x0": at - 0.05, "x1": at + 0.05, "y0": y0 - 0.01, "y1": y1 + 0.01,
                    "fillcolor": faint(inks.line(1), 0.25), "line": {"color": inks.line(1), "width": 1},
                }
            )  # fmt: skip
    return found


def _ticks(one: Axis, at: int, inks: Inks, missing: bool) -> list[dict[str, Any]]:
    """Values beside an axis, on the ground of the page so that lines do not run through them."""
    if one.kind == "category":
        step = max(1, -(-len(one.categories) // 12))
        values = np.arange(0, len(one.categories), step, dtype=np.float64)
    elif one.kind == "log":
        values = np.geomspace(one.low, one.high, _TICKS)
    elif len(known := np.unique(one.values[np.isfinite(one.values)])) <= _TICKS:
        values = known
    else:
        values = np.linspace(one.low, one.high, _TICKS)
    told = [
        (float(y), f"{v:.2g}" if one.kind == "log" else one.word(v))
        for v, y in zip(values.tolist(), one.places(values), strict=True)
    ]
    if missing and not np.isfinite(one.values).all():
        told.append((NONE, "none"))
    return [
        {
            "x": at, "y": y, "xanchor": "left", "xshift": 5, "yanchor": "middle", "text": text.label(word, 14),
            "showarrow": False, "font": {"size": 11, "color": inks.muted}, "bgcolor": faint(inks.surface, 0.8),
            "borderpad": 1,
        }
        for y, word in told
    ]  # fmt: skip


def _plain(one: Axis, run: int) -> float | None:
    value = float(one.values[run])
    return value if one.kind != "category" and math.isfinite(value) else None
