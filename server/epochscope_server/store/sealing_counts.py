"""How a pyramid of counts grows: from the counts of some flushes and the rows they touch to the rows to be written.

Pure: it says which rows it needs (``Growth.needs``), is given their bytes, and gives bytes back. What a row holds
follows from the counts of its steps alone, so that the same counts end as the same rows in whatever order and portions
they came.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from epochscope_server.analysis.confusion import Cells
from epochscope_server.store import pyramid
from epochscope_server.store.formats import leaf, marginals, node
from epochscope_server.store.formats.counts import Counts
from epochscope_server.store.formats.leaf import Kept

Place = tuple[int, int]  # (level, idx)
Range = tuple[int, int, int]  # (level, lo, hi): idx lo to hi - 1


@dataclass
class Rows:
    """Blobs by their place: leaves (level 0) and nodes, and rows of marginals."""

    nodes: dict[Place, bytes] = field(default_factory=dict)
    marginals: dict[Place, bytes] = field(default_factory=dict)


class Growth:
    """A pyramid of ``classes`` classes, whose steps below ``before`` are sealed, and the counts that come to it."""

    def __init__(self, classes: int, before: int, told: Iterable[Cells]) -> None:
        self._classes = classes
        self._before = before
        self._finest = pyramid.finest_level(classes)
        self._told: dict[int, list[Cells]] = {}  # by leaf
        self.sealed_to = before
        for cells in told:
            self._take(by_step(cells))
        self._leaves = sorted(self._told)  # those with new counts

    def _take(self, cells: Cells) -> None:
        if not len(cells.step):
            return
        self.sealed_to = max(self.sealed_to, int(cells.step[-1]) + 1)
        at = cells.step // pyramid.LEAF
        edges = [0, *(np.flatnonzero(at[1:] != at[:-1]) + 1).tolist(), len(at)]
        for lo, hi in pairwise(edges):
            self._told.setdefault(int(at[lo]), []).append(_chosen(cells, slice(lo, hi)))

    def needs(self) -> tuple[list[Range], list[Range]]:
        """What must be known, as far as it is there: leaves and nodes, and rows of marginals."""
        nodes = {(0, idx, idx + 1) for idx in self._leaves if idx * pyramid.LEAF < self._before}
        nodes |= {(level, idx, idx + 1) for level, idx in self._amended(pyramid.width, 1)}
        rows = {(level, idx, idx + 1) for level, idx in self._amended(pyramid.row_width, self._finest)}
        for level in range(1, pyramid.TOP + 1):
            idx = self._before // pyramid.width(level)
            if self._completes(pyramid.width(level), idx):
                nodes.add(self._known(pyramid.children(level, idx)))
        for level in range(self._finest, pyramid.TOP + 1):
            idx = self._before // pyramid.row_width(level)
            if not self._completes(pyramid.row_width(level), idx):
                continue
            if level == self._finest:
                nodes.add(self._known(self._under(idx)))
            else:
                rows.add(pyramid.children(level, idx))
        return _merged(nodes), _merged(rows)

    def grown(self, there: Rows) -> Rows:
        """The rows to be written, given those of ``needs()`` that are there."""
        known, written = _Known(self._classes, there), Rows()
        for idx in self._leaves:
            new = leaf.kept_of(joined(self._told[idx]), idx * pyramid.LEAF, self._classes)
            old = known.at(idx)
            known.leaves[idx] = new if old is None else leaf.merged(old, new)
            written.nodes[0, idx] = leaf.packed(known.leaves[idx], self._classes)
        for level, idx in self._amended(pyramid.width, 1):
            width = pyramid.width(level)
            added = node.of_cells(self._between(idx * width, width), self._classes)
            old_counts = known.counts((level, idx))
            self._write_node(known, written, (level, idx), [added] if old_counts is None else [old_counts, added])
        for level in range(1, pyramid.TOP + 1):
            for idx in self._completed(pyramid.width(level)):
                below = pyramid.children(level, idx)
                parts = [leaf.total(known.leaves_of(below), self._classes)] if level == 1 else known.some(below)
                self._write_node(known, written, (level, idx), [part for part in parts if len(part.cell)])
        self._grow_marginals(known, there, written)
        return written

    def _write_node(self, known: _Known, written: Rows, place: Place, parts: list[Counts]) -> None:
        if parts:
            known.counts_at[place] = node.summed(parts)
            written.nodes[place] = node.encode(known.counts_at[place], self._classes)

    def _grow_marginals(self, known: _Known, there: Rows, written: Rows) -> None:
        rows: dict[Place, Counts] = {}

        def row(place: Place) -> Counts | None:
            if place not in rows and place in there.marginals:
                rows[place] = marginals.read(there.marginals[place], self._classes)
            return rows.get(place)

        def write(place: Place, parts: list[Counts]) -> None:
            if parts:
                rows[place] = node.summed(parts)
                written.marginals[place] = marginals.encode(rows[place], self._classes)

        for level, idx in self._amended(pyramid.row_width, self._finest):
            width = pyramid.row_width(level)
            added = self._marginals(self._between(idx * width, width), level, idx)
            old = row((level, idx))
            write((level, idx), [added] if old is None else [old, added])
        for idx in self._completed(pyramid.row_width(self._finest)):
            tallied = self._tallied(known, idx)
            write((self._finest, idx), [tallied] if len(tallied.cell) else [])
        for level in range(self._finest + 1, pyramid.TOP + 1):
            for idx in self._completed(pyramid.row_width(level)):
                below, lo, hi = pyramid.children(level, idx)
                parts = [(child - lo, part) for child in range(lo, hi) if (part := row((below, child))) is not None]
                write((level, idx), [marginals.coarser(parts)] if parts else [])

    def _marginals(self, cells: Cells, level: int, idx: int) -> Counts:
        first = idx * pyramid.row_width(level)
        return marginals.counts_of_cells(cells, first, pyramid.bucket_width(level), self._classes)

    def _tallied(self, known: _Known, idx: int) -> Counts:
        """Row ``idx`` of the finest marginals."""
        first = idx * pyramid.row_width(self._finest)
        tally = marginals.Tally(first, pyramid.bucket_width(self._finest), self._classes)
        level, lo, hi = self._under(idx)
        for child in range(lo, hi):
            start = child * pyramid.width(level)
            if level == 0:
                if (kept := known.at(child)) is not None:
                    tally.add_leaf(kept, start)
            elif (counts := known.counts((level, child))) is not None:
                tally.add_node(counts, start)
        return tally.counts()

    def _under(self, idx: int) -> Range:
        """What row ``idx`` of the finest marginals is made of: leaves, or nodes that are narrower than its buckets."""
        level = max(self._finest - 1, 0)
        pieces = pyramid.row_width(self._finest) // pyramid.width(level)
        return level, idx * pieces, (idx + 1) * pieces

    def _amended(self, width: Callable[[int], int], lowest: int) -> Iterator[Place]:
        """Nodes (or rows) that were complete before and get more counts."""
        for level in range(lowest, pyramid.TOP + 1):
            each = width(level)
            for idx in sorted({at * pyramid.LEAF // each for at in self._leaves}):
                if (idx + 1) * each <= self._before:
                    yield level, idx

    def _completed(self, width: int) -> list[int]:
        """Nodes (or rows) of ``width`` steps that become complete and may hold counts."""
        begun = {at * pyramid.LEAF // width for at in self._leaves} | {self._before // width}
        return sorted(idx for idx in begun if self._completes(width, idx))

    def _completes(self, width: int, idx: int) -> bool:
        return self._before < (idx + 1) * width <= self.sealed_to

    def _known(self, pieces: Range) -> Range:
        """Those of the pieces that can hold counts already."""
        level, lo, hi = pieces
        return level, lo, min(hi, -(-self._before // pyramid.width(level)))

    def _between(self, start: int, width: int) -> Cells:
        """What is told of steps ``[start, start + width)``, which are whole leaves."""
        lo = bisect_left(self._leaves, start // pyramid.LEAF)
        hi = bisect_left(self._leaves, (start + width) // pyramid.LEAF)
        return joined([cells for idx in self._leaves[lo:hi] for cells in self._told[idx]])


class _Known:
    """What is known of a pyramid while it grows: as stored, unless it has grown already."""

    def __init__(self, classes: int, there: Rows) -> None:
        self._classes = classes
        self._there = there
        self.leaves: dict[int, Kept] = {}
        self.counts_at: dict[Place, Counts] = {}

    def at(self, idx: int) -> Kept | None:
        """A leaf, step by step."""
        if idx not in self.leaves and (0, idx) in self._there.nodes:
            opened = leaf.open_leaf(self._there.nodes[0, idx])
            self.leaves[idx] = Kept(opened.hits.counts(), opened.misses.counts())
        return self.leaves.get(idx)

    def leaves_of(self, places: Range) -> list[Kept]:
        return [kept for idx in range(*places[1:]) if (kept := self.at(idx)) is not None]

    def counts(self, place: Place) -> Counts | None:
        """The counts of a node above the leaves."""
        if place not in self.counts_at and place in self._there.nodes:
            self.counts_at[place] = node.decode(self._there.nodes[place])
        return self.counts_at.get(place)

    def some(self, places: Range) -> list[Counts]:
        level, lo, hi = places
        return [found for idx in range(lo, hi) if (found := self.counts((level, idx))) is not None]


def _merged(ranges: Iterable[Range]) -> list[Range]:
    """The same places, each once, in as few ranges as can be."""
    found: list[Range] = []
    for level, lo, hi in sorted(ranges):
        if found and found[-1][0] == level and lo <= found[-1][2]:
            found[-1] = level, found[-1][1], max(hi, found[-1][2])
        elif lo < hi:
            found.append((level, lo, hi))
    return found


def by_step(cells: Cells) -> Cells:
    """The counts above 0, in order of steps; as they came, which is mostly so already, where they can stay."""
    if not cells.count.all():
        cells = _chosen(cells, np.flatnonzero(cells.count))
    if (cells.step[1:] >= cells.step[:-1]).all():
        return cells
    return _chosen(cells, np.argsort(cells.step, kind="stable"))


def joined(parts: list[Cells]) -> Cells:
    if len(parts) == 1:
        return parts[0]
    empty = [np.zeros(0, np.int64)]
    return Cells(*(np.concatenate([getattr(part, name) for part in parts] or empty) for name in _COLUMNS))


_COLUMNS = ("step", "true", "predicted", "count")


def _chosen(cells: Cells, chosen: np.ndarray | slice) -> Cells:
    return Cells(*(getattr(cells, name)[chosen] for name in _COLUMNS))
