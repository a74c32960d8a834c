"""Columns of whole numbers: in as few bytes as their greatest one needs, byte by byte.

A column of wide numbers is kept as planes, first the lowest byte of every number, then the next: each plane is packed
with its own frequencies, and high bytes, mostly 0, cost next to nothing. Small numbers may share a byte: zstd spends a
bit or more on each byte, and most of them say less than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochscope_server.analysis.rates import Whole
from epochscope_server.store.formats.frame import FormatError

WIDTHS = (1, 2, 4, 8)  # bytes of one number

Unsigned = NDArray[Any]  # of 1, 2, 4 or 8 bytes


def width(greatest: int) -> int:
    """The least of 1, 2, 4, 8 bytes that holds ``greatest``."""
    return next(each for each in WIDTHS if greatest < 1 << 8 * each)


def planes(column: NDArray[Any], bytes_each: int) -> list[bytes]:
    """``column``, whole numbers, as ``bytes_each`` planes of their low bytes; higher bytes fall off."""
    if bytes_each == 1:
        return [column.astype(np.uint8).tobytes()]
    if bytes_each == 2:
        return [column.astype(np.uint8).tobytes(), (column >> 8).astype(np.uint8).tobytes()]
    narrow = np.ascontiguousarray(column, f"<u{bytes_each}")
    return [plane.tobytes() for plane in narrow.view(np.uint8).reshape(-1, bytes_each).T]


def shared(column: NDArray[Any], bits: int) -> bytes:
    """``column``, bytes below 2^``bits`` (2 or 4), 8 / ``bits`` of them in each byte, the first in its low bits."""
    each = 8 // bits
    full = -(-len(column) // each) * each
    if full > len(column):
        column = np.concatenate((column, np.zeros(full - len(column), np.uint8)))
    found: Unsigned = column.view(f"<u{each}")
    found = found | found >> 8 - bits
    if bits == 2:
        found |= found >> 2 * (8 - bits)
    low: NDArray[np.uint8] = found.astype(np.uint8)
    return low.tobytes()


def apart(data: memoryview, at: int, count: int, bits: int) -> Unsigned:
    """The ``count`` numbers that ``shared`` put together, from byte ``at`` on; uint8."""
    flat = np.frombuffer(data, np.uint8, -(-count * bits // 8), at)
    numbers: Unsigned = _APART[bits][flat].view(np.uint8)[:count]
    return numbers


# What each byte of such a column holds.
_APART = {
    bits: ((np.arange(256)[:, None] >> np.arange(0, 8, bits)) & ((1 << bits) - 1))
    .astype(np.uint8)
    .view(f"<u{8 // bits}")
    .reshape(-1)
    for bits in (2, 4)
}


def read(data: memoryview, sizes: Sequence[tuple[int, int]]) -> list[Unsigned]:
    """Consecutive columns of ``data``, each (how many numbers, bytes of one), unsigned."""
    at, columns = 0, []
    for count, bytes_each in sizes:
        columns.append(joined(data, at, count, bytes_each))
        at += count * bytes_each
    return columns


def joined(data: memoryview, at: int, count: int, bytes_each: int) -> Unsigned:
    """The column of ``count`` numbers whose planes start at byte ``at``; a view where a number is one byte."""
    flat = np.frombuffer(data, np.uint8, count * bytes_each, at)
    if bytes_each == 1:
        return flat
    if bytes_each == 2:
        short = flat[count:].astype("<u2")
        short <<= 8
        short |= flat[:count]
        return short
    numbers = np.empty((count, bytes_each), np.uint8)
    for plane in range(bytes_each):  # faster than one transposed copy
        numbers[:, plane] = flat[plane * count : (plane + 1) * count]
    return numbers.view(f"<u{bytes_each}").reshape(count)


def whole(column: Unsigned, what: str) -> Whole:
    """``column`` as int64.

    Raises:
        FormatError: a number of more than 63 bits; ``what`` names the blob.
    """
    result: Whole = column.astype(np.int64)
    if column.dtype.itemsize == 8 and len(column) and int(result.min()) < 0:
        raise FormatError(f"{what} has a number of more than 63 bits")
    return result
