"""Sparse whole counts over numbered cells: summed, and as columns of gaps or of one number a cell.

Nodes (true x predicted) and marginals (kind x class x bucket) are kept this way. Either the cells that occur are
listed, each as its gap to the one before, or, where that is smaller, every cell has a number. A gap too wide for its
column is walked in full strides that count nothing; a count too wide for its column keeps its low bytes there and its
high part in a list of exceptions, so that a few great counts do not make all of them wide.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from epochscope_server.analysis.rates import Whole
from epochscope_server.store.formats import columns
from epochscope_server.store.formats.columns import WIDTHS
from epochscope_server.store.formats.frame import MAX_COLUMNS, FormatError, Opened

HEADER = struct.Struct("<BBBxII")  # form, bytes of a gap, bytes of a count, entries, exceptions
_GAPS, _DENSE = 0, 1
_EXCEPTION = 4 + 8  # bytes: which entry, what is above its low bytes
_DENSE_SUM = 4_194_304  # cells that are summed in one array rather than by sorting


@dataclass(frozen=True)
class Counts:
    """How often each cell occurred: ``cell`` int64 [n], ascending, each once; ``count`` int64 [n], all above 0."""

    cell: Whole
    count: Whole


@dataclass(frozen=True)
class Columns:
    """An unpacked blob, ready to be added up: ``low`` [n] (any unsigned type) at ``cell`` int64 [n], or at every
    cell of the space where ``cell`` is None; and ``high`` int64 [e] more at the entries ``exception`` int64 [e].
    Cells ascend, each at most once; a ``low`` may be 0.
    """

    cell: Whole | None
    low: np.ndarray
    exception: Whole
    high: Whole

    def add_into(self, total: Whole) -> None:
        """Add to ``total``, int64 [cells of the space], contiguous."""
        if self.cell is None:
            total += self.low
            total[self.exception] += self.high
        else:
            total[self.cell] += self.low.astype(np.int64)
            total[self.cell[self.exception]] += self.high

    def counts(self) -> Counts:
        count = self.low.astype(np.int64)
        count[self.exception] += self.high
        there = np.flatnonzero(count)
        return Counts(there if self.cell is None else self.cell[there], count[there])


def of(cell: Whole, count: Whole) -> Counts:
    """Counts of cells in any order, each any number of times. Sorts once."""
    if not len(cell):
        return Counts(np.zeros(0, np.int64), np.zeros(0, np.int64))
    bits = int(count.max()).bit_length()
    if int(cell.max()).bit_length() + bits <= 63:  # one sort of whole numbers, many times faster than an argsort
        both = np.sort(cell << bits | count)
        cell, count = both >> bits, both & ((1 << bits) - 1)
    else:
        order = np.argsort(cell, kind="stable")
        cell, count = cell[order], count[order]
    start = np.flatnonzero(np.append(True, cell[1:] != cell[:-1]))
    return Counts(cell[start], np.add.reduceat(count, start)) if len(start) < len(cell) else Counts(cell, count)


def summed(parts: Iterable[Counts]) -> Counts:
    """The sum of all parts, whatever their number and order."""
    every = [part for part in parts if len(part.cell)]
    if len(every) < 2:
        return every[0] if every else Counts(np.zeros(0, np.int64), np.zeros(0, np.int64))
    space = max(int(part.cell[-1]) for part in every) + 1
    if space <= min(_DENSE_SUM, 16 * sum(len(part.cell) for part in every)):
        total = np.zeros(space, np.int64)
        for part in every:
            total[part.cell] += part.count
        cell = np.flatnonzero(total)
        return Counts(cell, total[cell])
    return of(np.concatenate([part.cell for part in every]), np.concatenate([part.count for part in every]))


def encode(counts: Counts, space: int) -> tuple[bytes, bytes]:
    """Header and columns of ``counts``, whose cells are below ``space``; the form that is smallest unpacked."""
    cell, count = counts.cell, counts.count
    gap = np.diff(cell, prepend=0)
    over = {width: int(np.count_nonzero(count >> 8 * width)) if width < 8 else 0 for width in WIDTHS}
    forms = []
    for width_gap in WIDTHS:
        strides = int(np.maximum(gap - 1, 0).__floordiv__((1 << 8 * width_gap) - 1).sum()) if width_gap < 8 else 0
        for width_count in WIDTHS:
            size = (len(cell) + strides) * (width_gap + width_count) + over[width_count] * _EXCEPTION
            forms.append((size, _GAPS, width_gap, width_count))
    for width_count in WIDTHS:
        forms.append((space * width_count + over[width_count] * _EXCEPTION, _DENSE, 1, width_count))
    size, form, width_gap, width_count = min(forms)
    if size > MAX_COLUMNS:
        raise FormatError(f"counts of {len(cell):,} cells are too many for one blob")
    if form == _DENSE:
        entry, entries = cell, space
        low = np.zeros(space, np.int64)
        low[cell] = count
    else:
        stride = (1 << min(8 * width_gap, 63)) - 1
        before = np.maximum(gap - 1, 0) // stride  # full strides that go before each entry
        entry = np.arange(len(cell)) + np.cumsum(before)
        entries = len(cell) + int(before.sum())
        gaps, low = np.full(entries, stride), np.zeros(entries, np.int64)
        gaps[entry], low[entry] = gap - before * stride, count
    wide = np.flatnonzero(count >> 8 * width_count) if width_count < 8 else np.zeros(0, np.int64)
    parts = [] if form == _DENSE else [columns.write(gaps, width_gap)]
    parts.append(columns.write(low, width_count))  # the high bytes fall off
    parts.append(columns.write(entry[wide], 4))
    parts.append(columns.write(count[wide] >> min(8 * width_count, 63), 8))
    return HEADER.pack(form, width_gap, width_count, entries, len(wide)), b"".join(parts)


def decode(header: bytes, opened: Opened, space: int) -> Columns:
    """The columns that ``encode`` made of counts of cells below ``space``.

    Raises:
        FormatError: the columns contradict the header or themselves.
    """
    what = opened.what
    form, width_gap, width_count, entries, exceptions = HEADER.unpack(header)
    columns.check_widths((width_gap, width_count), what)
    if form not in (_GAPS, _DENSE) or (form == _DENSE and entries != space) or exceptions > entries:
        raise FormatError(f"{what} has a header that contradicts itself")
    sizes = [(entries, width_count), (exceptions, 4), (exceptions, 8)]
    if form == _GAPS:
        sizes.insert(0, (entries, width_gap))
    cut = list(columns.cut(opened.columns(sum(count * each for count, each in sizes)), sizes))
    low, exception, high = cut[-3:]
    if exceptions and int(exception.max()) >= entries:
        raise FormatError(f"{what} has an exception for an entry that is not there")
    cell = None
    if form == _GAPS:
        gap = cut[0]
        cell = np.cumsum(gap, dtype=np.int64)
        if entries and (not gap[1:].all() or int(cell[-1]) >= space or (width_gap == 8 and int(cell.min()) < 0)):
            raise FormatError(f"{what} names a cell that can't be")
    if width_count == 8:
        low = columns.whole(low, what)
    return Columns(cell, low, exception.astype(np.int64), columns.whole(high, what) << min(8 * width_count, 63))
