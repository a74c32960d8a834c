"""Damages to a segment of a spool, more than a test suite has time for: each flipped bit, each cut, and N random ones.

::

    python tests/faults/damage.py --random 200000           (make damage N=200000)

Of each damaged segment a reader may believe only what was written, must believe every frame that was not touched, and
may lose one frame at most to one flipped bit. The first damage for which that is not so ends the program, and is named.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

from epochscope import segments

SALT = segments.salt_of("stream0x")
SIZES = (40, 0, 7, 300, 1, 2000, 64, 5000, 13, 0, 0, 8200, 3, 500)  # 16 KiB


class Segment:
    """What was written, and where; payloads that look like frames themselves are among them."""

    def __init__(self, sizes: tuple[int, ...] = SIZES) -> None:
        chance = random.Random(1)
        self.payloads: dict[int, bytes] = {}
        self.places: dict[int, tuple[int, int]] = {}
        self.data = b""
        for seq, size in enumerate(sizes, 1):
            payload = segments.frame(seq + 1, b"a frame in a frame", 0) * (size // 200) + chance.randbytes(size)
            framed = segments.frame(seq, payload, SALT)
            self.payloads[seq] = payload
            self.places[seq] = (len(self.data), len(self.data) + len(framed))
            self.data += framed

    def believed(self, data: bytes) -> set[int]:
        """The numbers of the frames that a reader of ``data`` believes; each is as it was written."""
        found = segments.recover(data, SALT).records
        for one in found:
            if segments.unframe(data[one.start : one.stop], one.seq, SALT) != self.payloads.get(one.seq):
                raise AssertionError(f"update {one.seq} is believed, but was never written so")
        return {one.seq for one in found}

    def untouched(self, start: int, stop: int) -> set[int]:
        """The numbers of the frames that have no byte in ``[start, stop)``, nor end or begin within."""
        return {seq for seq, (a, b) in self.places.items() if b <= start or a >= stop}


def flips(segment: Segment) -> Iterator[Callable[[], None]]:
    """Each bit, flipped."""
    for bit in range(8 * len(segment.data)):

        def check(bit: int = bit) -> None:
            broken = bytearray(segment.data)
            broken[bit // 8] ^= 1 << bit % 8
            if len(segment.believed(bytes(broken))) != len(segment.payloads) - 1:
                raise AssertionError(f"bit {bit} flipped costs more than one update")

        yield check


def cuts(segment: Segment) -> Iterator[Callable[[], None]]:
    """Each length at which the segment may have been cut off."""
    for cut in range(len(segment.data) + 1):

        def check(cut: int = cut) -> None:
            whole = {seq for seq, (_, stop) in segment.places.items() if stop <= cut}
            if segment.believed(segment.data[:cut]) != whole:
                raise AssertionError(f"cut at {cut} the whole frames are not those that are found")

        yield check


def at_random(segment: Segment, number: int, seed: int) -> Iterator[Callable[[], None]]:
    """``number`` damages: bytes overwritten, zeroed, lost, put in, doubled, or moved, at one place or up to four."""
    for index in range(number):

        def check(index: int = index) -> None:
            chance = random.Random(seed * 1_000_003 + index)
            data, low, high = segment.data, len(segment.data), 0
            for _ in range(chance.choice((1, 1, 1, 4))):
                start = chance.randrange(len(data))
                stop = min(len(data), start + chance.choice((1, 2, 16, 512, 4096)))
                piece = data[start:stop]
                kind = chance.randrange(6)
                if kind == 0:
                    new = chance.randbytes(len(piece))
                elif kind == 1:
                    new = bytes(len(piece))
                elif kind == 2:
                    new = b""
                elif kind == 3:
                    new = chance.randbytes(chance.randrange(1, 600)) + piece
                elif kind == 4:
                    new = piece + piece
                else:
                    middle = chance.randrange(len(piece) + 1)
                    new = piece[middle:] + piece[:middle]
                several = bool(high)
                data = data[:start] + new + data[stop:]
                low, high = (0, len(segment.data)) if several else (start, stop)
            left = segment.untouched(low, high) - segment.believed(data)
            if left:
                raise AssertionError(
                    f"damage {index} of seed {seed} costs updates {sorted(left)} that it did not touch"
                )

        yield check


def run(name: str, checks: Iterator[Callable[[], None]], total: int) -> int:
    """How many checks held; a line now and then says how far it is."""
    began = told = time.monotonic()
    done = 0
    for check in checks:
        check()
        done += 1
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"{name}: {done:,} of {total:,}, {done / (told - began):,.0f} a second", flush=True)
    print(f"{name}: {done:,} in {time.monotonic() - began:,.0f} s, nothing wrong believed", flush=True)
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", type=int, default=200_000, help="how many random damages (default: 200000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("flips", "cuts", "random"))
    chosen = parser.parse_args()
    segment = Segment()
    size = len(segment.data)
    if chosen.only in (None, "cuts"):
        run(f"cuts of {size:,} bytes", cuts(segment), size + 1)
    if chosen.only in (None, "flips"):
        run(f"flipped bits of {size:,} bytes", flips(segment), 8 * size)
    if chosen.only in (None, "random"):
        run(f"random damages, seed {chosen.seed}", at_random(segment, chosen.random, chosen.seed), chosen.random)
    return 0


if __name__ == "__main__":
    sys.exit(main())
