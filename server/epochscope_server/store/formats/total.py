"""The counts of a window from the blobs that cover it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from epochscope_server.analysis.rates import Whole
from epochscope_server.store.formats import leaf, node
from epochscope_server.store.formats.counts import Columns, Counts, summed
from epochscope_server.store.formats.leaf import Leaf

# A large matrix is summed in 16 bits first: what is written to at random then stays within the cache of a processor.
_NARROW_FROM = 65536  # cells
_NARROW_MOST = 257  # numbers of at most 255 that can't add up to more than 65,535


def dense(
    classes: int, nodes: Iterable[bytes | Columns], leaves: Iterable[tuple[int, bytes | Leaf]], start: int, stop: int
) -> Whole:
    """The matrix of ``[start, stop)``, int64 [classes, classes]: all of ``nodes`` and, of each leaf (its first step
    and its blob), the steps inside the window.

    Nodes and leaves may be given as blobs or as what ``node.open_columns`` and ``leaf.open_leaf`` made of them, which
    a cache keeps.

    Raises:
        FormatError: a blob is damaged, or of another number of classes.
    """
    cells = classes * classes
    low: np.ndarray | None = None
    room = _NARROW_MOST if cells >= _NARROW_FROM else 0
    wide: list[Columns] = []
    high: list[Columns] = []
    for each in nodes:
        opened = node.open_columns(each, cells) if isinstance(each, bytes) else each
        if not room or opened.low.dtype.itemsize > 1:
            wide.append(opened)
            continue
        room -= 1
        high.append(opened)
        if low is None:
            low = np.zeros(cells, np.uint16)
        if opened.cell is None:
            low += opened.low
        else:
            np.add.at(low, opened.cell, opened.low.astype(np.uint16))
    total = np.zeros(cells, np.int64) if low is None else low.astype(np.int64)
    for opened in high:
        total[opened.exception if opened.cell is None else opened.cell[opened.exception]] += opened.high
    for opened in wide:
        opened.add_into(total)
    hits = np.zeros(classes, np.int64)
    for first, data in leaves:
        kept = leaf.open_leaf(data) if isinstance(data, bytes) else data
        leaf.add(hits, total, kept, start - first, stop - first)
    total[:: classes + 1] += hits
    return total.reshape(classes, classes)


def sparse(classes: int, nodes: Iterable[bytes], leaves: Iterable[tuple[int, bytes]], start: int, stop: int) -> Counts:
    """As ``dense``, for more classes than a matrix has room for; cell = true * ``classes`` + predicted."""
    parts = [node.decode(data) for data in nodes]
    parts += [leaf.totals(data, first, start, stop) for first, data in leaves]
    return summed(parts)
