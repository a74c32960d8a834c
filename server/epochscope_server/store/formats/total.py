"""The counts of a window from the blobs that cover it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from epochscope_server.analysis.rates import Whole
from epochscope_server.store.formats import leaf, node
from epochscope_server.store.formats.counts import Counts, of, summed


def dense(classes: int, nodes: Iterable[bytes], leaves: Iterable[tuple[int, bytes]], start: int, stop: int) -> Whole:
    """The matrix of ``[start, stop)``, int64 [classes, classes]: all of ``nodes`` and, of each leaf (its first step
    and its blob), the steps inside the window.

    Raises:
        FormatError: a blob is damaged, or of another number of classes.
    """
    total = np.zeros(classes * classes, np.int64)
    for data in nodes:
        node.add_into(total, data)
    for first, data in leaves:
        leaf.add_into(total, data, first, start, stop)
    return total.reshape(classes, classes)


def sparse(classes: int, nodes: Iterable[bytes], leaves: Iterable[tuple[int, bytes]], start: int, stop: int) -> Counts:
    """As ``dense``, for more classes than a matrix has room for; cell = true * ``classes`` + predicted."""
    parts = [node.decode(data) for data in nodes]
    for first, data in leaves:
        cells = leaf.decode(data, first)
        inside = slice(*np.searchsorted(cells.step, (start, stop)))
        parts.append(of(cells.true[inside] * classes + cells.predicted[inside], cells.count[inside]))
    return summed(parts)
