"""Columns of whole numbers in as few bytes as their greatest one needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from epochscope_server.analysis.rates import Whole
from epochscope_server.store.formats.frame import FormatError

WIDTHS = (1, 2, 4, 8)


def width(greatest: int) -> int:
    """The least of 1, 2, 4, 8 bytes that holds ``greatest``."""
    return next(each for each in WIDTHS if greatest < 1 << 8 * each)


def check_widths(widths: Sequence[int], what: str) -> None:
    for each in widths:
        if each not in WIDTHS:
            raise FormatError(f"{what} has a column of {each} bytes a number; 1, 2, 4 and 8 can be")


def write(column: Whole, bytes_each: int) -> bytes:
    return column.astype(f"<u{bytes_each}").tobytes()


def cut(data: memoryview, sizes: Sequence[tuple[int, int]]) -> Iterator[np.ndarray]:
    """Views of consecutive columns, each (how many numbers, bytes each), little endian and unsigned."""
    at = 0
    for count, bytes_each in sizes:
        yield np.frombuffer(data, f"<u{bytes_each}", count, at)
        at += count * bytes_each


def whole(column: np.ndarray, what: str) -> Whole:
    """``column`` as int64.

    Raises:
        FormatError: a number of 2^63 or more.
    """
    result: Whole = column.astype(np.int64)
    if column.dtype.itemsize == 8 and len(column) and int(result.min()) < 0:
        raise FormatError(f"{what} has a number of more than 63 bits")
    return result
