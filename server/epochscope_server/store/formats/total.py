"""The counts of a window from the blobs that cover it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from epochscope_server.analysis.rates import Whole
from epochscope_server.store.formats import leaf, node
from epochscope_server.store.formats.counts import Columns, Counts, summed

# A large matrix is summed in 16 bits first: what is written to at random then stays within the cache of a processor.
_NARROW_FROM = 65536  # cells
_NARROW_MOST = 257  # numbers of at most 255 that can't add up to more than 65,535


def dense(
    classes: int, nodes: Iterable[bytes | Columns], leaves: Iterable[tuple[int, bytes]], start: int, stop: int
) -> Whole:
    """The matrix of ``[start, stop)``, int64 [classes, classes]: all of ``nodes`` and, of each leaf (its first step
    and its blob), the steps inside the window.

    A node may be given as its blob or as ``node.open_columns`` made of it, which a cache keeps.

    Raises:
        FormatError: a blob is damaged, or of another number of classes.
    """
    cells = classes * classes
    low = np.zeros(cells if cells >= _NARROW_FROM else 0, np.uint16)
    room = _NARROW_MOST if len(low) else 0
    wide: list[Columns] = []
    high: list[Columns] = []
    for each in nodes:
        opened = node.open_columns(each, cells) if isinstance(each, bytes) else each
        if not room or opened.low.dtype.itemsize > 1:
            wide.append(opened)
            continue
        room -= 1
        high.append(opened)
        if opened.cell is None:
            low += opened.low
        else:
            np.add.at(low, opened.cell, opened.low.astype(np.uint16))
    total = low.astype(np.int64) if len(low) else np.zeros(cells, np.int64)
    for opened in high:
        total[opened.exception if opened.cell is None else opened.cell[opened.exception]] += opened.high
    for opened in wide:
        opened.add_into(total)
    for first, data in leaves:
        leaf.add_into(total, data, first, start, stop)
    return total.reshape(classes, classes)


def sparse(classes: int, nodes: Iterable[bytes], leaves: Iterable[tuple[int, bytes]], start: int, stop: int) -> Counts:
    """As ``dense``, for more classes than a matrix has room for; cell = true * ``classes`` + predicted."""
    parts = [node.decode(data) for data in nodes]
    parts += [leaf.totals(data, first, start, stop) for first, data in leaves]
    return summed(parts)
