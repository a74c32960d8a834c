"""Which leaves, nodes, buckets and rollups cover a window: whole-number arithmetic, no data.

Everything is numbered by steps: node (level, idx) covers steps ``[idx * 64 * 8^level, (idx + 1) * 64 * 8^level)``, a
leaf is level 0. So gaps between steps are legal, and where a piece lies never depends on what arrived.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

LEAF = 64  # steps
FAN = 8
TOP = 14  # 64 * 8^14 = 2^48 steps
BUCKET = 16  # steps of a bucket of marginals at level 0
ROW = 64  # buckets in one blob


def width(level: int) -> int:
    """Steps of a node; of a leaf where ``level`` is 0."""
    return LEAF << 3 * level


@dataclass(frozen=True)
class Cover:
    """What to add up for steps ``[start, stop)``, and what of it to take away again: ranges (level, lo, hi) of pieces
    lo to hi - 1.

    Pieces above level 0 count whole. Of leaves that are added the steps inside the window count, of those that are
    taken away the steps outside.
    """

    added: list[tuple[int, int, int]]
    taken: list[tuple[int, int, int]]


def cover(start: int, stop: int, complete_to: int) -> Cover:
    """The pieces of ``[start, stop)``: of a level above the leaves at most some four on either side.

    A node is there once it is complete (ends at or before ``complete_to``, to which steps are sealed). Where more than
    half of one lies inside the window, the whole of it less the rest is fewer pieces.
    """
    found = Cover([], [])
    if start >= stop:
        return found
    first, last = start // LEAF, -(-stop // LEAF)  # the outermost leaves may reach past the window
    lo, hi = -(-start // LEAF), min(stop, complete_to) // LEAF  # whole ones
    level = 0
    while level < TOP and lo < hi:
        begins = [
            _End(up, first, up * FAN, True) if up * FAN >= lo else _End(up, up * FAN, lo, False)
            for up in (-(-lo // FAN), first // FAN)
        ]
        ends = [
            _End(down, down * FAN, last, True) if down * FAN <= hi else _End(down, hi, down * FAN, False)
            for down in (hi // FAN, -(-last // FAN))
            if down * width(level + 1) <= complete_to
        ]
        ways = [(begin, end) for begin in begins for end in ends if begin.above < end.above]
        best = min(ways, key=_pieces, default=None)
        if best is None or _pieces(best) >= last - first:
            break
        for one in best:
            if one.lo < one.hi:
                (found.added if one.added else found.taken).append((level, one.lo, one.hi))
        first = lo = best[0].above
        last = hi = best[1].above
        level += 1
    found.added.append((level, first, last))
    return found


class _End(NamedTuple):
    """How an end of a window is met on a level: from node ``above`` on, or up to it, with pieces lo to hi - 1 added
    to that or taken away from it.
    """

    above: int
    lo: int
    hi: int
    added: bool


def _pieces(way: tuple[_End, _End]) -> int:
    begin, end = way
    return begin.hi - begin.lo + end.hi - end.lo + end.above - begin.above


def ancestors(leaf: int, complete_to: int) -> list[tuple[int, int]]:
    """(level, idx) of the nodes that hold a leaf and are complete: what a late step must be added to."""
    return [
        (level, idx) for level in range(1, TOP + 1) if ((idx := leaf >> 3 * level) + 1) * width(level) <= complete_to
    ]


def children(level: int, idx: int) -> tuple[int, int, int]:
    """The range (level, lo, hi) that a node is the sum of."""
    return level - 1, idx * FAN, (idx + 1) * FAN


def bucket_width(level: int) -> int:
    """Steps of a bucket of marginals: 16, 128, 1024 ..."""
    return BUCKET << 3 * level


def row_width(level: int) -> int:
    """Steps of one blob of marginals: 1024, 8192 ..."""
    return ROW * bucket_width(level)


def finest_level(classes: int) -> int:
    """The lowest level of marginals that is worth its bytes: below it a bucket holds less than a few of a class."""
    return 0 if classes <= 2000 else 1 if classes <= 16_000 else 2
