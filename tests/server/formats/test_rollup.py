"""A bucket tells of its points what plain Python finds in them, on whatever way it was rolled up."""

from __future__ import annotations

import math
import random
import struct
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from epochscope_server.store.formats import FormatError, content, rollup
from epochscope_server.store.formats.rollup import Rollup
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_counts import sealed

VALUES = st.one_of(
    st.floats(width=32),
    st.floats(),
    st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1.5, 1.7976931348623157e308, -1.7976931348623157e308]),
)
POINTS = st.lists(st.tuples(st.integers(1, 3), VALUES), max_size=60)


def arrays(drawn: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    steps = np.cumsum(np.array([gap for gap, _ in drawn], np.int64))
    return steps, np.array([value for _, value in drawn], np.float64)


def plainly(points: list[tuple[int, float]]) -> dict[str, Any]:
    """One bucket of points, said in plain Python."""
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    low = min(finite, key=lambda point: point[1], default=(points[0][0], math.nan))
    high = max(finite, key=lambda point: point[1], default=(points[0][0], math.nan))
    exact = sum((Fraction(value) for _, value in finite), Fraction())
    try:
        total = float(exact)
    except OverflowError:
        total = math.inf if exact > 0 else -math.inf
    return {
        "step_first": points[0][0],
        "step_last": points[-1][0],
        "step_low": low[0],
        "step_high": high[0],
        "finite": len(finite),
        "nan": sum(math.isnan(value) for _, value in points),
        "above": sum(value == math.inf for _, value in points),
        "below": sum(value == -math.inf for _, value in points),
        "first": points[0][1],
        "last": points[-1][1],
        "low": low[1],
        "high": high[1],
        "sum": total,
    }


def bits(bucket: dict[str, Any]) -> dict[str, Any]:
    return {name: struct.pack("<d", value) if isinstance(value, float) else value for name, value in bucket.items()}


def buckets(found: Rollup) -> list[dict[str, Any]]:
    columns = {name: column.tolist() for name, column in vars(found).items()}
    return [{name: column[at] for name, column in columns.items()} for at in range(len(found))]


def cut(drawn: list[tuple[int, float]], factor: int) -> list[list[tuple[int, float]]]:
    steps, values = arrays(drawn)
    points = list(zip(steps.tolist(), values.tolist(), strict=True))
    return [points[at : at + factor] for at in range(0, len(points), factor)]


@settings(max_examples=120, deadline=None)
@given(POINTS, st.integers(1, 9))
def test_a_bucket_tells_what_plain_python_finds_in_its_points(drawn: list[tuple[int, float]], factor: int) -> None:
    found = buckets(rollup.of_points(*arrays(drawn), factor))
    for one, points in zip(found, cut(drawn, factor), strict=True):
        want = plainly(points)
        if want["sum"] == 0:  # plain Python's sum of whole fractions has no -0.0
            one["sum"] = abs(one["sum"])
        assert bits(one) == bits(want)


@settings(max_examples=100, deadline=None)
@given(POINTS, st.integers(1, 5), st.integers(1, 5))
def test_a_bucket_of_buckets_is_the_bucket_of_their_points(drawn: list[tuple[int, float]], fine: int, by: int) -> None:
    twice = buckets(rollup.merged(rollup.of_points(*arrays(drawn), fine), by))
    once = buckets(rollup.of_points(*arrays(drawn), fine * by))
    for one, other, points in zip(twice, once, cut(drawn, fine * by), strict=True):
        sums = one.pop("sum"), other.pop("sum")
        assert bits(one) == bits(other)
        size = math.fsum(min(abs(value), 1e300) for _, value in points if math.isfinite(value))
        if all(map(math.isfinite, sums)):
            assert abs(sums[0] - sums[1]) <= 2.0**-52 * size or size > 1e299


@settings(max_examples=60, deadline=None)
@given(POINTS, st.integers(1, 9))
def test_buckets_come_back_to_the_last_bit(drawn: list[tuple[int, float]], factor: int) -> None:
    made = rollup.of_points(*arrays(drawn), factor)
    data = rollup.encode(made)
    assert list(map(bits, buckets(rollup.decode(data)))) == list(map(bits, buckets(made)))
    half = len(made) // 2
    parts = [rollup.encode(made[:half]), rollup.encode(made[half:])]
    assert list(map(bits, buckets(rollup.joined(map(rollup.decode, parts))))) == list(map(bits, buckets(made)))
    assert content.same(data, rollup.encode(rollup.decode(data)))


def test_a_spike_and_a_nan_of_one_batch_show_among_a_million() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(1.0, 0.1, 1_000_000)
    values[123_456], values[654_321], values[999_999] = 50.0, np.nan, -np.inf
    steps = np.arange(1, 1_000_001)
    once = rollup.of_points(steps, values)
    twice = rollup.merged(once)
    for each, size in ((once, 64), (twice, 512)):
        assert (each.high[123_456 // size], each.step_high[123_456 // size]) == (50.0, 123_457)
        assert each.high.max() == 50.0
        assert (int(each.nan.sum()), int(each.nan[654_321 // size])) == (1, 1)
        assert (int(each.below.sum()), each.last[-1]) == (1, -np.inf)
        assert int(each.n.sum()) == 1_000_000


def test_buckets_that_are_none_are_not_written() -> None:
    made = rollup.of_points(np.array([5, 3]), np.zeros(2), 1)
    with pytest.raises(ValueError, match="buckets lie in order of steps"):
        rollup.encode(made)


def test_every_cut_and_every_flipped_byte_is_found() -> None:
    rng = np.random.default_rng(3)
    for n, factor in ((3, 2), (400, 4)):
        data = rollup.encode(rollup.of_points(np.arange(1, n + 1), np.round(rng.normal(size=n)), factor))
        for end in range(len(data)):
            with pytest.raises(FormatError):
                rollup.decode(data[:end])
        for at in range(len(data)):
            flipped = bytearray(data)
            flipped[at] ^= 0x81
            with pytest.raises(FormatError):
                rollup.decode(bytes(flipped))


def test_a_forged_rollup_is_refused_or_read() -> None:
    data = rollup.encode(rollup.of_points(np.arange(1, 8), np.arange(7.0), 2))
    rng, refused = random.Random(5), 0
    for _ in range(1500):
        forged = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            forged[rng.randrange(8, 24)] = rng.choice((0, 1, 2, 4, 8, 127, 128, 255, rng.randrange(256)))
        try:
            assert len(rollup.decode(sealed(bytes(forged)))) == int.from_bytes(forged[9:13], "little")
        except FormatError:
            refused += 1
    assert refused > 700
