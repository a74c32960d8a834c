"""What the log of the compiled steps holds, whichever backend writes it: one row a batch, read many at a time.

A row as a vector of whole numbers is: its own length, the number of its layout, the number of codes of each output,
the bits of each scalar (float32), then the codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Layout:
    """What a row holds: the names of its scalars, and name and number of classes of its outputs."""

    scalars: tuple[str, ...]
    outputs: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Rows:
    """Consecutive batches of one layout: ``scalars`` float64 [rows, names]; for each output the ``lengths``
    int64 [rows] and the ``codes`` int64 [sum of lengths] of its samples, uncounted ones still among them."""

    layout: Layout
    scalars: NDArray[np.float64]
    lengths: list[NDArray[np.int64]]
    codes: list[NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.scalars)


def parsed_rows(layouts: list[Layout], entries: NDArray[np.int64]) -> list[Rows]:
    """What whole rows say, consecutive ones of one layout together."""
    starts: list[int] = []
    position = 0
    while position < len(entries):
        starts.append(position)
        position += int(entries[position])
    rows: list[Rows] = []
    begin = 0
    while begin < len(starts):
        number = int(entries[starts[begin] + 1])
        end = begin + 1
        while end < len(starts) and entries[starts[end] + 1] == number:
            end += 1
        rows.append(_parsed(layouts[number], entries, np.array(starts[begin:end])))
        begin = end
    return rows


def _parsed(layout: Layout, entries: NDArray[np.int64], starts: NDArray[np.int64]) -> Rows:
    outputs, scalars = len(layout.outputs), len(layout.scalars)
    after_head = starts + 2 + outputs
    bits = entries[after_head[:, None] + np.arange(scalars)].astype(np.int32)
    lengths, found = [], []
    begin = after_head + scalars
    for index in range(outputs):
        length = entries[starts + 2 + index]
        shift = np.repeat(begin - (np.cumsum(length) - length), length)
        lengths.append(length)
        found.append(entries[shift + np.arange(len(shift))])
        begin = begin + length
    return Rows(layout, bits.view(np.float32).astype(np.float64), lengths, found)
