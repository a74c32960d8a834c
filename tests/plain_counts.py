"""Counts as plain dictionaries, which no numpy has touched: what the formats are held against; and forged blobs."""

from __future__ import annotations

import struct
import sys
import zlib
from collections import Counter
from collections.abc import Iterable

import numpy as np
from epochscope_server.analysis.confusion import Cells
from hypothesis import strategies as st

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

Told = list[tuple[int, int, int, int]]  # (step, true, predicted, count)

COUNTS = st.one_of(st.integers(1, 3), st.sampled_from([255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**53 - 1, 2**53]))
CLASSES = st.sampled_from([1, 2, 3, 10, 255, 256, 257, 1000, 200_000])


def cells(told: Iterable[tuple[int, int, int, int]]) -> Cells:
    columns = np.array(list(told), np.int64).reshape(-1, 4)
    return Cells(*(np.ascontiguousarray(column) for column in columns.T))


@st.composite
def counted(draw: st.DrawFn, classes: int, first: int, steps: int = 64) -> Told:
    """Counts of ``steps`` steps from ``first`` on, in any order, some of them said twice."""
    label = st.integers(0, classes - 1)
    told = draw(st.lists(st.tuples(st.integers(first, first + steps - 1), label, label, COUNTS), max_size=25))
    again = draw(st.lists(st.sampled_from(told), max_size=4)) if told else []
    return told + again


def by_step(told: Iterable[tuple[int, int, int, int]]) -> dict[tuple[int, int, int], int]:
    found: Counter[tuple[int, int, int]] = Counter()
    for step, true, predicted, count in told:
        found[step, true, predicted] += count
    return dict(found)


def rows(found: Cells) -> dict[tuple[int, int, int], int]:
    """``found`` as a dictionary; each (step, true, predicted) must stand there once."""
    listed = [column.tolist() for column in (found.step, found.true, found.predicted, found.count)]
    told = {(step, true, predicted): count for step, true, predicted, count in zip(*listed, strict=True)}
    assert len(told) == len(found.step)
    return told


def many(classes: int, first: int, batches: int, size: int, seed: int = 0) -> Cells:
    """What a training of so many batches would count, as a rule right."""
    rng = np.random.default_rng(seed)
    step = np.repeat(np.arange(first, first + batches), size)
    true = rng.integers(0, classes, len(step))
    predicted = np.where(rng.random(len(step)) < 0.7, true, rng.integers(0, classes, len(step)))
    return Cells(step, true, predicted, np.ones(len(step), np.int64))


def sealed(data: bytes) -> bytes:
    """``data`` with the checksum that belongs to it, whatever else is wrong with it."""
    return data[:4] + struct.pack("<I", zlib.crc32(data[8:])) + data[8:]
