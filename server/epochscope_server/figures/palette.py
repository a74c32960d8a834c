"""The colours of every figure, light and dark, and what each is for.

Error is ink: what is healthy stays near the background, what is confused stands out. Colour never carries a
meaning alone; a label, a sign, a dash or a position says the same.

Sources: the three focus colours are from Okabe and Ito's set for all kinds of colour vision (2008), the further
ones from Petroff, "Accessible Color Sequences for Data Visualization", arXiv 2107.02270 (2021); the diverging
ones are ColorBrewer's PuOr (Brewer, 2003). On the dark ground each is lightened to at least 4.5 : 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Theme = Literal["light", "dark"]
Colorscale = list[list[float | str]]

DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class Inks:
    """The colours of one theme; ``surface`` is what the page paints behind a figure."""

    surface: str
    ink: str
    muted: str
    axis: str
    grid: str
    context: str  # the lines that are there to be compared with
    lines: tuple[str, ...]  # what is in focus, and runs, in this order
    error: tuple[str, ...]  # from nothing (the surface) to much
    healthy: tuple[str, str]  # the diagonal, from 0 to 1
    worse: tuple[str, ...]  # from no difference to much
    better: tuple[str, ...]
    alarm: str

    def line(self, index: int) -> str:
        """The colour of line ``index``; after the tenth they come again, with another dash."""
        return self.lines[index % len(self.lines)]

    def run(self, index: int) -> str:
        """The colour of run ``index``: blue and green first, since orange and purple mean worse and better there."""
        return self.line((1, 2, 0, *range(3, 10))[index % 10])

    @staticmethod
    def dash(index: int) -> str:
        return DASHES[index % len(DASHES)]


INKS: dict[Theme, Inks] = {
    "light": Inks(
        surface="#ffffff",
        ink="#1a1f26",
        muted="#5a6472",
        axis="#a9b1bb",
        grid="#eaecef",
        context="#c3c9d0",
        lines=(
            "#d55e00", "#0072b2", "#009e73", "#832db6", "#bd1f01",
            "#a96b59", "#717581", "#b07600", "#2f8f91", "#8a7d3a",
        ),
        error=("#ffffff", "#fff0e1", "#fdd9b5", "#fdb575", "#f78b3d", "#dd5f12", "#ac3f04", "#752b03"),
        healthy=("#f5f7f9", "#dde4ea"),
        worse=("#ffffff", "#fee0b6", "#fdb863", "#e08214", "#b35806"),
        better=("#ffffff", "#d8daeb", "#b2abd2", "#8073ac", "#542788"),
        alarm="#b3261e",
    ),
    "dark": Inks(
        surface="#15191f",
        ink="#e7eaee",
        muted="#9aa5b1",
        axis="#4b5561",
        grid="#232a33",
        context="#4a5460",
        lines=(
            "#ff8f3c", "#58b0ee", "#35c79a", "#c08ff5", "#ff7b6b",
            "#cf9f8f", "#a8adba", "#ffc04d", "#7fd3d4", "#d0c585",
        ),
        error=("#15191f", "#33231a", "#5c3413", "#8e4a12", "#c2661b", "#ee8a3a", "#fdb981", "#ffe6cf"),
        healthy=("#1a2028", "#2c3743"),
        worse=("#15191f", "#4a331b", "#8a5724", "#c97f38", "#f5a35c"),
        better=("#15191f", "#2d2c4a", "#51497f", "#7d70b8", "#a99bea"),
        alarm="#ff8a80",
    ),
}  # fmt: skip


def rooted(ramp: tuple[str, ...]) -> Colorscale:
    """A sequential scale whose ink grows with the square root of the value, so that small values are seen.

    The axis of the scale stays linear in the value: only the places of the colours move.
    """
    last = len(ramp) - 1
    return [[(place / last) ** 2, colour] for place, colour in enumerate(ramp)]


def signed(negative: tuple[str, ...], positive: tuple[str, ...]) -> Colorscale:
    """A diverging scale over [-1, 1], rooted to both sides; both ramps begin with the colour of no difference."""
    last = len(negative) - 1
    below: Colorscale = [[0.5 - 0.5 * (place / last) ** 2, negative[place]] for place in range(last, 0, -1)]
    above: Colorscale = [[0.5 + 0.5 * (place / last) ** 2, positive[place]] for place in range(last + 1)]
    return [*below, *above]


def faint(colour: str, opacity: float) -> str:
    """``#rrggbb`` as ``rgba(...)``."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
