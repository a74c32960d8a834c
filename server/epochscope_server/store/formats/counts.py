"""Sparse whole counts over numbered cells: summed, and as columns in one of three forms.

Leaves, nodes and marginals are all kept this way, each with a numbering of cells of its own.

* gaps: the cells that occur are listed, each by its gap to the one before. A gap too wide for its column is walked in
  full strides that count nothing.
* pages: how many cells of each page of 256 occur, and the low byte of each. Larger once packed, but read twice as fast.
* dense: every cell has a number.

Of a count too wide for its column the low bits stay there and the rest is in a list of exceptions, so that a few great
counts do not make all of them wide. Small counts share bytes, two or four of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from epochscope_server.analysis.rates import Whole
from epochscope_server.store.formats import columns
from epochscope_server.store.formats.columns import WIDTHS, Unsigned
from epochscope_server.store.formats.frame import MAX_COLUMNS, FormatError

HEADER = struct.Struct("<BII")  # code, entries, exceptions
# The code, two bits each: the form; log2 of the bytes of a gap or of a page's number of cells; log2 of the bytes of a
# count; log2 of how many counts share a byte.
_GAPS, _PAGES, _DENSE = 0, 1, 2
_PAGE = 256  # cells
_BITS = (2, 4, 8, 16, 32, 64)  # of a count
QUICK_FROM = 98_304  # bytes of columns from which on speed is worth more than space, where it is asked for
_EXCEPTION = 4 + 8  # bytes: which entry, what is above its low bytes
# So many cells are summed in an array of all of them; more, or more an entry (where numbers to be sorted have 32 bits,
# or 64), by sorting.
_DENSE_ALWAYS, _DENSE_MOST, _DENSE_NARROW, _DENSE_WIDE = 16_384, 4_194_304, 4, 32


@dataclass(frozen=True)
class Counts:
    """How often each cell occurred: ``cell`` int64 [n], ascending, each once; ``count`` int64 [n], all above 0."""

    cell: Whole
    count: Whole


class Columns(NamedTuple):
    """Unpacked columns, ready to be added up: ``low`` [n], unsigned, at ``cell`` int64 [n], or at every cell of the
    space where ``cell`` is None; and ``high`` int64 [e] more at the entries ``exception`` int64 [e].

    Cells ascend, each at most once; a ``low`` may be 0.
    """

    cell: Whole | None
    low: Unsigned
    exception: Whole
    high: Whole

    def add_into(self, total: Whole, sign: int = 1) -> None:
        """Add to ``total``, int64 [cells of the space], contiguous; or take away, where ``sign`` is -1."""
        if self.cell is None:
            (np.add if sign > 0 else np.subtract)(total, self.low, out=total)
            total[self.exception] += sign * self.high
        else:
            total[self.cell] += sign * self.low.astype(np.int64)
            total[self.cell[self.exception]] += sign * self.high

    def counts(self) -> Counts:
        count = self.low.astype(np.int64)
        count[self.exception] += self.high
        if self.cell is None:
            there = np.flatnonzero(count)
            return Counts(there, count[there])
        counted = count > 0
        return Counts(self.cell, count) if counted.all() else Counts(self.cell[counted], count[counted])


class Shape(NamedTuple):
    """What a header says of columns over ``space`` cells: how to read them, and how many bytes they have."""

    space: int
    form: int
    width_gap: int
    bits_count: int
    entries: int
    exceptions: int

    @property
    def pages(self) -> int:
        return -(-self.space // _PAGE)

    @property
    def length(self) -> int:
        cells = 0
        if self.form == _GAPS:
            cells = self.entries * self.width_gap
        elif self.form == _PAGES:
            cells = self.pages * self.width_gap + self.entries
        return cells + -(-self.entries * self.bits_count // 8) + self.exceptions * _EXCEPTION


def none() -> Counts:
    return Counts(np.zeros(0, np.int64), np.zeros(0, np.int64))


def of(cell: Whole, count: Whole, space: int) -> Counts:
    """Counts of cells below ``space``, in any order, each any number of times."""
    if not len(cell):
        return none()
    greatest = int(count.max())
    bits = greatest.bit_length()
    wide = (space - 1).bit_length() + bits
    if space <= max(_DENSE_ALWAYS, min(_DENSE_MOST, (_DENSE_NARROW if wide <= 32 else _DENSE_WIDE) * len(cell))):
        most = greatest * len(count)  # narrow sums stay in the caches
        total = np.zeros(space, np.uint16 if most < 1 << 16 else np.uint32 if most < 1 << 32 else np.int64)
        np.add.at(total, cell, count.astype(total.dtype))
        there = np.flatnonzero(total != 0)
        return Counts(there, total[there].astype(np.int64))
    if wide <= 63:  # one sort of whole numbers, many times faster than an argsort, and of 32 bits three times as fast
        both: Unsigned = cell.astype(np.uint32 if wide <= 32 else np.int64)
        both <<= bits
        both |= count.astype(both.dtype)
        both.sort()
        cell, count = (both >> bits).astype(np.int64), (both & ((1 << bits) - 1)).astype(np.int64)
    else:
        order = np.argsort(cell, kind="stable")
        cell, count = cell[order], count[order]
    other = cell[1:] != cell[:-1]
    if other.all():
        return Counts(cell, count)
    start = np.append(0, np.flatnonzero(other) + 1)
    return Counts(cell[start], np.add.reduceat(count, start))


def summed(parts: Iterable[Counts]) -> Counts:
    """The sum of all parts, whatever their number and order."""
    every = [part for part in parts if len(part.cell)]
    if len(every) < 2:
        return every[0] if every else none()
    space = max(int(part.cell[-1]) for part in every) + 1
    return of(np.concatenate([part.cell for part in every]), np.concatenate([part.count for part in every]), space)


def encode(counts: Counts, space: int, quick: bool = False) -> tuple[bytes, list[bytes], bool]:
    """Header and columns of ``counts``, whose cells are below ``space``, and whether they are best left unpacked.

    With ``quick``, what is large gets the form that is read fastest rather than the smallest.

    Raises:
        FormatError: more than 2^29 bytes of columns.
        ValueError: cells that do not ascend, or lie outside the space, or count nothing.
    """
    cell, count = counts.cell, counts.count
    entries = len(cell)
    greatest = int(count.max()) if entries else 0
    gap = cell.copy()
    gap[1:] -= cell[:-1]
    if entries and (cell[0] < 0 or cell[-1] >= space or count.min() < 1 or (entries > 1 and gap[1:].min() < 1)):
        raise ValueError(f"counts over {space:,} cells are above 0, in order of cells, each once")
    width_gap, strides = _width_gap(gap)
    walked = entries if strides is None else entries + int(strides.sum())
    bits_listed, size_listed = _bits_count(count, greatest, walked)
    bits_dense, size_dense = _bits_count(count, greatest, space)
    size_listed += walked * width_gap
    if min(size_dense, size_listed) > MAX_COLUMNS:
        raise FormatError(f"counts of {entries:,} cells are too many for one blob")
    large = quick and min(size_dense, size_listed) >= QUICK_FROM
    entry = None  # of each count; None where it is simply the next
    parts: list[bytes] = []
    if 2 * size_dense <= 3 * size_listed:
        form, entry, walked, width_gap, bits = _DENSE, cell, space, 1, bits_dense
    elif large:
        form, walked = _PAGES, entries
        occupied = np.bincount(cell >> 8, minlength=-(-space // _PAGE))
        width_gap = columns.width(int(occupied.max()))
        bits, _ = _bits_count(count, greatest, entries, 8)
        parts = [*columns.planes(occupied, width_gap), *columns.planes(cell, 1)]
    else:
        form, bits = _GAPS, bits_listed
        if strides is not None:
            stride = (1 << 8 * width_gap) - 1
            entry = np.cumsum(strides)
            entry += np.arange(entries)
            listed = gap - strides * stride
            gap = np.full(walked, stride)
            gap[entry] = listed
        parts = columns.planes(gap, width_gap)
    low = (count & (1 << bits) - 1 if bits < 8 else count).astype(f"<u{max(bits // 8, 1)}")  # the high bits fall off
    if entry is not None:
        spread = np.zeros(walked, low.dtype)
        spread[entry] = low
        low = spread
    parts += [columns.shared(low, bits)] if bits < 8 else columns.planes(low, bits // 8)
    exceptions = 0
    if greatest >> bits:
        wide = np.flatnonzero(count >> bits)
        exceptions = len(wide)
        parts += columns.planes(wide if entry is None else entry[wide], 4)
        parts += columns.planes(count[wide] >> bits, 8)
    code = form | WIDTHS.index(width_gap) << 2
    code |= (8 // bits).bit_length() - 1 << 6 if bits < 8 else WIDTHS.index(bits // 8) << 4
    return HEADER.pack(code, walked, exceptions), parts, large


def shape(header: bytes, at: int, space: int, what: str) -> Shape:
    """What the header that starts at byte ``at`` of ``header`` says of columns over ``space`` cells.

    Raises:
        FormatError: it contradicts itself; ``what`` names the blob.
    """
    code, entries, exceptions = HEADER.unpack_from(header, at)
    bits = 8 >> (code >> 6) if code >> 6 else 8 * WIDTHS[code >> 4 & 3]
    said = Shape(space, code & 3, WIDTHS[code >> 2 & 3], bits, entries, exceptions)
    impossible = (
        bits < 2,
        bits < 8 and code >> 4 & 3 > 0,
        said.form > _DENSE,
        said.form == _DENSE and (entries != space or said.width_gap > 1),
        exceptions > (0 if bits == 64 else entries),
    )
    if any(impossible):
        raise FormatError(f"{what} has a header that contradicts itself")
    return said


def decode(said: Shape, data: memoryview, at: int, what: str) -> Columns:
    """The columns that ``encode`` made, from byte ``at`` of ``data``.

    Raises:
        FormatError: they contradict the header or themselves; ``what`` names the blob.
    """
    cell = None
    entries = said.entries
    if said.form == _GAPS:
        gap = columns.joined(data, at, entries, said.width_gap)
        at += entries * said.width_gap
        cell = np.cumsum(gap, dtype=np.int64)
        if entries and (cell[-1] >= said.space or not gap[1:].all() or (said.width_gap == 8 and cell.min() < 0)):
            raise FormatError(f"{what} names a cell that can't be")
    elif said.form == _PAGES:
        occupied = columns.joined(data, at, said.pages, said.width_gap).astype(np.int64)
        if int(occupied.min()) < 0 or int(occupied.sum()) != entries:
            raise FormatError(f"{what} has another number of cells than its pages have together")
        at += said.pages * said.width_gap
        cell = np.repeat(np.arange(0, said.pages * _PAGE, _PAGE), occupied)
        cell += columns.joined(data, at, entries, 1)
        at += entries
        if occupied[-1] and int(cell[-int(occupied[-1]) :].max()) >= said.space:
            raise FormatError(f"{what} names a cell that can't be")
    bits = said.bits_count
    low = columns.apart(data, at, entries, bits) if bits < 8 else columns.joined(data, at, entries, bits // 8)
    if bits == 64:
        low = columns.whole(low, what)
    if not said.exceptions:
        return Columns(cell, low, _NO_EXCEPTION, _NO_EXCEPTION)
    at += -(-entries * bits // 8)
    exception = columns.joined(data, at, said.exceptions, 4).astype(np.int64)
    high = columns.joined(data, at + said.exceptions * 4, said.exceptions, 8)
    if int(exception.max()) >= entries or int(high.max()) >= 1 << 63 - bits:
        raise FormatError(f"{what} has an exception that can't be")
    return Columns(cell, low, exception, high.astype(np.int64) << bits)


_NO_EXCEPTION = np.zeros(0, np.int64)


def _width_gap(gap: Whole) -> tuple[int, Whole | None]:
    """Bytes of a gap, the fewest with which the strides are at most half of the gaps; and the full strides that go
    before each gap, None where there are none.
    """
    widest = int(gap.max()) if len(gap) else 0
    for width in WIDTHS:
        if widest < 1 << 8 * width:
            return width, None
        strides = np.maximum(gap - 1, 0) // ((1 << 8 * width) - 1)
        if _STRIDES * int(strides.sum()) <= len(gap):
            return width, strides
    raise AssertionError("eight bytes hold every gap")


_STRIDES = 8


def _bits_count(count: Whole, greatest: int, entries: int, least: int = 2) -> tuple[int, int]:
    """Bits of a count, ``least`` or more, so that a column of ``entries`` with its exceptions is smallest, and its
    size in bytes.
    """
    sizes = []
    for bits in _BITS[_BITS.index(least) :]:
        size = -(-entries * bits // 8)
        if greatest < 1 << bits:
            sizes.append((size, bits))
            break
        sizes.append((size + int(np.count_nonzero(count >= 1 << bits)) * _EXCEPTION, bits))
    size, bits = min(sizes)
    return bits, size
