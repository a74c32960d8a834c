"""The log on the device: a ring of whole numbers that the compiled step writes and that is read once for many batches.

A row is int64: its own length, the number of its layout, the number of codes of each output, the bits of each
scalar (float32), then the codes. Indices into the ring are taken modulo its size, so no row can abort a training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
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


class Ring:
    """One log on the device, of training or of evaluation."""

    def __init__(self) -> None:
        self._entries: Any = None  # tf.Variable int64 [size]
        self._end: Any = None  # tf.Variable int64 [2]: entries and rows ever written
        self._size = 0
        self._read = 0
        self._read_rows = 0
        self._longest = 0

    def write(self, row: Any, size: int) -> None:
        """Appends ``row``; called while a step is traced."""
        if self._entries is None:
            with tf.init_scope():
                self._size = size
                self._entries = tf.Variable(tf.zeros([size], tf.int64), trainable=False, name="epochscope_log")
                self._end = tf.Variable(tf.zeros([2], tf.int64), trainable=False, name="epochscope_end")
        length = tf.size(row, tf.int64)
        end = self._end.assign_add(tf.stack([length, tf.constant(1, tf.int64)]), read_value=True)[0]
        # (end - length) + range: a range that starts at a variable would make XLA compile every step anew.
        indices = ((end - length) + tf.range(length)) % self._size
        tf.raw_ops.ResourceScatterUpdate(resource=self._entries.handle, indices=indices, updates=row)

    def nearly_full(self, batches: int) -> bool:
        """Whether so many batches may have filled half of it; also while the length of a row is not known."""
        return not self._longest or 2 * batches * self._longest >= self._size

    def read(self) -> tuple[NDArray[np.int64], int]:
        """The entries written since the last reading, and how many rows were overwritten before they were read."""
        if self._entries is None:
            return np.empty(0, np.int64), 0
        end, rows = (int(number) for number in self._end.numpy())
        start, start_rows = self._read, self._read_rows
        self._read, self._read_rows = end, rows
        if end - start > self._size:
            self._longest = max(self._longest, (end - start) // (rows - start_rows))
            return np.empty(0, np.int64), rows - start_rows
        entries = self._entries.numpy()
        first, last = start % self._size, end % self._size
        if start == end:
            return np.empty(0, np.int64), 0
        piece = entries[first:last] if first < last else np.concatenate([entries[first:], entries[:last]])
        if rows > start_rows:
            self._longest = max(self._longest, len(piece) // (rows - start_rows))
        return piece, 0

    @property
    def longest(self) -> int:
        return self._longest


def packed_row(number: int, scalars: list[Any], codes: list[Any]) -> Any:
    """One row as a tensor: ``scalars`` of any number type, for each output the int64 ``codes`` of its samples."""
    bits = [tf.bitcast(tf.reshape(tf.cast(value, tf.float32), [1]), tf.int32) for value in scalars]
    parts = [tf.cast(tf.concat(bits, 0), tf.int64)] if bits else []
    body = tf.concat([*parts, *codes], 0) if parts or codes else tf.zeros([0], tf.int64)
    head = [tf.size(body, tf.int64) + 2 + len(codes), tf.constant(number, tf.int64)]
    return tf.concat([tf.stack([*head, *(tf.size(each, tf.int64) for each in codes)]), body], 0)


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
