"""Points come back to the last bit: every NaN with its payload, -0.0, denormals, any steps in order."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest
from epochscope_server.store.formats import FormatError, content, points
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_counts import sealed

BITS = st.one_of(
    st.floats().map(lambda value: struct.unpack("<Q", struct.pack("<d", value))[0]),
    st.floats(width=32).map(lambda value: struct.unpack("<Q", struct.pack("<d", value))[0]),
    st.integers(0, 2**64 - 1),
    # a quiet and a signalling NaN with payloads, the least denormal, -0.0
    st.sampled_from([0x7FF8000000000001, 0xFFF8000020000000, 0x7FF0000000000001, 0x7FF4000000000000, 1, 1 << 63]),
)


def values(bits: list[int]) -> np.ndarray:
    return np.array(bits, np.uint64).view(np.float64)


def told(steps: np.ndarray, kept: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(steps.tolist(), kept.view(np.uint64).tolist(), strict=True))


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.integers(-(2**62), 2**62), BITS, max_size=40))
def test_points_come_back_to_the_last_bit(drawn: dict[int, int]) -> None:
    steps = sorted(drawn)
    data = points.encode(np.array(steps, np.int64), values([drawn[step] for step in steps]))
    assert told(*points.decode(data)) == [(step, drawn[step]) for step in steps]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**40), st.integers(1, 2**33), st.lists(st.floats(width=32), max_size=200))
def test_even_steps_cost_nothing_and_narrow_values_half(first: int, gap: int, kept: list[float]) -> None:
    steps = first + gap * np.arange(len(kept))
    data = points.encode(steps, np.array(kept, np.float64))
    assert len(data) <= 9 + 23 + 4 * len(kept)
    found = points.decode(data)
    assert found[0].tolist() == steps.tolist()
    assert found[1].tobytes() == np.array(kept, np.float64).tobytes()


def test_series_of_trainings_are_small() -> None:
    step = np.arange(1, 4097)
    rng = np.random.default_rng(1)
    rates = {
        "constant": (np.full(4096, np.float32(0.001), np.float64), 0.02),
        "cosine learning rate": ((1e-3 * (1 + np.cos(np.pi * step / 5000))).astype(np.float32).astype(np.float64), 1.2),
        "accuracy of 128": (rng.binomial(128, 0.8, 4096) / np.float64(128), 1.0),
        "noisy loss": (rng.gamma(9, 0.05, 4096).astype(np.float32).astype(np.float64), 3.5),
    }
    ways = set()
    for name, (kept, most) in rates.items():
        data = points.encode(step, kept)
        assert len(data) < most * 4096, name
        assert told(*points.decode(data)) == told(step, kept), name
        ways.add(data[31])
    assert ways == {0, 1}  # as they are, and as differences


def test_every_cut_and_every_flipped_byte_is_found() -> None:
    steps = np.arange(0, 640, 3)
    for data in (
        points.encode(np.array([3, 4, 9]), np.array([1.5, -0.0, np.nan])),
        points.encode(steps, np.round(np.sin(steps), 1).astype(np.float64)),
    ):
        for end in range(len(data)):
            with pytest.raises(FormatError):
                points.decode(data[:end])
        for at in range(len(data)):
            flipped = bytearray(data)
            flipped[at] ^= 0x42
            with pytest.raises(FormatError):
                points.decode(bytes(flipped))


def test_forged_points_are_refused_or_read_in_order() -> None:
    data = points.encode(np.array([3, 4, 9, 1000]), np.array([1.5, -0.0, np.nan, 1e300]))
    rng, refused = random.Random(1), 0
    for _ in range(2000):
        forged = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            forged[rng.randrange(8, len(forged))] = rng.choice((0, 1, 2, 127, 128, 254, 255, rng.randrange(256)))
        try:
            steps, kept = points.decode(sealed(bytes(forged)))
        except FormatError:
            refused += 1
            continue
        assert len(steps) == len(kept)
        assert all(before < after for before, after in zip(steps.tolist(), steps.tolist()[1:], strict=False))
    assert refused > 400


@pytest.mark.parametrize("steps", [[2, 1], [1, 1], [1, 5, 5]])
def test_steps_that_do_not_ascend_are_not_written(steps: list[int]) -> None:
    with pytest.raises(ValueError, match="steps must ascend"):
        points.encode(np.array(steps), np.zeros(len(steps)))


def test_steps_and_values_go_in_pairs() -> None:
    with pytest.raises(ValueError, match="2 steps and 3 values"):
        points.encode(np.array([1, 2]), np.zeros(3))


def test_points_are_the_same_to_the_last_bit_only() -> None:
    steps = np.array([1, 2])
    one = points.encode(steps, np.array([0.0, 1.0]))
    assert content.same(one, one)
    assert not content.same(one, points.encode(steps, np.array([-0.0, 1.0])))
    assert not content.same(one, points.encode(steps + 1, np.array([0.0, 1.0])))
