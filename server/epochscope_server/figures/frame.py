"""What every figure has in common: fonts, axes, margins, and the one sentence of a figure without data."""

from __future__ import annotations

from typing import Any

from epochscope_server.figures.palette import INKS, Inks, Theme, faint

Figure = dict[str, Any]
FONT = "system-ui, sans-serif"


def layout(inks: Inks, revision: str, **more: Any) -> dict[str, Any]:
    """A layout on transparent paper. Zoom survives an update for as long as ``revision`` stays the same."""
    return {
        "font": {"family": FONT, "size": 12, "color": inks.muted},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 48, "r": 16, "t": 10, "b": 40},
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": inks.surface,
            "bordercolor": inks.axis,
            "font": {"family": FONT, "size": 12, "color": inks.ink},
            "align": "left",
        },
        "modebar": {
            "bgcolor": faint(inks.surface, 0.85),  # it comes up over the plot
            "color": inks.muted,
            "activecolor": inks.ink,
            "orientation": "h",
        },
        "showlegend": False,
        "uirevision": revision,
        **more,
    }


def axis(inks: Inks, title: str, **more: Any) -> dict[str, Any]:
    """A quiet axis: hairline, outside ticks, its name with the unit."""
    return {
        "title": {"text": title, "standoff": 8, "font": {"size": 12, "color": inks.muted}},
        "showgrid": True,
        "gridcolor": inks.grid,
        "gridwidth": 1,
        "zeroline": False,
        "showline": True,
        "linecolor": inks.axis,
        "linewidth": 1,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": inks.axis,
        "tickfont": {"size": 11, "color": inks.muted},
        "ticklabeloverflow": "allow",  # else Plotly measures every label at every drawing
        "automargin": True,
        **more,
    }


def brushed(inks: Inks) -> dict[str, Any]:
    """Of a layout: a drag along the x axis chooses a stretch of it."""
    return {
        "dragmode": "select",
        "selectdirection": "h",
        "newselection": {"line": {"color": inks.ink, "width": 1, "dash": "solid"}},
    }


def legend_above(inks: Inks, **more: Any) -> dict[str, Any]:
    """A legend in one row above the plot."""
    return {
        "orientation": "h",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "font": {"size": 11, "color": inks.ink},
        **more,
    }


def empty_figure(sentence: str, theme: Theme = "light") -> Figure:
    """No data yet: one sentence in the middle of nothing."""
    inks = INKS[theme]
    hidden = {"visible": False, "range": [0, 1], "fixedrange": True}
    return {
        "data": [],
        "layout": layout(
            inks,
            "empty",
            xaxis=hidden,
            yaxis=hidden,
            dragmode=False,
            annotations=[
                {
                    "text": sentence,
                    "x": 0.5,
                    "y": 0.5,
                    "xref": "paper",
                    "yref": "paper",
                    "showarrow": False,
                    "font": {"size": 13, "color": inks.muted},
                }
            ],
            meta={"empty": True, "summary": sentence},
        ),
    }
