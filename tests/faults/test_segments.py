"""Segments: whatever was cut off or damaged, every whole frame is found and no other is believed."""

from __future__ import annotations

import random

import pytest
from epochscope import segments
from hypothesis import given, settings
from hypothesis import strategies as st

SALT = segments.salt_of("stream0x")


def written(*sizes: int) -> tuple[bytes, dict[int, bytes], list[int]]:
    """A segment, its payloads by number, and where each frame ends. The payloads themselves look like frames."""
    shuffled = random.Random(1)
    payloads = {seq: shuffled.randbytes(size) + b"\x5a\xa5\x01\x00" * (size % 3) for seq, size in enumerate(sizes, 1)}
    data, ends = b"", []
    for seq, payload in payloads.items():
        data += segments.frame(seq, payload, SALT)
        ends.append(len(data))
    return data, payloads, ends


def believed(data: bytes) -> dict[int, bytes]:
    """What a reader takes for updates."""
    found = segments.recover(data, SALT).records
    return {one.seq: segments.unframe(data[one.start : one.stop], one.seq, SALT) for one in found}


def test_a_segment_cut_anywhere_gives_back_every_frame_that_was_whole() -> None:
    data, payloads, ends = written(40, 0, 7, 300, 1, 64)
    for cut in range(len(data) + 1):
        whole = sum(end <= cut for end in ends)
        found = segments.recover(data[:cut], SALT)
        assert [one.seq for one in found.records] == list(range(1, whole + 1))
        assert found.end == (ends[whole - 1] if whole else 0)
        assert found.damaged == []
        assert believed(data[:cut]) == {seq: payloads[seq] for seq in range(1, whole + 1)}


def flip_costs_one(data: bytes, payloads: dict[int, bytes], bit: int) -> None:
    broken = bytearray(data)
    broken[bit // 8] ^= 1 << bit % 8
    left = believed(bytes(broken))
    assert left.items() <= payloads.items()
    assert len(left) == len(payloads) - 1


def test_a_flipped_bit_costs_one_update_and_invents_none() -> None:
    data, payloads, _ = written(20, 9, 0, 31)
    for bit in random.Random(2).sample(range(8 * len(data)), 400):
        flip_costs_one(data, payloads, bit)


def test_a_damaged_head_names_no_number() -> None:
    data, _, _ = written(20, 9)
    for bit in range(8 * 20):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        assert segments.recover(bytes(broken), SALT).damaged == []
    broken = bytearray(data)
    broken[25] ^= 1
    assert segments.recover(bytes(broken), SALT).damaged == [1]


@pytest.mark.slow
def test_each_flipped_bit_of_a_segment_costs_one_update() -> None:
    data, payloads, _ = written(500, 0, 3, 1000, 77, 400)
    for bit in range(8 * len(data)):
        flip_costs_one(data, payloads, bit)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_damage_invents_nothing_and_spares_what_it_did_not_touch(data: st.DataObject) -> None:
    whole, payloads, ends = written(*data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=8)))
    start = data.draw(st.integers(0, len(whole) - 1))
    stop = data.draw(st.integers(start + 1, len(whole)))
    broken = whole[:start] + data.draw(st.binary(max_size=80)) + whole[stop:]
    left = believed(broken)
    assert left.items() <= payloads.items()
    starts = [0, *ends[:-1]]
    untouched = {seq for seq, (a, b) in enumerate(zip(starts, ends, strict=True), 1) if b <= start or a >= stop}
    assert untouched <= left.keys()


def test_frames_of_another_stream_or_number_are_not_believed() -> None:
    other = segments.frame(1, b"theirs", segments.salt_of("stream1x"))
    assert believed(other + segments.frame(2, b"ours", SALT)) == {2: b"ours"}
    with pytest.raises(segments.DamagedError, match="update 3 is damaged"):
        segments.unframe(segments.frame(2, b"ours", SALT), 3, SALT)


def test_numbers_only_rise() -> None:
    data = segments.frame(2, b"b", SALT) + segments.frame(1, b"a", SALT) + segments.frame(2, b"again", SALT)
    assert believed(data) == {2: b"b"}


def test_the_ack_is_the_highest_of_the_whole_slots() -> None:
    both = segments.slot(7) + segments.slot(8)
    assert segments.acked_in(both) == 8
    assert segments.acked_in(b"\0" * 32) is None
    for bit in range(8 * 12):
        broken = bytearray(both)
        broken[16 + bit // 8] ^= 1 << bit % 8
        assert segments.acked_in(bytes(broken)) == 7
    for cut in range(len(both)):
        assert segments.acked_in(both[:cut]) == (7 if cut >= 16 else None)
