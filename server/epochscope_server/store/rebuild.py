"""What follows from what is kept: nodes and marginals from leaves, rollups from points. Pure; `doctor.py` compares.

Each is made of the rows right below it, so a check needs few of them at a time. None stands for a row that is not there
because no count or bucket would be in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from epochscope_server.store import pyramid, sealing_series
from epochscope_server.store.formats import FormatError, leaf, marginals, node, points, rollup
from epochscope_server.store.formats.counts import summed
from epochscope_server.store.formats.rollup import Rollup

Range = tuple[int, int, int]  # (level, lo, hi): idx lo to hi - 1


def node_of(below: Mapping[int, bytes], level: int, classes: int) -> bytes | None:
    """A node from those of its eight children that are there, by idx."""
    if not below:
        return None
    if level > 1:
        return node.encode(summed(node.decode(data) for _, data in sorted(below.items())), classes)
    return node.encode(leaf.total((_kept(data, classes) for _, data in sorted(below.items())), classes), classes)


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
    tally = marginals.Tally(idx * pyramid.row_width(level), pyramid.bucket_width(level), classes)
    for child, data in sorted(below.items()):
        if under == 0:
            tally.add_leaf(_kept(data, classes), child * pyramid.LEAF)
        else:
            tally.add_node(node.decode(data), child * pyramid.width(under))
    return marginals.encode(tally.counts(), classes)


def _kept(data: bytes, classes: int) -> leaf.Kept:
    opened = leaf.open_leaf(data)
    if opened.classes != classes:
        raise FormatError(f"leaf is of {opened.classes:,} classes, not of {classes:,}")
    return leaf.Kept(opened.hits.counts(), opened.misses.counts())


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
