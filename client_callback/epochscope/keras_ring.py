"""TensorFlow's log on the device: a ring of whole numbers that the compiled step writes, read once for many batches.

Rows are int64, in the form that ``keras_rows`` tells. Indices into the ring are taken modulo its size, so no row can
abort a training.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from epochscope.keras_classify import OUT_OF_RANGE, UNCOUNTED

_ROW = 2**40  # more entries than are written between two readings


class Ring:
    """One log on the device, of training or of evaluation."""

    def __init__(self) -> None:
        self._entries: Any = None  # tf.Variable int64 [size]
        self._end: Any = None  # tf.Variable int64 []: entries ever written, and _ROW times the rows; it may wrap
        self._size = 0  # a power of 2
        self._read = 0  # what the end was when it was last read
        self._longest = 0

    def write(self, row: Any, length: Any, size: int) -> None:
        """Appends ``row`` int64 [length]; called while a step is traced. ``size``: of a log that is yet to be made."""
        if self._entries is None:
            with tf.init_scope():
                if tf.distribute.has_strategy():  # it would spread them over its devices; it is known to this thread
                    make = threading.Thread(target=self._make, args=(size,))
                    make.start()
                    make.join()
                else:
                    self._make(size)
        start = self._end.read_value()
        # Only after the row: at the end of the data a step begins that has none, and must not count one.
        with tf.control_dependencies([row]):
            self._end.assign_add(length + _ROW, read_value=False)
        # start + range: a range that starts at a variable would make XLA compile every step anew.
        indices = tf.bitwise.bitwise_and(start + tf.range(length), self._size - 1)
        tf.raw_ops.ResourceScatterUpdate(resource=self._entries.handle, indices=indices, updates=row)

    def _make(self, size: int) -> None:
        self._size = 1 << (size - 1).bit_length()
        self._entries = tf.Variable(tf.zeros([self._size], tf.int64), trainable=False, name="epochscope_log")
        self._end = tf.Variable(tf.zeros([], tf.int64), trainable=False, name="epochscope_end")

    def room(self) -> int:
        """How many batches fill half of it; 0 while the length of a row is not known."""
        return self._size // (2 * self._longest) if self._longest else 0

    def read(self) -> tuple[NDArray[np.int64], int]:
        """The entries written since the last reading, and how many rows were overwritten before they were read."""
        if self._entries is None:
            return np.empty(0, np.int64), 0
        end = int(_value(self._end))
        rows, written = divmod((end - self._read) % 2**64, _ROW)
        first, self._read = self._read % self._size, end
        if written > self._size:
            self._longest = max(self._longest, written // rows)
            return np.empty(0, np.int64), rows
        if not written:
            return np.empty(0, np.int64), 0
        # A view, and a copy of what is new: the log has room for far more than is read at a time.
        entries = np.asarray(memoryview(_value(self._entries)))
        last = end % self._size
        piece = entries[first:last].copy() if first < last else np.concatenate([entries[first:], entries[:last]])
        if rows:
            self._longest = max(self._longest, len(piece) // rows)
        return piece, 0

    @property
    def longest(self) -> int:
        return self._longest


def _value(variable: Any) -> Any:
    """The tensor of a variable: its own ``read_value()`` and ``numpy()`` take five times as long."""
    # A fit that was broken off is cleared away whenever Python collects it, maybe while another step is traced.
    with contextlib.nullcontext() if tf.executing_eagerly() else tf.init_scope():
        return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)


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


def packed_row(number: int, scalars: list[Any], codes: list[Any]) -> tuple[Any, Any]:
    """One row as a tensor, and its length: ``scalars`` of any number type, for each output the int64 ``codes`` of its
    samples, or their counts. In as few operations as can be: each costs every batch of a training."""
    length = tf.constant(2 + len(codes) + len(scalars), tf.int64)
    lengths, parts = [], []
    for each in codes:
        part = each.counts if isinstance(each, Counted) else each
        size = tf.size(part, tf.int64)
        length += size
        lengths.append(-size if isinstance(each, Counted) else size)
        parts.append(part)
    if scalars:
        bits = tf.bitcast(tf.stack([tf.cast(value, tf.float32) for value in scalars]), tf.int32)
        parts.insert(0, tf.cast(bits, tf.int64))
    head = tf.stack([length, tf.constant(number, tf.int64), *lengths])
    return tf.concat([head, *parts], 0), length
