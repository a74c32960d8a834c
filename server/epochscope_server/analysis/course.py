"""A group of runs over time: their mean and their spread at each place of a common axis."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from epochscope_server.analysis.groups import Group, group
from epochscope_server.analysis.rates import Numbers


def course(lines: Sequence[tuple[Numbers, Numbers]], *, between: bool = True) -> tuple[Numbers, Group]:
    """What R runs are together, place by place.

    Args:
        lines: of each run its places, ascending float64 [P], and its values there; NaN is unknown. P may differ.
        between: whether a run has values between its places, on the straight line; never beyond its ends, nor where
            a neighbour is unknown. Else a run counts only at places of its own.

    Returns: the places, float64 [Q], and the group at each of them, arrays [Q]. Where all runs have the same places
    these are they, and each value is one that was measured. Else they are those of the run that goes on longest, or of
    all runs where there is nothing between them.
    """
    known = [(x[np.isfinite(x)], values[np.isfinite(x)]) for x, values in lines]
    known = [line for line in known if len(line[0])]
    if not known:
        return np.zeros(0), group(np.zeros((1, 0)))
    if between:
        x, _ = max(known, key=lambda line: (line[0][-1], len(line[0])))
        rows = [np.interp(x, places, values, left=np.nan, right=np.nan) for places, values in known]
        return x, group(np.stack(rows))
    x = reduce(np.union1d, (places for places, _ in known))
    rows = [np.full(len(x), np.nan) for _ in known]
    for row, (places, values) in zip(rows, known, strict=True):
        row[np.searchsorted(x, places)] = values
    return x, group(np.stack(rows))
