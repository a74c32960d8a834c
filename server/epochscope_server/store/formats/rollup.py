"""Rollups: what 64 consecutive points of a series were like, and 8 of those, so that a million points draw at once.

A bucket forgets no spike and no NaN: it keeps the least and the greatest finite value and where they were, the sum and
number of finite values, how many were NaN, +Inf and -Inf, and its first and last point. Everything but ``sum`` is
exact and the same on any way to it: a bucket of buckets is the bucket of their points. ``sum`` is the exactly
rounded sum of what was added up: of the points for a bucket of points, of the sums for a bucket of buckets. So two ways
to the same bucket differ by rounding alone, at most 2^-52 of the sum of the points' magnitudes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.store.formats import columns
from epochscope_server.store.formats.frame import FormatError, pack, unpack

FACTOR = 64  # points of a bucket
FAN = 8  # buckets of a bucket a level above
MAGIC = b"ESR1"
_HEADER = struct.Struct("<IB")  # buckets, bytes of a value
MOST = 2**22  # buckets of one blob


@dataclass(frozen=True)
class Rollup:
    """B buckets of consecutive points, each array [B].

    ``step_first``, ``step_last`` int64: steps of the first and last point; ``first``, ``last`` float64: their values.
    ``finite``, ``nan``, ``above``, ``below`` int64: how many values are finite, NaN, +Inf, -Inf.
    ``low``, ``high`` float64: least and greatest finite value (NaN where there is none; of -0.0 and 0.0 the one that
    came first); ``step_low``, ``step_high`` int64: their first steps (``step_first`` where there is none).
    ``sum`` float64: of the finite values (0.0 where there is none).
    """

    step_first: Whole
    step_last: Whole
    step_low: Whole
    step_high: Whole
    finite: Whole
    nan: Whole
    above: Whole
    below: Whole
    first: Numbers
    last: Numbers
    low: Numbers
    high: Numbers
    sum: Numbers

    def __len__(self) -> int:
        return len(self.step_first)

    @property
    def n(self) -> Whole:
        """Points of each bucket, int64 [B]."""
        return self.finite + self.nan + self.above + self.below

    def __getitem__(self, chosen: slice) -> Rollup:
        return Rollup(*(getattr(self, field.name)[chosen] for field in fields(self)))


_STEPS = ("step_last", "step_low", "step_high")  # kept as distances from step_first
_NUMBERS = ("finite", "nan", "above", "below")
_VALUES = ("first", "last", "low", "high")


def each(steps: Whole, values: Numbers) -> Rollup:
    """Every point as a bucket of its own."""
    kept = values.astype(np.float64, copy=False)
    finite = np.isfinite(kept)
    extreme = np.where(finite, kept, np.nan)
    return Rollup(
        steps,
        steps,
        steps,
        steps,
        finite.astype(np.int64),
        np.isnan(kept).astype(np.int64),
        (kept == np.inf).astype(np.int64),
        (kept == -np.inf).astype(np.int64),
        kept,
        kept,
        extreme,
        extreme,
        np.where(finite, kept, 0.0),
    )


def of_points(steps: Whole, values: Numbers, factor: int = FACTOR) -> Rollup:
    """Buckets of ``factor`` consecutive points each; the last may have fewer."""
    return _merged(np.arange(0, len(values), factor), each(steps, values))


def merged(rollup: Rollup, factor: int = FAN) -> Rollup:
    """Buckets of ``factor`` consecutive buckets each; the last may have fewer."""
    return _merged(np.arange(0, len(rollup), factor), rollup)


def joined(parts: Iterable[Rollup]) -> Rollup:
    """Rollups one after the other."""
    every = list(parts)
    if not every:
        return of_points(np.zeros(0, np.int64), np.zeros(0))
    return Rollup(*(np.concatenate([getattr(part, field.name) for part in every]) for field in fields(Rollup)))


def encode(rollup: Rollup) -> bytes:
    """The blob of up to 2^22 buckets. Canonical."""
    n = len(rollup)
    if n > MOST:
        raise ValueError(f"{n:,} buckets are too many for one blob; at most {MOST:,} can be")
    bits = np.concatenate([getattr(rollup, name) for name in _VALUES])
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow = bits.astype("<f4")
        width = 4 if bool((narrow.astype("<f8").view("<u8") == bits.astype("<f8").view("<u8")).all()) else 8
    values = (narrow if width == 4 else bits.astype("<f8")).view(f"<u{width}").reshape(len(_VALUES), n)
    whole = [np.diff(rollup.step_first, prepend=0)]
    whole += [getattr(rollup, name) - rollup.step_first for name in _STEPS]
    whole += [getattr(rollup, name) for name in _NUMBERS]
    if n and min(int(column.min()) for column in whole) < 0:
        raise ValueError("buckets lie in order of steps, from 0 on, and count nothing less than 0 times")
    widths = [columns.width(int(column.max()) if n else 0) for column in whole]
    kept = [*zip(whole, widths, strict=True), *((column, width) for column in values)]
    kept.append((rollup.sum.astype("<f8").view("<u8"), 8))
    parts = [plane for column, each in kept for plane in columns.planes(column, each)]
    return pack(MAGIC, _HEADER.pack(n, width) + bytes(widths), parts)


def decode(data: bytes) -> Rollup:
    """The buckets of a blob.

    Raises:
        FormatError: it is damaged, or no rollup.
    """
    opened = unpack(data, MAGIC, _HEADER.size + 8, "rollup")
    n, width = _HEADER.unpack_from(opened.header)
    widths = list(opened.header[_HEADER.size :])
    if n > MOST or width not in (4, 8) or any(each not in columns.WIDTHS for each in widths):
        raise FormatError("rollup has a header that contradicts itself")
    sizes = [(n, each) for each in (*widths, *(width,) * len(_VALUES), 8)]
    held = columns.read(opened.columns(n * sum(each for _, each in sizes)), sizes)
    whole = [columns.whole(column, "rollup") for column in held[:8]]
    with np.errstate(invalid="ignore"):
        values = [column.view(f"<f{column.dtype.itemsize}").astype(np.float64) for column in held[8:]]
    step_first = np.cumsum(whole[0])
    last, low, high = (step_first + column for column in whole[1:4])
    finite, nan, above, below = whole[4:]
    return Rollup(step_first, last, low, high, finite, nan, above, below, *values)


def _merged(edges: Whole, parts: Rollup) -> Rollup:
    if not len(edges):
        return parts[:0]
    ends = np.append(edges[1:], len(parts)) - 1
    there = parts.finite > 0
    low = np.minimum.reduceat(np.where(there, parts.low, np.inf), edges)
    high = np.maximum.reduceat(np.where(there, parts.high, -np.inf), edges)
    finite = np.add.reduceat(parts.finite, edges)
    sizes = np.diff(np.append(edges, len(parts)))
    step_low, low = _where_first(parts.low, there, low, edges, sizes, parts.step_low)
    step_high, high = _where_first(parts.high, there, high, edges, sizes, parts.step_high)
    none = finite == 0
    low[none] = high[none] = np.nan
    step_first = parts.step_first[edges]
    step_low[none], step_high[none] = step_first[none], step_first[none]
    return Rollup(
        step_first,
        parts.step_last[ends],
        step_low,
        step_high,
        finite,
        np.add.reduceat(parts.nan, edges),
        np.add.reduceat(parts.above, edges),
        np.add.reduceat(parts.below, edges),
        parts.first[edges],
        parts.last[ends],
        low,
        high,
        np.array([_sum(part) for part in np.split(parts.sum, edges[1:])]),
    )


def _where_first(
    values: Numbers, there: np.ndarray, extreme: Numbers, edges: Whole, sizes: Whole, steps: Whole
) -> tuple[Whole, Numbers]:
    """The step of the first part that has its bucket's extreme, and that part's value (-0.0 equals 0.0)."""
    index = np.where(there & (values == np.repeat(extreme, sizes)), np.arange(len(values)), len(values) - 1)
    first = np.minimum.reduceat(index, edges)
    return steps[first], values[first]


def _sum(values: Numbers) -> float:
    """The exactly rounded sum; ±Inf where it is beyond the greatest number."""
    listed = values.tolist()
    try:
        return math.fsum(listed)
    except (OverflowError, ValueError):  # a partial sum too great, or sums of +Inf and -Inf
        if not np.isfinite(values).all():
            return float(np.sum(values))
        scaled = math.fsum(value / 2.0**64 for value in listed)
        return scaled * 2.0**64
