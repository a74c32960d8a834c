"""TensorFlow's log on the device: a ring of whole numbers that the compiled step writes, read once for many batches.

Rows are int64, in the form that ``keras_rows`` tells. Indices into the ring are taken modulo its size, so no row can
abort a training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from epochscope.keras_classify import OUT_OF_RANGE, UNCOUNTED


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


@dataclass(frozen=True)
class Counted:
    """Codes of a batch as a tensor of their counts: [classes * classes + 2] int64, the last two of samples whose
    label is none of the classes and of those that are not counted."""

    counts: Any


def counted(codes: Any, classes: int) -> Counted:
    """The ``codes`` of a batch, int64 [samples], as counts. Sums of ones: XLA can't compile a histogram."""
    cells = classes * classes
    places = tf.where(codes == OUT_OF_RANGE, tf.constant(cells, tf.int64), codes)
    places = tf.where(codes == UNCOUNTED, tf.constant(cells + 1, tf.int64), places)
    ones = tf.ones_like(codes, tf.int32)
    return Counted(tf.cast(tf.math.unsorted_segment_sum(ones, tf.cast(places, tf.int32), cells + 2), tf.int64))


def length_of(codes: Any) -> int | None:
    """How much of a row codes or counts take; None if that is not known while the step is traced."""
    length: int | None = (codes.counts if isinstance(codes, Counted) else codes).shape[0]
    return length


def packed_row(number: int, scalars: list[Any], codes: list[Any]) -> Any:
    """One row as a tensor: ``scalars`` of any number type, for each output the int64 ``codes`` of its samples, or
    their counts."""
    signs = [-1 if isinstance(each, Counted) else 1 for each in codes]
    codes = [each.counts if isinstance(each, Counted) else each for each in codes]
    bits = [tf.bitcast(tf.reshape(tf.cast(value, tf.float32), [1]), tf.int32) for value in scalars]
    parts = [tf.cast(tf.concat(bits, 0), tf.int64)] if bits else []
    body = tf.concat([*parts, *codes], 0) if parts or codes else tf.zeros([0], tf.int64)
    lengths = [sign * tf.size(each, tf.int64) for sign, each in zip(signs, codes, strict=True)]
    head = [tf.size(body, tf.int64) + 2 + len(codes), tf.constant(number, tf.int64)]
    return tf.concat([tf.stack([*head, *lengths]), body], 0)
