"""Marginals: each class's support, false negatives and false positives in 64 consecutive buckets of steps.

With them the curves of all classes need no matrix: TP = support - FN. ``sums[kind, bucket, class]`` is how all of this
module means them; a blob keeps kind x class x bucket, so that the course of one class lies together.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np

from epochscope_server.analysis.confusion import Cells
from epochscope_server.analysis.rates import Whole
from epochscope_server.store.formats import counts as sparse
from epochscope_server.store.formats.counts import Columns, Counts
from epochscope_server.store.formats.frame import FormatError, pack, unpack
from epochscope_server.store.formats.leaf import Kept
from epochscope_server.store.formats.node import classes_of

BUCKETS = 64  # in one blob
SUPPORT, FALSE_NEGATIVES, FALSE_POSITIVES = KINDS = range(3)
MAGIC = b"ESM1"
_CLASSES = struct.Struct("<I")
_HEADER = _CLASSES.size + sparse.HEADER.size
_TALLIED = 4_194_304  # cells of a row that are added up in an array of all of them; of more classes by sorting


def counts_of_cells(cells: Cells, first: int, width: int, classes: int) -> Counts:
    """The marginals of ``cells`` in 64 buckets of ``width`` steps (a power of two) from step ``first``, sparse: for any
    number of classes. Cell = (kind * classes + class) * 64 + bucket. Cells outside the buckets are left out.
    """
    bucket = cells.step - first
    bucket >>= width.bit_length() - 1
    true, predicted, count = cells.true, cells.predicted, cells.count
    if len(bucket) and (int(bucket.min()) < 0 or int(bucket.max()) >= BUCKETS):
        inside = np.flatnonzero((bucket >= 0) & (bucket < BUCKETS))
        bucket, true, predicted, count = bucket[inside], true[inside], predicted[inside], count[inside]
    wrong = np.flatnonzero(true != predicted)
    support = true * BUCKETS
    support += bucket
    kind = classes * BUCKETS
    cell = np.concatenate((support, support[wrong] + kind, predicted[wrong] * BUCKETS + bucket[wrong] + 2 * kind))
    return sparse.of(cell, np.concatenate((count, count[wrong], count[wrong])), len(KINDS) * kind)


def of_cells(cells: Cells, first: int, width: int, classes: int) -> Whole:
    """As ``counts_of_cells``, int64 [3, 64, classes]: 1.5 kB a class, so for some thousands of classes at most."""
    return _dense(counts_of_cells(cells, first, width, classes), classes)


class Tally:
    """A row of 64 buckets of ``width`` steps (a power of two) from step ``first`` on, added up piece by piece."""

    def __init__(self, first: int, width: int, classes: int) -> None:
        self._first, self._shift, self._classes = first, width.bit_length() - 1, classes
        self._kind = BUCKETS * classes
        space = len(KINDS) * self._kind
        self._sums = np.zeros((len(KINDS), self._kind), np.int64) if space <= _TALLIED else None
        self._parts: list[tuple[int, Whole, Whole]] = []

    def add_leaf(self, kept: Kept, first: int) -> None:
        """Add the leaf whose first step is ``first``."""
        self._add(SUPPORT, kept.hits.cell & -BUCKETS, self._bucket(kept.hits.cell, first), kept.hits.count)
        self._miss(kept.misses.cell >> 6, self._bucket(kept.misses.cell, first), kept.misses.count)

    def add_node(self, counts: Counts, first: int) -> None:
        """Add a node whose first step is ``first``, and which is no wider than a bucket."""
        true = counts.cell // self._classes
        hit = true * (self._classes + 1) == counts.cell
        bucket = (first - self._first) >> self._shift
        self._add(SUPPORT, true[hit] * BUCKETS, bucket, counts.count[hit])
        self._miss(counts.cell[~hit], bucket, counts.count[~hit])

    def counts(self) -> Counts:
        """The row; cell = (kind * classes + class) * 64 + bucket."""
        if self._sums is None:
            cell = np.concatenate([kind * self._kind + cell for kind, cell, _ in self._parts])
            count = np.concatenate([count for *_, count in self._parts])
            return sparse.of(cell, count, len(KINDS) * self._kind)
        self._sums[SUPPORT] += self._sums[FALSE_NEGATIVES]
        flat = self._sums.reshape(-1)
        there = np.flatnonzero(flat)
        found = Counts(there, flat[there])
        self._sums[SUPPORT] -= self._sums[FALSE_NEGATIVES]
        return found

    def _bucket(self, cell: Whole, first: int) -> Whole:
        """Of the low bits of cells, which say the step within a leaf."""
        bucket = cell & 63
        bucket += first - self._first
        bucket >>= self._shift
        return bucket

    def _miss(self, pair: Whole, bucket: Whole | int, count: Whole) -> None:
        true = pair // self._classes
        predicted = pair - true * self._classes
        true *= BUCKETS
        predicted *= BUCKETS
        if self._sums is None:
            self._add(SUPPORT, true.copy(), bucket, count)
        self._add(FALSE_NEGATIVES, true, bucket, count)
        self._add(FALSE_POSITIVES, predicted, bucket, count)

    def _add(self, kind: int, cell: Whole, bucket: Whole | int, count: Whole) -> None:
        cell += bucket
        if self._sums is None:
            self._parts.append((kind, cell, count))
        else:
            np.add.at(self._sums[kind], cell, count)


def coarser(parts: Iterable[tuple[int, Counts]]) -> Counts:
    """Eight rows of 64 buckets as one row of buckets eight times as wide: (which of the eight, its counts) each."""
    cells, counts = [], []
    for place, part in parts:
        if not 0 <= place < 8:
            raise ValueError(f"a row has eight parts; there is no part {place}")
        cells.append((part.cell & -BUCKETS) + (part.cell % BUCKETS >> 3) + place * 8)
        counts.append(part.count)
    space = max((int(cell.max()) + 1 for cell in cells if len(cell)), default=0)
    return sparse.of(np.concatenate(cells), np.concatenate(counts), space) if space else sparse.none()


def encode(sums: Whole | Counts, classes: int | None = None) -> bytes:
    """The blob of ``sums``, int64 [3, 64, classes], or of sparse counts (then ``classes`` must be said). Canonical."""
    if isinstance(sums, Counts):
        if classes is None:
            raise TypeError("sparse counts do not say of how many classes they are")
        counts = sums
    else:
        classes = sums.shape[2]
        flat = sums.transpose(0, 2, 1).reshape(-1)
        cell = np.flatnonzero(flat)
        counts = Counts(cell, flat[cell])
    space = len(KINDS) * BUCKETS * classes
    header, parts, _ = sparse.encode(counts, space)
    said = sparse.shape(header, 0, space, "marginals")
    # Where every cell has a number the three kinds are packed apart.
    kind = BUCKETS * classes * min(said.bits_count, 8) // 8
    apart = [part[at : at + kind] for part in parts for at in range(0, len(part), kind)]
    return pack(MAGIC, _CLASSES.pack(classes) + header, apart)


def decode(data: bytes, classes: int) -> Whole:
    """The sums of a blob, int64 [3, 64, classes]: 1.5 kB a class; ``read`` is for many classes.

    Raises:
        FormatError: it is damaged, or of another number of classes.
    """
    return _dense(read(data, classes), classes)


def read(data: bytes, classes: int) -> Counts:
    """The sums of a blob, sparse; cell = (kind * classes + class) * 64 + bucket.

    Raises:
        FormatError: it is damaged, or of another number of classes.
    """
    return open_columns(data, classes).counts()


def _dense(counts: Counts, classes: int) -> Whole:
    flat = np.zeros(len(KINDS) * classes * BUCKETS, np.int64)
    flat[counts.cell] = counts.count
    return np.ascontiguousarray(flat.reshape(len(KINDS), classes, BUCKETS).transpose(0, 2, 1))


def open_columns(data: bytes, classes: int) -> Columns:
    opened = unpack(data, MAGIC, _HEADER, "marginals")
    if classes_of(opened.header) != classes:
        raise FormatError(f"marginals are of {classes_of(opened.header):,} classes, not of {classes:,}")
    said = sparse.shape(opened.header, _CLASSES.size, len(KINDS) * BUCKETS * classes, "marginals")
    return sparse.decode(said, opened.columns(said.length), 0, "marginals")
