"""Which steps a live watch takes in at once: blocks that follow from the steps alone.

The first steps stand alone; later a block is a power of two wide and 256 to 512 times as wide lies before it, so that
a watch is never behind by more than a 256th of the training and a long training needs few updates (2,500 for 100,000
steps). Since the blocks do not depend on when the counts came, a watch that is made anew from stored counts after a
restart says exactly what the one before it said.
"""

from __future__ import annotations

import numpy as np

from epochscope_server.analysis.rates import Whole

FINE = 256  # a block is at most this part of what lies before it
COARSE = 16  # for what is looked at only now and then


def blocks(start: int, last: int, *, whole: bool = False, fine: int = FINE) -> tuple[Whole, Whole]:
    """The blocks from step ``start`` on whose steps are all there, [first, end) each, int64 [B].

    Args:
        start: a step at which a block begins, such as the end of the last block that was taken in; 1 at first.
        last: the last step that there is.
        whole: no more steps come: what is left after the last full block is one, too.
        fine: a power of two.
    """
    first, end, width = [], start, _width(start, fine)
    while end + width <= last + 1:
        octave = min(2 * fine * width, last + 2 - width)
        begin = np.arange(end, octave, width, dtype=np.int64)
        first.append(begin)
        end = int(begin[-1]) + width
        width = _width(end, fine)
    starts = np.concatenate(first) if first else np.zeros(0, np.int64)
    stops = np.append(starts[1:], end) if len(starts) else starts
    if whole and end <= last:
        starts, stops = np.append(starts, end), np.append(stops, last + 1)
    return starts, stops


def _width(step: int, fine: int) -> int:
    return max(1 << max((step // fine).bit_length() - 1, 0), 1)
