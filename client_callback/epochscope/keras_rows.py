"""What the log of the compiled steps holds, whichever backend writes it: one row a batch, read many at a time.

A row as a vector of whole numbers is: its own length, the number of its layout, the number of codes of each output,
the bits of each scalar (float32), then the codes. Where a batch has more samples than a matrix has cells, their counts
stand instead of the codes, and their number is negative.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from epochscope.keras_classify import OUT_OF_RANGE


@dataclass(frozen=True)
class Layout:
    """What a row holds: the names of its scalars, and name and number of classes of its outputs; and, not in it, the
    names of the metrics whose value of the batch alone can't be had."""

    scalars: tuple[str, ...]
    outputs: tuple[tuple[str, int], ...]
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rows:
    """Consecutive batches of one layout: ``scalars`` float64 [rows, names]; for each output the ``lengths``
    int64 [rows] and the ``codes`` int64 [sum of lengths] of its samples, uncounted ones still among them; ``times``,
    where there is one, says how many samples each code stands for, int64 [sum of lengths]."""

    layout: Layout
    scalars: NDArray[np.float64]
    lengths: list[NDArray[np.int64]]
    codes: list[NDArray[np.int64]]
    times: list[NDArray[np.int64] | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.scalars)


def parsed_rows(layouts: list[Layout], entries: NDArray[np.int64]) -> list[Rows]:
    """What whole rows say, consecutive ones of one layout together."""
    if len(entries) and (alike := _alike(layouts, entries)) is not None:
        return [alike]
    starts = _starts(entries)
    numbers = entries[starts + 1]
    rows: list[Rows] = []
    for some in np.split(starts, np.flatnonzero(numbers[1:] != numbers[:-1]) + 1):
        if not len(some):
            continue
        layout = layouts[int(entries[some[0] + 1])]
        # Whether an output has counts instead of codes may change from row to row of one layout.
        counted = entries[some[:, None] + 2 + np.arange(len(layout.outputs))] < 0
        for same in np.split(np.arange(len(some)), np.flatnonzero((counted[1:] != counted[:-1]).any(1)) + 1):
            rows.append(_parsed(layout, counted[same[0]].tolist(), entries, some[same]))
    return rows


def _alike(layouts: list[Layout], entries: NDArray[np.int64]) -> Rows | None:
    """Rows of one layout with codes of the same lengths, as mostly all of a reading are; None if they are not. A third
    of the time of looking for each place in each row."""
    length, layout = int(entries[0]), layouts[int(entries[1])]
    if length < 1 or len(entries) % length:
        return None
    table = entries.reshape(-1, length)
    head = 2 + len(layout.outputs)
    lengths = entries[2:head].tolist()
    if (table[:, :head] != table[0, :head]).any() or min(lengths, default=0) < 0:
        return None
    begin = head + len(layout.scalars)
    scalars = table[:, head:begin].astype(np.int32).view(np.float32).astype(np.float64)
    codes = []
    for each in lengths:
        codes.append(table[:, begin : begin + each].ravel())
        begin += each
    return Rows(layout, scalars, list(table[:, 2:head].T), codes, [None] * len(codes))


def _starts(entries: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where rows begin. Mostly they are all of one length, which spares the way from each to the next."""
    if not len(entries):
        return np.empty(0, np.int64)
    length = int(entries[0])
    if length > 0 and len(entries) % length == 0 and (entries[::length] == length).all():
        return np.arange(0, len(entries), length)
    starts = []
    position = 0
    while position < len(entries):
        if entries[position] < 1:
            raise ValueError(f"the log of the steps has a row of length {entries[position]}")
        starts.append(position)
        position += int(entries[position])
    return np.array(starts, np.int64)


def _parsed(layout: Layout, counted: list[bool], entries: NDArray[np.int64], starts: NDArray[np.int64]) -> Rows:
    outputs, scalars = len(layout.outputs), len(layout.scalars)
    after_head = starts + 2 + outputs
    bits = entries[after_head[:, None] + np.arange(scalars)].astype(np.int32)
    lengths, found = [], []
    times: list[NDArray[np.int64] | None] = []
    begin = after_head + scalars
    for index in range(outputs):
        length = abs(entries[starts + 2 + index])
        if counted[index]:
            counts = entries[begin[:, None] + np.arange(length[0])]
            begin = begin + length
            counts[:, -1] = 0  # of samples that are not to be counted
            row, code = np.nonzero(counts)
            lengths.append(np.bincount(row, minlength=len(starts)))
            times.append(counts[row, code])
            found.append(np.where(code == length[0] - 2, OUT_OF_RANGE, code))
            continue
        shift = np.repeat(begin - (np.cumsum(length) - length), length)
        lengths.append(length)
        times.append(None)
        found.append(entries[shift + np.arange(len(shift))])
        begin = begin + length
    return Rows(layout, bits.view(np.float32).astype(np.float64), lengths, found, times)
