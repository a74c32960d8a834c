"""Sparse whole counts over numbered cells: summed, and as columns of gaps or of one number a cell.

Leaves, nodes and marginals are all kept this way, each with a numbering of cells of its own. Either the cells that
occur are listed, each by its gap to the one before, or, where that is not much larger, every cell has a number. A gap
too wide for its column is walked in full strides that count nothing; of a count too wide for its column the low bytes
stay there and the rest is in a list of exceptions, so that a few great counts do not make all of them wide.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from epochscope_server.analysis.rates import Whole
from epochscope_server.store.formats import columns
from epochscope_server.store.formats.columns import WIDTHS, Unsigned
from epochscope_server.store.formats.frame import MAX_COLUMNS, FormatError

HEADER = struct.Struct("<BII")  # form, entries, exceptions
_GAPS, _DENSE = 0, 1  # lowest bit of form; then 2 bits: log2 of the bytes of a gap, 2 bits: of a count
_EXCEPTION = 4 + 8  # bytes: which entry, what is above its low bytes
_DENSE_SUM = 4_194_304  # cells that are summed in one array rather than by sorting


@dataclass(frozen=True)
class Counts:
    """How often each cell occurred: ``cell`` int64 [n], ascending, each once; ``count`` int64 [n], all above 0."""

    cell: Whole
    count: Whole


@dataclass(frozen=True)
class Columns:
    """Unpacked columns, ready to be added up: ``low`` [n], unsigned, at ``cell`` int64 [n], or at every cell of the
    space where ``cell`` is None; and ``high`` int64 [e] more at the entries ``exception`` int64 [e].

    Cells ascend, each at most once; a ``low`` may be 0.
    """

    cell: Whole | None
    low: Unsigned
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
        if self.cell is None:
            there = np.flatnonzero(count)
            return Counts(there, count[there])
        counted = count > 0
        return Counts(self.cell, count) if counted.all() else Counts(self.cell[counted], count[counted])


@dataclass(frozen=True)
class Shape:
    """What a header says of columns: how many bytes they have, and how to read them."""

    space: int
    form: int
    width_gap: int
    width_count: int
    entries: int
    exceptions: int

    @property
    def sizes(self) -> list[tuple[int, int]]:
        gaps = [(self.entries, self.width_gap)] if self.form == _GAPS else []
        return [*gaps, (self.entries, self.width_count), (self.exceptions, 4), (self.exceptions, 8)]

    @property
    def length(self) -> int:
        return sum(count * each for count, each in self.sizes)


def none() -> Counts:
    return Counts(np.zeros(0, np.int64), np.zeros(0, np.int64))


def of(cell: Whole, count: Whole) -> Counts:
    """Counts of cells in any order, each any number of times. Sorts once."""
    if not len(cell):
        return none()
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
        return every[0] if every else none()
    space = max(int(part.cell[-1]) for part in every) + 1
    if space <= min(_DENSE_SUM, 16 * sum(len(part.cell) for part in every)):
        total = np.zeros(space, np.int64)
        for part in every:
            total[part.cell] += part.count
        cell = np.flatnonzero(total)
        return Counts(cell, total[cell])
    return of(np.concatenate([part.cell for part in every]), np.concatenate([part.count for part in every]))


def encode(counts: Counts, space: int) -> tuple[bytes, list[bytes]]:
    """Header and columns of ``counts``, whose cells are below ``space``.

    Raises:
        FormatError: more than 2^29 bytes of columns.
    """
    cell, count = counts.cell, counts.count
    entries = len(cell)
    gap = np.diff(cell, prepend=0)
    width_gap, strides = 8, np.zeros(0, np.int64)
    widest = int(gap.max()) if entries else 0
    for width_gap in WIDTHS:
        if widest < 1 << 8 * width_gap:
            strides = np.zeros(entries, np.int64)
            break
        strides = np.maximum(gap - 1, 0) // ((1 << 8 * width_gap) - 1)
        if 8 * int(strides.sum()) <= entries:
            break
    walked = entries + int(strides.sum())
    width_listed, size_listed = _width_count(count, walked)
    width_dense, size_dense = _width_count(count, space)
    if min(size_dense, size_listed + walked * width_gap) > MAX_COLUMNS:
        raise FormatError(f"counts of {entries:,} cells are too many for one blob")
    if size_dense <= 2 * (size_listed + walked * width_gap):
        form, entry, walked, width_gap, width_count = _DENSE, cell, space, 1, width_dense
        parts = []
    else:
        form, entry, width_count = _GAPS, np.arange(entries) + np.cumsum(strides), width_listed
        gaps = np.full(walked, (1 << min(8 * width_gap, 63)) - 1)
        gaps[entry] = gap - strides * gaps[0] if walked else gap
        parts = columns.planes(gaps, width_gap)
    low = np.zeros(walked, f"<u{width_count}")
    low[entry] = count.astype(low.dtype)  # the high bytes fall off
    parts += columns.planes(low, width_count)
    wide = np.flatnonzero(count >> 8 * width_count) if width_count < 8 else np.zeros(0, np.int64)
    parts += columns.planes(entry[wide], 4)
    parts += columns.planes(count[wide] >> min(8 * width_count, 63), 8)
    code = form | WIDTHS.index(width_gap) << 1 | WIDTHS.index(width_count) << 3
    return HEADER.pack(code, walked, len(wide)), parts


def shape(header: bytes, at: int, space: int, what: str) -> Shape:
    """What the header that starts at byte ``at`` of ``header`` says of columns over ``space`` cells.

    Raises:
        FormatError: it contradicts itself; ``what`` names the blob.
    """
    code, entries, exceptions = HEADER.unpack_from(header, at)
    said = Shape(space, code & 1, WIDTHS[code >> 1 & 3], WIDTHS[code >> 3 & 3], entries, exceptions)
    if code >> 5 or exceptions > entries or (said.form == _DENSE and (entries != space or said.width_gap > 1)):
        raise FormatError(f"{what} has a header that contradicts itself")
    return said


def decode(said: Shape, data: memoryview, what: str) -> Columns:
    """The columns that ``encode`` made, from exactly their bytes.

    Raises:
        FormatError: they contradict the header or themselves; ``what`` names the blob.
    """
    *gaps, low, exception, high = columns.read(data, said.sizes)
    if said.exceptions and int(exception.max()) >= said.entries:
        raise FormatError(f"{what} has an exception for an entry that is not there")
    cell = None
    if gaps:
        gap = gaps[0]
        cell = np.cumsum(gap, dtype=np.int64)
        wrapped = said.width_gap == 8 and said.entries and int(cell.min()) < 0
        if said.entries and (not gap[1:].all() or int(cell[-1]) >= said.space or wrapped):
            raise FormatError(f"{what} names a cell that can't be")
    if said.width_count == 8:
        low = columns.whole(low, what)
    if not said.exceptions:
        return Columns(cell, low, _NO_EXCEPTION, _NO_EXCEPTION)
    shifted = columns.whole(high, what) << min(8 * said.width_count, 63)
    if int(shifted.min()) < 0 or (shifted >> min(8 * said.width_count, 63) != high).any():
        raise FormatError(f"{what} has a number of more than 63 bits")
    return Columns(cell, low, exception.astype(np.int64), shifted)


_NO_EXCEPTION = np.zeros(0, np.int64)


def _width_count(count: Whole, entries: int) -> tuple[int, int]:
    """Bytes of a count so that a column of ``entries`` with its exceptions is smallest, and that size."""
    sizes = []
    for each in WIDTHS:
        exceptions = int(np.count_nonzero(count >> 8 * each)) if each < 8 else 0
        sizes.append((entries * each + exceptions * _EXCEPTION, each))
        if not exceptions:
            break
    size, each = min(sizes)
    return each, size
