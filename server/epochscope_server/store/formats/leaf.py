"""A leaf: the confusion counts of 64 steps, each step apart.

Hits and misses are kept apart, because they look different: hits by class x step, misses by (true, predicted) x step,
step by step within a cell. So what happens again and again to one class lies together, which is what makes it small.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from epochscope_server.analysis.confusion import Cells
from epochscope_server.analysis.rates import Whole
from epochscope_server.store.formats import counts as sparse
from epochscope_server.store.formats.counts import Columns, Counts
from epochscope_server.store.formats.frame import FormatError, pack, unpack
from epochscope_server.store.formats.node import classes_of

STEPS = 64
MAGIC = b"ESL1"
_CLASSES = struct.Struct("<I")
_HEADER = _CLASSES.size + 2 * sparse.HEADER.size


class Leaf(NamedTuple):
    """An unpacked leaf: ``hits`` over class * 64 + step, ``misses`` over (true * classes + predicted) * 64 + step."""

    classes: int
    hits: Columns
    misses: Columns


def encode(cells: Cells, first: int, classes: int) -> bytes:
    """The leaf of steps ``[first, first + 64)``; cells in any order, equal ones add up. Canonical.

    Raises:
        ValueError: a cell lies outside the leaf or the classes, or counts nothing.
    """
    step = cells.step - first
    for column, stop in ((step, STEPS), (cells.true, classes), (cells.predicted, classes)):
        if len(column) and (int(column.min()) < 0 or int(column.max()) >= stop):
            raise ValueError(f"a leaf of {classes} classes from step {first} can't hold these cells")
    if len(step) and int(cells.count.min()) < 1:
        raise ValueError("what a leaf counts occurred at least once")
    # Hits are numbered first, misses after them: one sort puts both in order.
    cell = cells.true * classes
    cell += cells.predicted
    cell += classes
    cell = np.where(cells.true == cells.predicted, cells.true, cell)
    cell *= STEPS
    cell += step
    kept = sparse.of(cell, cells.count, (classes + 1) * classes * STEPS)
    border = int(np.searchsorted(kept.cell, classes * STEPS))
    hits = Counts(kept.cell[:border], kept.count[:border])
    misses = Counts(kept.cell[border:] - classes * STEPS, kept.count[border:])
    hits_header, hits_columns, _ = sparse.encode(hits, classes * STEPS)
    misses_header, misses_columns, _ = sparse.encode(misses, classes * classes * STEPS)
    return pack(MAGIC, _CLASSES.pack(classes) + hits_header + misses_header, hits_columns + misses_columns)


def decode(data: bytes, first: int) -> Cells:
    """The cells of a leaf whose first step is ``first``: each (step, true, predicted) once, in no promised order.

    Raises:
        FormatError: it is damaged, or no leaf.
    """
    leaf = open_leaf(data)
    hits, misses = leaf.hits.counts(), leaf.misses.counts()
    true, predicted = np.divmod(misses.cell >> 6, leaf.classes)
    hit = hits.cell >> 6
    return Cells(
        first + (np.concatenate((hits.cell, misses.cell)) & 63),
        np.concatenate((hit, true)),
        np.concatenate((hit, predicted)),
        np.concatenate((hits.count, misses.count)),
    )


def add_into(matrix: Whole, data: bytes, first: int, start: int, stop: int) -> None:
    """Add the steps of ``[start, stop)`` to ``matrix``, int64 [N * N] or [N, N], contiguous.

    Raises:
        FormatError: it is damaged, or of another number of classes.
    """
    total = matrix.reshape(-1)
    leaf = open_leaf(data)
    if leaf.classes * leaf.classes != len(total):
        raise FormatError(f"leaf counts {leaf.classes:,} classes; the matrix has {len(total):,} cells")
    add(total[:: leaf.classes + 1], total, leaf, start - first, stop - first)


def add(hits: Whole, misses: Whole, leaf: Leaf, start: int, stop: int) -> None:
    """Add the steps of ``[start, stop)``, counted from the leaf's first, to ``hits`` int64 [N] and ``misses`` int64
    [N * N].

    Raises:
        FormatError: it is of another number of classes.
    """
    if leaf.classes != len(hits):
        raise FormatError(f"leaf counts {leaf.classes:,} classes, not {len(hits):,}")
    inside = (max(start, 0), min(stop, STEPS))
    _add(hits, leaf.hits, *inside)
    _add(misses, leaf.misses, *inside)


def totals(data: bytes, first: int, start: int, stop: int) -> Counts:
    """The steps of ``[start, stop)`` added up, sparse; cell = true * classes + predicted."""
    leaf = open_leaf(data)
    parts = []
    for kept, apart in ((leaf.hits, leaf.classes + 1), (leaf.misses, 1)):
        counts = kept.counts()
        step = counts.cell & 63
        inside = (step >= start - first) & (step < stop - first)
        cell = (counts.cell[inside] >> 6) * apart
        parts.append(sparse.of(cell, counts.count[inside], leaf.classes * leaf.classes))
    return sparse.summed(parts)


def open_leaf(data: bytes) -> Leaf:
    """A leaf's columns as they are kept.

    Raises:
        FormatError: it is damaged, or no leaf.
    """
    opened = unpack(data, MAGIC, _HEADER, "leaf")
    classes = classes_of(opened.header)
    hits = sparse.shape(opened.header, _CLASSES.size, classes * STEPS, "leaf")
    misses = sparse.shape(opened.header, _CLASSES.size + sparse.HEADER.size, classes * classes * STEPS, "leaf")
    held = opened.columns(hits.length + misses.length)
    return Leaf(classes, sparse.decode(hits, held, 0, "leaf"), sparse.decode(misses, held, hits.length, "leaf"))


def _add(total: Whole, kept: Columns, start: int, stop: int) -> None:
    """Add steps ``[start, stop)`` of a leaf, counted from its first, to ``total``, one number a cell."""
    if kept.cell is None:
        inside = kept.low.reshape(-1, STEPS)[:, start:stop]
        if kept.low.dtype.itemsize < 8:  # float64 counts to 2^53, and 64 numbers of 32 bits are at most 2^38
            total += (inside @ np.ones(max(stop - start, 0))).astype(np.int64)
        else:
            total += inside.sum(axis=1)
        exception = kept.exception
    else:
        cell, low, exception = kept.cell, kept.low, kept.cell[kept.exception]
        if start > 0 or stop < STEPS:
            step = cell & 63
            chosen = (step >= start) & (step < stop)
            cell, low = cell[chosen], low[chosen]
        np.add.at(total, cell >> 6, low.astype(np.int64))
    if len(exception):
        chosen = (exception & 63 >= start) & (exception & 63 < stop)
        np.add.at(total, exception[chosen] >> 6, kept.high[chosen])
