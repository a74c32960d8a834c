"""Consecutive windows taken together: thin ones become blocks that hold enough samples to say something."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.rates import Whole


def edges(windows: int, factor: int) -> Whole:
    """Where blocks of ``factor`` windows begin, int64 [B]; a rest of less than half a block belongs to the last."""
    begin = np.arange(0, windows, factor, dtype=np.int64)
    if len(begin) > 1 and 2 * (windows - begin[-1]) < factor:
        begin = begin[:-1]
    return begin


def pooled(counts: Whole, begin: Whole) -> Whole:
    """``counts`` [..., P] summed from each of ``begin`` [B] to the next, int64 [..., B]."""
    if not len(begin):
        return np.zeros((*counts.shape[:-1], 0), np.int64)
    return np.add.reduceat(counts, begin, axis=-1)


def joined(curves: ClassCurves, begin: Whole) -> ClassCurves:
    """The curves of blocks of windows; a block of epochs stands at its first."""
    last = np.append(begin[1:], len(curves.start))[: len(begin)] - 1
    return replace(
        curves,
        start=curves.start[begin],
        stop=curves.stop[last],
        epoch=None if curves.epoch is None else curves.epoch[begin],
        tp=pooled(curves.tp, begin),
        fp=pooled(curves.fp, begin),
        fn=pooled(curves.fn, begin),
    )


def summed(counts: Whole) -> Whole:
    """Running sums with a 0 before the first, int64 [..., P + 1]: window [a, b) holds ``sums[b] - sums[a]``."""
    sums = np.zeros((*counts.shape[:-1], counts.shape[-1] + 1), np.int64)
    np.cumsum(counts, axis=-1, out=sums[..., 1:])
    return sums
