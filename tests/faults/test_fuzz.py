"""Arbitrary bytes, and good ones with a few changes, given to every decoder: only documented errors come of them."""

from __future__ import annotations

import time
import tracemalloc

import msgspec
import pytest
from epochscope import segments, wire
from faults.fuzz import TARGETS, seeds
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow  # hundreds of inputs each

SEEDS = seeds()
QUICK = {"wire": 400, "segments": 300, "folder": 60, "reply": 60}


@st.composite
def changed(draw: st.DrawFn, target: str) -> bytes:
    """A good input with pieces cut out, put in, or overwritten."""
    data = draw(st.sampled_from(SEEDS[target]))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 12)))
        data = data[:start] + draw(st.binary(max_size=12)) + data[stop:]
    return data


# What msgpack can say at all, with the names of fields that mean something.
KEYS = st.sampled_from([*wire.Flush.__struct_fields__, *wire.RunInfo.__struct_fields__]) | st.text(max_size=3)
SAID = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=16),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("target", TARGETS)
def test_good_inputs_are_taken(target: str) -> None:
    for seed in SEEDS[target]:
        TARGETS[target](seed)
    assert all(wire.decode(seed) for seed in SEEDS["wire"])
    assert len(segments.recover(SEEDS["segments"][0], segments.salt_of("stream0x")).records) == 3


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_but_documented_errors_comes_of_any_bytes(target: str) -> None:
    @settings(max_examples=QUICK[target], deadline=None)
    @given(st.binary(max_size=200) | changed(target) | changed(target))
    def check(data: bytes) -> None:
        TARGETS[target](data)

    check()


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, SAID, max_size=8))
def test_nothing_but_documented_errors_comes_of_anything_that_msgpack_can_say(said: dict[str, object]) -> None:
    good = msgspec.msgpack.decode(SEEDS["wire"][0])
    TARGETS["wire"](msgspec.msgpack.encode(said))
    TARGETS["wire"](msgspec.msgpack.encode({**good, **said}))
    TARGETS["wire"](msgspec.msgpack.encode({**good, "info": {**good["info"], **said}}))


INFO = {"project": "p", "name": "n", "started_ms": 1}
STEPS = {"key": "a", "split": "train", "by": "batch", "steps": b"\1" * 4_000_000, "values": b"\1" * 4_000_000}
CELLS = {"output": "o", "split": "train", "steps": b"\1" * 8, "cells": b"\xff" * 4}
EACH_CELL = dict.fromkeys(("true", "predicted", "counts"), b"\1" * 2_500_000)
HUGE: dict[str, dict[str, object]] = {
    "a long name": {"info": {**INFO, "project": "x" * 7_000_000}},
    "a long name that can't be shown": {"info": {**INFO, "project": "\0" * 7_000_000}},
    "many tags": {"info": {**INFO, "tags": [""] * 7_000_000}},
    "many params": {"info": {**INFO, "params": {str(number): None for number in range(800_000)}}},
    "a param of many": {"info": {**INFO, "params": {"a": [None] * 7_000_000}}},
    "many series": {"series": [{"key": "a", "split": "train", "by": "run", "steps": b"", "values": b""}] * 190_000},
    "many steps": {"series": [STEPS]},
    "many cells": {"confusion": [CELLS | EACH_CELL]},
}


@pytest.mark.parametrize("what", HUGE)
def test_the_largest_flush_takes_no_more_than_a_second_and_memory_in_proportion(what: str) -> None:
    body = msgspec.msgpack.encode(msgspec.msgpack.decode(SEEDS["wire"][1]) | HUGE[what])
    assert 2_000_000 < len(body) <= wire.MAX_BODY
    tracemalloc.start()
    began = time.process_time()
    TARGETS["wire"](body)
    took, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 5.0  # a tenth of it, mostly; far more where work grows with the square of the size
    assert peak < 40 * wire.MAX_BODY


def test_deep_nesting_is_refused() -> None:
    deep = b"\x91" * 100_000 + b"\xc0"
    good = SEEDS["wire"][1]
    for body in (deep, good[:1].replace(good[:1], bytes([good[0] + 1])) + good[1:] + b"\xa1x" + deep):
        with pytest.raises(wire.WireError):
            wire.decode(body)


def test_a_segment_of_nothing_but_beginnings_takes_no_more_than_seconds() -> None:
    data = b"\x5a\xa5\x01\x00" * 500_000
    began = time.process_time()
    assert segments.recover(data, 0).records == []
    nested = b"".join(
        segments.frame(seq, b"", 0)[:20] for seq in range(1, 60_000)
    )  # heads that promise what never comes
    assert segments.recover(nested, 0).records == []
    assert time.process_time() - began < 10.0
