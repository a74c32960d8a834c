"""How far each class lies below its own best so far, block by block: what a raster of classes over time shows.

Ink stands only where the block's own interval, of 99 %, ends below the level that the class surely had before (see
``drop``): then the depth is that level minus the block's recall. Where nothing fell there is no ink.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochscope_server.analysis.blocks import edges, pooled
from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.drop import DOUBT
from epochscope_server.analysis.rates import Numbers, Rate, Whole, wilson
from epochscope_server.analysis.sure import quick_ends

BLOCKS = 120  # across the picture, at most
SAMPLES = 80  # of a class in a block, in the median class, at least
Z99 = 2.5758293035489  # the 99.5th percentile of the standard normal distribution
FEWEST = 24  # blocks, where there are so many windows, however thin they are


@dataclass(frozen=True)
class Drawdown:
    """Blocks of steps ``[start, stop)``, int64 [B], and for each class [N, B]: ``recall`` (NaN where it was not seen),
    ``depth`` (0 where it is not surely below its best), ``seen``, and ``best``, the level that it surely had before.
    """

    start: Whole
    stop: Whole
    recall: Rate
    best: Numbers
    depth: Numbers
    seen: Whole


def drawdown(curves: ClassCurves, told_apart: Whole) -> Drawdown:
    """The blocks of ``curves``; ``told_apart`` [N] as of ``drop.Drops``, in windows of ``curves``."""
    windows = len(curves.start)
    if not windows:
        empty = np.zeros((len(curves.class_names), 0))
        whole = empty.astype(np.int64)
        return Drawdown(curves.start, curves.stop, Rate(empty, empty, empty), empty, empty, whole)
    median = float(np.median(curves.support.sum(axis=1))) / windows
    enough = -int(-SAMPLES // median) if median > 0 else 1
    factor = max(-(-windows // BLOCKS), min(enough, windows // FEWEST), 1)
    begin = edges(windows, factor)
    hits, seen = pooled(curves.tp, begin), pooled(curves.support, begin)
    recall = wilson(hits, seen)
    doubt = DOUBT / max(4 * int(np.count_nonzero(curves.support)), 1)
    best = np.zeros((len(hits), len(begin) + 1))
    size = 1
    while size <= len(begin):
        at = np.arange(0, len(begin) - size + 1, size)
        low = quick_ends(_groups(hits, size), _groups(seen, size), doubt)[0]
        low[begin[at] < told_apart[:, None]] = 0.0
        best[:, at + size] = np.maximum(best[:, at + size], low)
        size *= 2
    before = np.maximum.accumulate(best, axis=1)[:, :-1]
    depth = np.where(wilson(hits, seen, Z99).high < before, before - np.nan_to_num(recall.value), 0.0)
    last = np.append(begin[1:], windows) - 1
    return Drawdown(curves.start[begin], curves.stop[last], recall, before, depth, seen)


def _groups(counts: Whole, size: int) -> Numbers:
    """Sums of ``size`` blocks side by side; a rest is left out."""
    rows, blocks = counts.shape
    groups: Numbers = counts[:, : blocks // size * size].reshape(rows, -1, size).sum(axis=2).astype(np.float64)
    return groups
