"""A leaf: the confusion counts of 64 steps, each step apart.

Hits and misses are kept apart, because they look different: hits by class x step, misses by (true, predicted) x step,
step by step within a cell. So what happens again and again to one class lies together, which is what makes it small.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
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


class Kept(NamedTuple):
    """The counts of a leaf in the order in which it keeps them, numbered as those of ``Leaf``."""

    hits: Counts
    misses: Counts


def encode(cells: Cells, first: int, classes: int) -> bytes:
    """The leaf of steps ``[first, first + 64)``; cells in any order, equal ones add up. Canonical.

    Raises:
        ValueError: a cell lies outside the leaf or the classes, or counts nothing.
    """
    for column, start, stop in (
        (cells.step, first, first + STEPS),
        (cells.true, 0, classes),
        (cells.predicted, 0, classes),
    ):
        if len(column) and (int(column.min()) < start or int(column.max()) >= stop):
            raise ValueError(f"a leaf of {classes} classes from step {first} can't hold these cells")
    if len(cells.count) and int(cells.count.min()) < 1:
        raise ValueError("what a leaf counts occurred at least once")
    return packed(kept_of(cells, first, classes), classes)


def kept_of(cells: Cells, first: int, classes: int) -> Kept:
    """The counts of ``cells``, which lie in the leaf, in its order; equal ones add up."""
    # Hits are numbered first, misses after them: one sort puts both in order.
    cell = cells.true * classes
    cell += cells.predicted
    cell += classes
    np.copyto(cell, cells.true, where=cells.true == cells.predicted)
    cell *= STEPS
    cell += cells.step
    cell -= first
    kept = sparse.of(cell, cells.count, (classes + 1) * classes * STEPS)
    border = int(np.searchsorted(kept.cell, classes * STEPS))
    return Kept(
        Counts(kept.cell[:border], kept.count[:border]),
        Counts(kept.cell[border:] - classes * STEPS, kept.count[border:]),
    )


def merged(one: Kept, other: Kept) -> Kept:
    """The counts of two parts of one leaf."""
    return Kept(sparse.summed((one.hits, other.hits)), sparse.summed((one.misses, other.misses)))


def packed(kept: Kept, classes: int) -> bytes:
    """The blob of a leaf.

    Raises:
        ValueError: a cell lies outside the leaf or the classes, or counts nothing.
    """
    hits_header, hits_columns, _ = sparse.encode(kept.hits, classes * STEPS)
    misses_header, misses_columns, _ = sparse.encode(kept.misses, classes * classes * STEPS)
    return pack(MAGIC, _CLASSES.pack(classes) + hits_header + misses_header, hits_columns + misses_columns)


def decode(data: bytes, first: int) -> Cells:
    """The cells of a leaf whose first step is ``first``: each (step, true, predicted) once, in no promised order.

    Raises:
        FormatError: it is damaged, or no leaf.
    """
    (cells,) = decode_some([(data, first)])
    return cells


def decode_some(leaves: Iterable[tuple[bytes, int]]) -> Iterator[Cells]:
    """The cells of leaves of equally many classes, (blob, first step) each, several leaves at a time if they are small.

    Raises:
        FormatError: one is damaged, or no leaf.
    """
    held: list[tuple[int, Counts, Counts]] = []
    classes, entries = 0, 0
    for data, first in leaves:
        leaf = open_leaf(data)
        classes, hits, misses = leaf.classes, leaf.hits.counts(), leaf.misses.counts()
        held.append((first, hits, misses))
        entries += len(hits.cell) + len(misses.cell)
        if entries >= _TOGETHER:
            yield _cells(held, classes)
            held, entries = [], 0
    if held:
        yield _cells(held, classes)


_TOGETHER = 8192  # entries: more do not fit the cache


def _cells(held: list[tuple[int, Counts, Counts]], classes: int) -> Cells:
    hit, missed = [hits.cell for _, hits, _ in held], [misses.cell for _, _, misses in held]
    first = np.array([step for step, *_ in held])
    cell = np.concatenate((*hit, *missed))
    step = np.repeat(np.concatenate((first, first)), [len(part) for part in (*hit, *missed)])
    step += cell & (STEPS - 1)
    cell >>= 6
    hits = sum(map(len, hit))
    pair = cell[hits:]
    true = pair // classes
    predicted = pair - true * classes  # several times faster than numpy's divmod
    return Cells(
        step,
        np.concatenate((cell[:hits], true)),
        np.concatenate((cell[:hits], predicted)),
        np.concatenate([*(hits.count for _, hits, _ in held), *(misses.count for _, _, misses in held)]),
    )


def total(leaves: Iterable[Kept], classes: int) -> Counts:
    """All steps of some leaves added up, sparse; cell = true * ``classes`` + predicted."""
    cells, counts = [], []
    for kept in leaves:
        cells += [(kept.hits.cell >> 6) * (classes + 1), kept.misses.cell >> 6]
        counts += [kept.hits.count, kept.misses.count]
    if not cells:
        return sparse.none()
    return sparse.of(np.concatenate(cells), np.concatenate(counts), classes * classes)


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


def add(hits: Whole, misses: Whole, leaf: Leaf, start: int, stop: int, sign: int = 1) -> None:
    """Add the steps of ``[start, stop)``, counted from the leaf's first, to ``hits`` int64 [N] and ``misses`` int64
    [N * N]; or take them away, where ``sign`` is -1.

    Raises:
        FormatError: it is of another number of classes.
    """
    if leaf.classes != len(hits):
        raise FormatError(f"leaf counts {leaf.classes:,} classes, not {len(hits):,}")
    start, stop = max(start, 0), min(stop, STEPS)
    if start < stop:
        _add(hits, leaf.hits, start, stop, sign)
        _add(misses, leaf.misses, start, stop, sign)


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
    classes, hits, misses, held = _opened(data)
    return Leaf(classes, sparse.decode(hits, held, 0, "leaf"), sparse.decode(misses, held, hits.length, "leaf"))


def open_part(data: bytes, hits: bool) -> Columns:
    """The hits or the misses of a leaf alone.

    Raises:
        FormatError: it is damaged, or no leaf.
    """
    _, of_hits, of_misses, held = _opened(data)
    return sparse.decode(of_hits, held, 0, "leaf") if hits else sparse.decode(of_misses, held, of_hits.length, "leaf")


def _opened(data: bytes) -> tuple[int, sparse.Shape, sparse.Shape, memoryview]:
    """How many classes, the shapes of hits and misses, and the columns of both."""
    opened = unpack(data, MAGIC, _HEADER, "leaf")
    classes = classes_of(opened.header)
    hits = sparse.shape(opened.header, _CLASSES.size, classes * STEPS, "leaf")
    misses = sparse.shape(opened.header, _CLASSES.size + sparse.HEADER.size, classes * classes * STEPS, "leaf")
    return classes, hits, misses, opened.columns(hits.length + misses.length)


def _add(total: Whole, kept: Columns, start: int, stop: int, sign: int) -> None:
    """Add steps ``[start, stop)`` of a leaf, counted from its first, to ``total``, one number a cell."""
    if kept.cell is None:
        inside = kept.low.reshape(-1, STEPS)[:, start:stop]
        if kept.low.dtype.itemsize < 8:  # float64 counts to 2^53, and 64 numbers of 32 bits are at most 2^38
            total += (inside @ _SIGNS[sign][: stop - start]).astype(np.int64)
        else:
            total += sign * inside.sum(axis=1)
        exception = kept.exception
    else:
        cell, low, exception = kept.cell, kept.low, kept.cell[kept.exception]
        if start > 0 or stop < STEPS:
            step = cell & 63
            chosen = (step >= start) & (step < stop)
            cell, low = cell[chosen], low[chosen]
        np.add.at(total, cell >> 6, sign * low.astype(np.int64))
    if len(exception):
        chosen = (exception & 63 >= start) & (exception & 63 < stop)
        np.add.at(total, exception[chosen] >> 6, sign * kept.high[chosen])


_SIGNS = {1: np.ones(STEPS), -1: -np.ones(STEPS)}
