"""A matrix of very many classes as a map: each square stands for a block of classes and has the ink of the largest
confusion in it, so that none is lost between the pixels; hovering names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from epochscope_server.analysis.rates import Numbers, Whole, wilson
from epochscope_server.figures import columns, text
from epochscope_server.figures.matrix import HOVER, apart

SQUARES = 200  # along each side, at most: about two pixels each
TOLD = 6000  # squares with a text, those of the largest confusions


def side(classes: int) -> int:
    """How many classes a square stands for, along each side; 1: every cell is drawn."""
    return -(-classes // SQUARES)


@dataclass(frozen=True)
class Area:
    """A part of a map: the places of rows ``[top, bottom)`` and columns ``[left, right)``."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def width(self) -> int:
        """How many classes a square of it stands for, along each side."""
        return side(max(self.bottom - self.top, self.right - self.left))


def block_trace(values: Numbers, counts: Whole, names: tuple[str, ...], area: Area | None = None) -> dict[str, Any]:
    """The heatmap, its squares on the places of the classes; ``customdata`` is the cell each shows, row * N + column.

    Args:
        values: what gives the ink, float64 [N, N]; the diagonal is left out.
        area: only this part, in squares as small as it allows.
    """
    classes = len(names)
    part = area or Area(0, classes, 0, classes)
    width = part.width
    high, wide = part.bottom - part.top, part.right - part.left
    down, along = -(-high // width), -(-wide // width)
    off = apart(values)[0][part.top : part.bottom, part.left : part.right]
    padded = np.full((down * width, along * width), -1.0)
    padded[:high, :wide] = np.where(np.isfinite(off), off, -1)
    blocks = padded.reshape(down, width, along, width).swapaxes(1, 2).reshape(down, along, width * width)
    rows, across = np.divmod(blocks.argmax(axis=2), width)
    rows = part.top + np.minimum(rows + width * np.arange(down)[:, None], high - 1)
    across = part.left + np.minimum(across + width * np.arange(along)[None, :], wide - 1)
    return {
        "type": "heatmap",
        "name": "confused",
        "z": columns.numbers(np.clip(blocks.max(axis=2), 0, None)),
        "x0": part.left + (width - 1) / 2,
        "dx": width,
        "y0": part.top + (width - 1) / 2,
        "dy": width,
        "hovertext": _told(counts, rows, across, names, "" if width == 1 else "most confused here: "),
        "hovertemplate": HOVER,
        "customdata": columns.exact(rows * classes + across),
    }


def right_trace(values: Numbers, counts: Whole, names: tuple[str, ...], area: Area) -> dict[str, Any] | None:
    """The diagonal within ``area``, where that is shown cell by cell; None where it does not pass."""
    places = np.arange(max(area.top, area.left), min(area.bottom, area.right))
    if not len(places) or area.width > 1:
        return None
    on = np.full((len(places), len(places)), np.nan)
    np.fill_diagonal(on, np.diagonal(values)[places])
    texts = [[""] * len(places) for _ in places]
    members = counts.sum(axis=1)
    for row, place in enumerate(places.tolist()):
        name = text.escaped(names[place])
        texts[row][row] = f"<b>{name}</b> recognised: {counts[place, place]:,} of {members[place]:,}"
    return {
        "type": "heatmap",
        "name": "right",
        "z": columns.numbers(on),
        "x0": int(places[0]),
        "dx": 1,
        "y0": int(places[0]),
        "dy": 1,
        "hoverongaps": False,
        "hovertext": texts,
        "hovertemplate": HOVER,
        "customdata": columns.exact(places[:, None] * len(names) + places[None, :]),
    }


def _told(counts: Whole, rows: Whole, across: Whole, names: tuple[str, ...], before: str) -> list[list[str]]:
    shown = np.where(rows == across, 0, counts[rows, across])
    share = wilson(shown, counts.sum(axis=1)[rows])
    texts = [[""] * shown.shape[1] for _ in shown]
    places = np.argsort(-shown, axis=None, kind="stable")[: min(TOLD, int((shown > 0).sum()))]
    for row, column in zip(*(part.tolist() for part in np.unravel_index(places, shown.shape)), strict=True):
        true, predicted = int(rows[row, column]), int(across[row, column])
        of = [100 * float(part[row, column]) for part in (share.value, share.low, share.high)]
        texts[row][column] = (
            f"{before}true <b>{text.escaped(names[true])}</b>, "
            f"predicted <b>{text.escaped(names[predicted])}</b>: {shown[row, column]:,}"
            f"<br>{of[0]:.2f} % ({of[1]:.2f} to {of[2]:.2f} %) of {counts[true].sum():,} true "
            f"{text.escaped(names[true])}"
        )
    return texts
