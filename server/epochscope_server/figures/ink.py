"""How much ink a confusion gets: by its root, as it is, or by its logarithm; and the bar that says so."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from epochscope_server.figures.palette import Colorscale, Inks, rooted

WAYS = ("root", "linear", "log")
TOPS = (0.02, 0.05, 0.2, 0.5, 1.0)  # shares of a class that the deepest ink may stand for
DECADES = 3  # below the deepest ink, of a logarithmic scale of shares


@dataclass(frozen=True)
class Ink:
    """The colours of a heatmap (``trace``), and what else is drawn to explain them (``beside``)."""

    trace: dict[str, Any]
    beside: list[dict[str, Any]] = field(default_factory=list)


def ink(inks: Inks, way: str, largest: float, whole: float, title: str, form: str) -> Ink:
    """Ink from nothing at 0 to the deepest at a fixed share of ``whole``: the least that ``largest`` does not exceed.

    Few fixed steps, so that the same ink means the same share while a window is dragged over a training.

    Args:
        way: of ``WAYS``. By its root or logarithm what is small is seen too, late in a training.
        whole: what a share is of: 1, or the most samples that any class has.
        form: how the numbers on the bar are written, as d3 formats them.
    """
    top = next((step * whole for step in TOPS if largest <= step * whole), whole)
    if way == "log":
        return _logarithmic(inks, top, 1.0 if whole > 1 else top / 10**DECADES, title, shares=whole <= 1)
    colours = rooted(inks.error) if way == "root" else _even(inks.error)
    return Ink({"zmin": 0, "zmax": top, "colorscale": colours, "colorbar": bar(inks, title, form)})


def bar(inks: Inks, title: str, tickformat: str) -> dict[str, Any]:
    return {
        "title": {"text": title, "side": "right", "font": {"size": 11, "color": inks.muted}},
        "thickness": 8,
        "outlinewidth": 0,
        "xpad": 4,
        "ypad": 0,
        "nticks": 6,
        "tickformat": tickformat,
        "tickfont": {"size": 10, "color": inks.muted},
    }


def _even(ramp: tuple[str, ...]) -> Colorscale:
    return [[place / (len(ramp) - 1), colour] for place, colour in enumerate(ramp)]


def _logarithmic(inks: Inks, top: float, least: float, title: str, *, shares: bool) -> Ink:
    """The values stay what they are: only the places of the colours move. The bar of these would be crowded at its
    foot, so an unseen trace carries one on which the decades are evenly apart."""
    ramp, least = inks.error, min(least, top / 10)
    last = len(ramp) - 1
    values = [least * (top / least) ** (step / (last - 1)) for step in range(last)]
    colours: Colorscale = [[0, ramp[0]], *([value / top, ramp[step + 1]] for step, value in enumerate(values))]
    colours[-1][0] = 1
    exponents = range(math.ceil(math.log10(least) - 1e-9), math.floor(math.log10(top) + 1e-9) + 1)
    decades = [10.0**exponent for exponent in exponents]
    places = [(1 + (last - 1) * math.log(value / least) / math.log(top / least)) / last for value in decades]
    written = [f"{100 * value:g} %" if shares else f"{value:,.0f}" for value in decades]
    carrier = {
        "type": "scatter",
        "x": [None],
        "y": [None],
        "mode": "markers",
        "hoverinfo": "skip",
        "marker": {
            "color": [0],
            "cmin": 0,
            "cmax": 1,
            "colorscale": _even(ramp),
            "showscale": True,
            "colorbar": bar(inks, title, "") | {"tickvals": [0, *places], "ticktext": ["0", *written]},
        },
    }
    return Ink({"zmin": 0, "zmax": top, "colorscale": colours, "showscale": False}, [carrier])
