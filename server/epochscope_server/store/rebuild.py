"""What follows from what is kept: nodes and marginals from leaves, rollups from points. Pure; `doctor.py` compares.

Each is made of the rows right below it, so a check needs few of them at a time. None stands for a row that is not there
because no count or bucket would be in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from epochscope_server.analysis.confusion import Cells
from epochscope_server.store import pyramid, sealing_series
from epochscope_server.store.formats import leaf, marginals, node, points, rollup
from epochscope_server.store.formats.counts import Counts, summed
from epochscope_server.store.formats.rollup import Rollup
from epochscope_server.store.sealing_counts import joined

Range = tuple[int, int, int]  # (level, lo, hi): idx lo to hi - 1


def node_of(below: Mapping[int, bytes], level: int, classes: int) -> bytes | None:
    """A node from those of its eight children that are there, by idx."""
    parts = [
        node.decode(data) if level > 1 else node.of_cells(leaf.decode(data, idx * pyramid.LEAF), classes)
        for idx, data in sorted(below.items())
    ]
    return node.encode(summed(parts), classes) if parts else None


def row_pieces(level: int, idx: int, classes: int) -> tuple[bool, Range]:
    """What a row of marginals is made of: whether of leaves or nodes (else of rows of marginals), and which."""
    finest = pyramid.finest_level(classes)
    if level > finest:
        return False, pyramid.children(level, idx)
    under = max(finest - 1, 0)
    pieces = pyramid.row_width(finest) // pyramid.width(under)
    return True, (under, idx * pieces, (idx + 1) * pieces)


def row_of(below: Mapping[int, bytes], level: int, idx: int, classes: int) -> bytes | None:
    """A row of marginals from those of its pieces that are there, by idx."""
    if not below:
        return None
    of_nodes, (under, lo, _) = row_pieces(level, idx, classes)
    if not of_nodes:
        rows = ((child - lo, marginals.read(data, classes)) for child, data in sorted(below.items()))
        return marginals.encode(marginals.coarser(rows), classes)
    cells = joined([_cells(data, under, child, classes) for child, data in sorted(below.items())])
    first, width = idx * pyramid.row_width(level), pyramid.bucket_width(level)
    return marginals.encode(marginals.counts_of_cells(cells, first, width, classes), classes)


def _cells(data: bytes, level: int, idx: int, classes: int) -> Cells:
    """The counts of a leaf, or those of a node as if they were of its first step: it is no wider than a bucket."""
    if level == 0:
        return leaf.decode(data, idx * pyramid.LEAF)
    counts: Counts = node.decode(data)
    first = np.full(len(counts.cell), idx * pyramid.width(level))
    return Cells(first, *np.divmod(counts.cell, classes), counts.count)


def rollup_of(below: Iterable[tuple[int, bytes]], level: int) -> Rollup | None:
    """A row of rollups from the rows below it, (how much each holds, its bytes), in order; only full ones count."""
    parts = list(_rolled(below, level))
    return rollup.joined(parts) if parts else None


def _rolled(below: Iterable[tuple[int, bytes]], level: int) -> Iterator[Rollup]:
    for n, data in below:
        if level == 1 and n >= sealing_series.FULL:
            yield rollup.of_points(*points.decode(data))
        elif level > 1 and n >= sealing_series.ROLLED:
            yield rollup.merged(rollup.decode(data))
