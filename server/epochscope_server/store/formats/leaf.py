"""A leaf: the confusion counts of 64 steps, each step apart."""

from __future__ import annotations

import struct

import numpy as np

from epochscope_server.analysis.confusion import Cells
from epochscope_server.analysis.rates import Whole
from epochscope_server.store.formats import columns
from epochscope_server.store.formats.counts import of
from epochscope_server.store.formats.frame import FormatError, pack, unpack
from epochscope_server.store.formats.node import classes_of

STEPS = 64
MAGIC = b"ESL1"
_HEADER = struct.Struct("<IIBBB")  # classes, entries, bytes of an entries' number, of a class, of a count


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
        raise ValueError("counts in a leaf are above 0")
    kept = of((step * classes + cells.true) * classes + cells.predicted, cells.count)
    row, predicted = np.divmod(kept.cell, classes)
    step, true = np.divmod(row, classes)
    entries = np.bincount(step, minlength=STEPS)
    turn = np.diff(true, prepend=0) % classes
    away = (predicted - true) % classes
    widths = (
        columns.width(int(entries.max())),
        columns.width(classes - 1),
        columns.width(int(kept.count.max()) if len(step) else 0),
    )
    parts = (
        columns.write(entries, widths[0]),
        columns.write(turn, widths[1]),
        columns.write(away, widths[1]),
        columns.write(kept.count, widths[2]),
    )
    return pack(MAGIC, _HEADER.pack(classes, len(step), *widths), b"".join(parts))


def decode(data: bytes, first: int) -> Cells:
    """The cells of a leaf whose first step is ``first``, by step, true, predicted.

    Raises:
        FormatError: it is damaged, or no leaf.
    """
    opened = unpack(data, MAGIC, _HEADER.size, "leaf")
    classes = classes_of(opened.header)
    _, entries, *widths = _HEADER.unpack(opened.header)
    columns.check_widths(widths, "leaf")
    sizes = [(STEPS, widths[0]), (entries, widths[1]), (entries, widths[1]), (entries, widths[2])]
    of_step, turn, away, count = columns.cut(opened.columns(sum(n * each for n, each in sizes)), sizes)
    if int(of_step.sum(dtype=np.uint64)) != entries:
        raise FormatError("leaf has another number of entries than its steps have together")
    if entries and max(int(turn.max()), int(away.max())) >= classes:
        raise FormatError("leaf names a class that can't be")
    true = np.cumsum(turn, dtype=np.int64) % classes
    predicted = true + away
    predicted -= np.where(predicted >= classes, classes, 0)
    step = np.repeat(np.arange(first, first + STEPS), of_step.astype(np.int64))
    return Cells(step, true, predicted, columns.whole(count, "leaf"))


def add_into(matrix: Whole, data: bytes, first: int, start: int, stop: int) -> None:
    """Add the steps of ``[start, stop)`` to ``matrix``, int64 [N * N] or [N, N], contiguous.

    Raises:
        FormatError: it is damaged, or of another number of classes.
    """
    total = matrix.reshape(-1)
    classes = classes_of(unpack(data, MAGIC, _HEADER.size, "leaf").header)
    if classes * classes != len(total):
        raise FormatError(f"leaf counts {classes:,} classes; the matrix has {len(total):,} cells")
    cells = decode(data, first)
    inside = slice(*np.searchsorted(cells.step, (start, stop)))
    flat = of(cells.true[inside] * classes + cells.predicted[inside], cells.count[inside])
    total[flat.cell] += flat.count
