"""How far each class lies below its own best so far, block by block: what a raster of classes over time shows.

Ink stands only where the block's own interval, of 99 %, ends below the level that the class surely had before (see
``drop``): then the depth is that level minus the block's recall. Where nothing fell there is no ink.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochscope_server.analysis.blocks import edges, joined
from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.drop import DOUBT
from epochscope_server.analysis.rates import Numbers, Whole, wilson
from epochscope_server.analysis.sure import quick_ends

BLOCKS = 120  # across the picture, at most
SAMPLES = 80  # of a class in a block, in the median class, at least
Z99 = 2.5758293035489  # the 99.5th percentile of the standard normal distribution
FEWEST = 24  # blocks, where there are so many windows, however thin they are


@dataclass(frozen=True)
class Drawdown:
    """``blocks``: the counts of B blocks of steps; and for each class, float64 [N, B], ``best``, the level that it
    surely had before, and ``depth`` below it, 0 where the class is not surely below.
    """

    blocks: ClassCurves
    best: Numbers
    depth: Numbers


def drawdown(curves: ClassCurves, told_apart: Whole, most: int = BLOCKS) -> Drawdown:
    """How deep each class is in at most ``most`` blocks; ``told_apart`` [N] as of ``drop.Drops``."""
    begin = _blocks(curves, most)
    blocks = joined(curves, begin)
    hits, seen = blocks.tp, blocks.support
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
    depth = np.where(wilson(hits, seen, Z99).high < before, before - np.nan_to_num(blocks.recall.value), 0.0)
    return Drawdown(blocks, before, depth)


def _blocks(curves: ClassCurves, most: int) -> Whole:
    """Where the blocks begin: as many as fit across, but so wide that the median class is seen ``SAMPLES`` times."""
    windows = len(curves.start)
    if not windows:
        return np.zeros(0, np.int64)
    median = float(np.median(curves.support.sum(axis=1))) / windows
    enough = -int(-SAMPLES // median) if median > 0 else 1
    return edges(windows, max(-(-windows // most), min(enough, windows // FEWEST), 1))


def _groups(counts: Whole, size: int) -> Numbers:
    """Sums of ``size`` blocks side by side; a rest is left out."""
    rows, blocks = counts.shape
    groups: Numbers = counts[:, : blocks // size * size].reshape(rows, -1, size).sum(axis=2).astype(np.float64)
    return groups
