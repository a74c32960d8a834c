"""A matrix of very many classes as a map: each square stands for a block of classes and has the ink of the largest
confusion in it, so that none is lost between the pixels; hovering names it."""

from __future__ import annotations

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


def block_trace(values: Numbers, counts: Whole, names: tuple[str, ...]) -> dict[str, Any]:
    """The heatmap, its squares on the places of the classes; ``customdata`` is the cell each shows, row * N + column.

    ``values`` are what gives the ink, float64 [N, N]; the diagonal is left out.
    """
    classes, width = len(names), side(len(names))
    squares = -(-classes // width)
    off, _ = apart(values)
    padded = np.full((squares * width, squares * width), -1.0)
    padded[:classes, :classes] = np.where(np.isfinite(off), off, -1)
    blocks = padded.reshape(squares, width, squares, width).swapaxes(1, 2).reshape(squares, squares, width * width)
    inside = blocks.argmax(axis=2)
    rows, across = np.divmod(inside, width)
    rows = np.minimum(rows + width * np.arange(squares)[:, None], classes - 1)
    across = np.minimum(across + width * np.arange(squares)[None, :], classes - 1)
    return {
        "type": "heatmap",
        "name": "confused",
        "z": columns.numbers(np.clip(blocks.max(axis=2), 0, None)),
        "x0": (width - 1) / 2,
        "dx": width,
        "y0": (width - 1) / 2,
        "dy": width,
        "hovertext": _told(counts, rows, across, names),
        "hovertemplate": HOVER,
        "customdata": columns.exact(rows * classes + across),
    }


def _told(counts: Whole, rows: Whole, across: Whole, names: tuple[str, ...]) -> list[list[str]]:
    shown = np.where(rows == across, 0, counts[rows, across])
    share = wilson(shown, counts.sum(axis=1)[rows])
    texts = [[""] * len(shown) for _ in shown]
    places = np.argsort(-shown, axis=None, kind="stable")[: min(TOLD, int((shown > 0).sum()))]
    for row, column in zip(*(part.tolist() for part in np.unravel_index(places, shown.shape)), strict=True):
        true, predicted = int(rows[row, column]), int(across[row, column])
        of = [100 * float(part[row, column]) for part in (share.value, share.low, share.high)]
        texts[row][column] = (
            f"most confused here: true <b>{text.escaped(names[true])}</b>, "
            f"predicted <b>{text.escaped(names[predicted])}</b>: {shown[row, column]:,}"
            f"<br>{of[0]:.2f} % ({of[1]:.2f} to {of[2]:.2f} %) of {counts[true].sum():,} true "
            f"{text.escaped(names[true])}"
        )
    return texts
