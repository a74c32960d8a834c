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
_NARROW_MOST = 128  # numbers of at most 255 that can't come to more than 32,767, nor to less than that below 0

Leaves = Iterable[tuple[int, bytes | Leaf]]


def dense(
    classes: int, nodes: Iterable[bytes | Columns], leaves: Leaves, start: int, stop: int,
    taken_nodes: Iterable[bytes | Columns] = (), taken_leaves: Leaves = (),
) -> Whole:  # fmt: skip
    """The matrix of ``[start, stop)``, int64 [classes, classes]: all of ``nodes`` and, of each leaf (its first step
    and its blob), the steps inside the window; less all of ``taken_nodes`` and the steps of ``taken_leaves`` outside.

    Nodes and leaves may be given as blobs or as what ``node.open_columns`` and ``leaf.open_leaf`` made of them, which
    a cache keeps.

    Raises:
        FormatError: a blob is damaged, or of another number of classes.
    """
    cells = classes * classes
    low: np.ndarray | None = None
    room = _NARROW_MOST if cells >= _NARROW_FROM else 0
    wide: list[tuple[int, Columns]] = []
    high: list[tuple[int, Columns]] = []
    for sign, several in ((1, nodes), (-1, taken_nodes)):
        for each in several:
            opened = node.open_columns(each, cells) if isinstance(each, bytes) else each
            if not room or opened.low.dtype.itemsize > 1:
                wide.append((sign, opened))
                continue
            room -= 1
            high.append((sign, opened))
            if low is None:
                low = np.zeros(cells, np.int16)
            if opened.cell is not None:
                (np.add if sign > 0 else np.subtract).at(low, opened.cell, opened.low.astype(np.int16))
            elif sign > 0:
                low += opened.low
            else:
                low -= opened.low
    total = np.zeros(cells, np.int64) if low is None else low.astype(np.int64)
    for sign, opened in high:
        total[opened.exception if opened.cell is None else opened.cell[opened.exception]] += sign * opened.high
    for sign, opened in wide:
        opened.add_into(total, sign)
    hits = np.zeros(classes, np.int64)
    for first, data in leaves:
        leaf.add(hits, total, _open(data), start - first, stop - first)
    for first, data in taken_leaves:
        kept = _open(data)
        leaf.add(hits, total, kept, 0, start - first, -1)
        leaf.add(hits, total, kept, stop - first, leaf.STEPS, -1)
    total[:: classes + 1] += hits
    return total.reshape(classes, classes)


def _open(data: bytes | Leaf) -> Leaf:
    return leaf.open_leaf(data) if isinstance(data, bytes) else data


def sparse(
    nodes: Iterable[Columns], leaves: Iterable[tuple[int, bytes]], start: int, stop: int,
    taken_nodes: Iterable[Columns] = (), taken_leaves: Iterable[tuple[int, bytes]] = (),
) -> Counts:  # fmt: skip
    """As ``dense``, for more classes than a matrix has room for; cell = true * classes + predicted."""
    added = summed([*(each.counts() for each in nodes), *(leaf.totals(data, at, start, stop) for at, data in leaves)])
    outside = [leaf.totals(data, at, *ends) for at, data in taken_leaves for ends in ((at, start), (stop, at + 64))]
    taken = summed([*(each.counts() for each in taken_nodes), *outside])
    if not len(taken.cell):
        return added
    left = added.count.copy()
    left[np.searchsorted(added.cell, taken.cell)] -= taken.count  # what is taken away was added before
    there = left > 0
    return Counts(added.cell[there], left[there])
