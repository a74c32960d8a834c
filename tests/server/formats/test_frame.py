"""What surrounds every blob: it is read as it was written, by many threads at once, or refused with a sentence."""

from __future__ import annotations

import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from epochscope_server.store.formats import frame
from epochscope_server.store.formats.frame import FormatError
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_counts import sealed, zstd

MAGIC = b"TST1"


def opened(data: bytes, length: int, header: int = 3) -> bytes:
    return bytes(frame.unpack(data, MAGIC, header, "test").columns(length))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=900), max_size=4), st.booleans())
def test_columns_come_back_as_they_were(columns: list[bytes], plain: bool) -> None:
    data = frame.pack(MAGIC, b"abc", columns, plain)
    assert frame.unpack(data, MAGIC, 3, "test").header == b"abc"
    assert opened(data, sum(map(len, columns))) == b"".join(columns)


def test_what_repeats_itself_is_packed_unless_speed_matters_more() -> None:
    columns = [bytes(5000), b"\1" * 5000]
    assert len(frame.pack(MAGIC, b"abc", columns)) < 100
    assert len(frame.pack(MAGIC, b"abc", columns, plain=True)) == 10_000 + 12


def test_noise_and_little_things_are_left_as_they_are() -> None:
    noise = random.Random(3).randbytes(3000)
    assert frame.pack(MAGIC, b"abc", [noise])[12:] == noise
    assert frame.pack(MAGIC, b"abc", [bytes(200)])[12:] == bytes(200)


@pytest.mark.parametrize("columns", [[b"twelve bytes"], [bytes(700), b"\7" * 700]])
def test_every_cut_and_every_flipped_bit_is_found(columns: list[bytes]) -> None:
    data = frame.pack(MAGIC, b"abc", columns)
    length = sum(map(len, columns))
    for end in range(len(data)):
        with pytest.raises(FormatError):
            opened(data[:end], length)
    for at in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            with pytest.raises(FormatError):
                opened(bytes(flipped), length)
    with pytest.raises(FormatError):
        opened(data + b"\0", length)


def test_the_error_says_which_blob_and_what_is_wrong() -> None:
    data = frame.pack(MAGIC, b"abc", [b"twelve bytes"])
    with pytest.raises(FormatError, match=r"test is cut off after 5 bytes"):
        opened(data[:5], 12)
    with pytest.raises(FormatError, match=r"test has format b'TST2'; this version of epochscope reads b'TST1'"):
        opened(b"TST2" + data[4:], 12)
    with pytest.raises(FormatError, match=r"test starts with b'GIF8' where b'TST1' should stand"):
        opened(b"GIF8" + data[4:], 12)
    with pytest.raises(FormatError, match=r"test is damaged: its checksum is wrong"):
        opened(data[:-1] + b"!", 12)
    with pytest.raises(FormatError, match=r"test has 12 bytes of columns where its header says 13"):
        opened(data, 13)


def test_a_small_blob_that_unpacks_to_gigabytes_is_given_up_early() -> None:
    bomb = zstd.compress(bytes(200_000_000), 1)  # a window as small as ours: only the length gives it away
    data = sealed(MAGIC + bytes(4) + b"\1" + b"abc" + bomb)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            opened(data, 1000)
        with pytest.raises(FormatError, match="at most"):
            opened(data, 2**40)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_frames_of_zstd_that_are_not_ours_are_refused() -> None:
    columns = bytes(100)
    for packed in (
        b"not zstd at all",
        zstd.compress(columns) + b"more",
        zstd.compress(columns)[:-1],
        zstd.compress(columns) * 2,
    ):
        with pytest.raises(FormatError):
            opened(sealed(MAGIC + bytes(4) + b"\1" + b"abc" + packed), 100)
    with pytest.raises(FormatError, match="does not know"):
        opened(sealed(MAGIC + bytes(4) + b"\2" + b"abc" + columns), 100)


def test_threads_that_pack_and_unpack_at_once_do_not_mix_their_blobs_up() -> None:
    def work(seed: int) -> int:
        rng = np.random.default_rng(seed)
        wrong = 0
        for _ in range(60):
            columns = [rng.geometric(0.3, int(rng.integers(1, 4000))).astype(np.uint8).tobytes() for _ in range(3)]
            wrong += opened(frame.pack(MAGIC, b"abc", columns), sum(map(len, columns))) != b"".join(columns)
        return wrong

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(work, range(16))) == 0


def test_a_packing_that_fails_half_way_leaves_nothing_behind_for_the_next() -> None:
    columns = [bytes(3000), b"\1" * 3000]
    want = frame.pack(MAGIC, b"abc", columns)
    with pytest.raises(TypeError):
        frame.pack(MAGIC, b"abc", [bytes(3000), [1] * 3000])  # type: ignore[list-item]
    assert frame.pack(MAGIC, b"abc", columns) == want
