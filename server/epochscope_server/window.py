"""The window ``[from, to)`` that a viewer looks at: read from a query, clipped to the run, cut into points."""

from __future__ import annotations

import numpy as np

from epochscope_server.analysis.rates import Whole
from epochscope_server.errors import InvalidError

LEAST_WIDTH = 25  # steps of an unasked point: fewer hold too little support to say anything
MOST_POINTS = 400  # unasked points, about one to a pixel or two
LONG = 8192  # steps; in longer windows many points lie on the grid of what is kept summed up
MANY = 128  # points; so many lie anywhere: each edge beside the grid is looked up in the counts of single steps
UNIT = 16  # steps of the finest grid; the next ones are FAN times as wide
FAN = 8
_ROUND = (1, 2, 5)


def clip(start: int | None, stop: int | None, last: int) -> tuple[int, int]:
    """The part of ``[start, stop)`` inside steps 1 to ``last``; None is an open end.

    Raises:
        InvalidError: a window that is reversed or empty as it was asked for.
    """
    if start is not None and stop is not None and start >= stop:
        raise InvalidError("empty_window", f"from must be less than to; {start} to {stop} holds no step", "from")
    if stop is not None and stop < 1:
        raise InvalidError("empty_window", f"to must be greater than 1, since steps count from 1; not {stop}", "to")
    end = last + 1
    return min(max(start or 1, 1), end), min(stop if stop is not None else end, end)


def cut(
    start: int,
    stop: int,
    points: int | None,
    width: int | None,
    most: int,
    unit: int = UNIT,
    hint: str = "",
    unasked: int = MOST_POINTS,
) -> tuple[Whole, Whole]:
    """Starts and stops, int64 [P], of consecutive windows: ``width`` steps each, or at most ``points`` of them.

    Asked for neither, there are at most ``unasked`` windows of a round width of at least LEAST_WIDTH steps, so that
    they stay the same while a run grows; what is left over at an end, if it is less than half of one, belongs to its
    neighbour, since a point of a few steps would say nothing and be looked at most. Of many points over a long stretch
    all but the ends lie on the grid of ``unit`` steps or coarser, and are up to a third wider.

    Raises:
        InvalidError: there would be more than ``most`` windows; ``hint`` says what else can be asked.
    """
    total, asked = stop - start, points is not None or width is not None
    exact = width is not None
    if points is not None:
        width = -(-total // points)
    width = max(width or _round_width(total, min(most, unasked)), 1)
    if (windows := -(-total // width)) > most:
        message = f"{windows:,} windows are too many here; at most {most:,}{hint}"
        raise InvalidError("too_many_points", message, "points")
    edges = np.arange(start, stop, width, dtype=np.int64)
    if not exact and windows > MANY and total > LONG:
        if points is not None:
            width = _on_grid(-(-total // max(points - 1, 1)), unit)
        first = (start // width + 1) * width
        edges = np.append(start, np.arange(first, stop, width, dtype=np.int64)) if width % unit == 0 else edges
    if not asked and len(edges) > 1:
        if 2 * (edges[1] - edges[0]) < width:
            edges = np.delete(edges, 1)
        if len(edges) > 1 and 2 * (stop - edges[-1]) < width:
            edges = edges[:-1]
    return edges, np.append(edges[1:], stop)[: len(edges)]


def _on_grid(width: int, unit: int) -> int:
    """``width`` rounded up to whole units, or to whole ones of a coarser grid where that adds no more than a third."""
    units = [unit]
    while units[-1] * FAN <= 2 * width:
        units.append(units[-1] * FAN)
    fitting = (-(-width // each) * each for each in reversed(units))
    return next((rounded for rounded in fitting if 3 * rounded <= 4 * width), width)


def _round_width(total: int, most: int) -> int:
    wanted = max(LEAST_WIDTH, -(-total // most))
    if total > LONG:  # on the grid: 32, 64, 128 ...
        return 1 << max(wanted - 1, 2 * UNIT - 1).bit_length()
    scale = 10
    while wanted > LEAST_WIDTH:
        for step in _ROUND:
            if step * scale >= wanted:
                return step * scale
        scale *= 10
    return LEAST_WIDTH
