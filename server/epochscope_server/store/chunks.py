"""The bytes of a chunk: the columns of a flush as they came, deflated. Bits are kept, NaN and -0.0 included."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import msgspec
import numpy as np
from epochscope.wire import COUNT_DTYPE, STEP_DTYPE, VALUE_DTYPE, ConfusionColumns, SeriesColumns

from epochscope_server.analysis.confusion import Cells
from epochscope_server.analysis.rates import Numbers, Whole

_columns = msgspec.msgpack.Decoder(tuple[bytes, ...])


def pack_series(columns: SeriesColumns) -> bytes:
    return _pack(columns.steps, columns.values)


def pack_confusion(columns: ConfusionColumns) -> bytes:
    return _pack(columns.steps, columns.cells, columns.true, columns.predicted, columns.counts)


def unpack_series(chunks: Iterable[bytes]) -> tuple[Whole, Numbers]:
    """Steps int64 [n] and values float64 [n] of all chunks, ordered by step.

    A step given again (an epoch run once more after a resume) keeps its latest value.
    """
    parts = [_unpack(chunk) for chunk in chunks]
    steps = np.concatenate([np.frombuffer(steps, STEP_DTYPE) for steps, _ in parts] or [np.zeros(0, STEP_DTYPE)])
    values = np.concatenate([np.frombuffer(values, VALUE_DTYPE) for _, values in parts] or [np.zeros(0)])
    order = np.argsort(steps, kind="stable")
    steps, values = steps[order].astype(np.int64), values[order].astype(np.float64)
    latest = np.append(steps[1:] != steps[:-1], True) if len(steps) else np.zeros(0, bool)
    return steps[latest], values[latest]


def unpack_confusion(chunks: Iterable[bytes]) -> Cells:
    """The confusion counts of all chunks; a step may stand in several of them, its counts add up."""
    parts = [_unpack(chunk) for chunk in chunks]
    steps = [
        np.repeat(np.frombuffer(steps, STEP_DTYPE), np.frombuffer(cells, COUNT_DTYPE)) for steps, cells, *_ in parts
    ]
    empty = [np.zeros(0, np.int64)]

    def column(index: int) -> Whole:
        return np.concatenate([np.frombuffer(part[index], COUNT_DTYPE) for part in parts] or empty).astype(np.int64)

    return Cells(np.concatenate(steps or empty).astype(np.int64), column(2), column(3), column(4))


def _pack(*columns: bytes) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(columns), 1)


def _unpack(chunk: bytes) -> tuple[bytes, ...]:
    return _columns.decode(zlib.decompress(chunk))
