"""Which leaves, nodes, buckets and rollups cover a window: whole-number arithmetic, no data.

Everything is numbered by steps: node (level, idx) covers steps ``[idx * 64 * 8^level, (idx + 1) * 64 * 8^level)``, a
leaf is level 0. So gaps between steps are legal, and where a piece lies never depends on what arrived.
"""

from __future__ import annotations

LEAF = 64  # steps
FAN = 8
TOP = 14  # 64 * 8^14 = 2^48 steps
BUCKET = 16  # steps of a bucket of marginals at level 0
ROW = 64  # buckets in one blob


def width(level: int) -> int:
    """Steps of a node; of a leaf where ``level`` is 0."""
    return LEAF << 3 * level


def cover(start: int, stop: int, complete_to: int) -> list[tuple[int, int, int]]:
    """What to add up for steps ``[start, stop)``: ranges (level, lo, hi) of pieces lo to hi - 1, in order of steps.

    Above level 0 a piece lies inside the window and is complete (ends at or before ``complete_to``, to which steps are
    sealed). Leaves fill the rest; the first and the last may reach past the window.
    """
    if start >= stop:
        return []
    lo, hi = -(-start // LEAF), min(stop, complete_to) // LEAF  # whole leaves that nodes may stand for
    head: list[tuple[int, int, int]] = []
    tail: list[tuple[int, int, int]] = []
    if lo >= hi:
        return [(0, start // LEAF, -(-stop // LEAF))]
    head_leaf, tail_leaf = start // LEAF, -(-stop // LEAF)
    level = 0
    while level < TOP:
        up, down = -(-lo // FAN), hi // FAN
        if up >= down:
            break
        head.append((level, head_leaf if level == 0 else lo, up * FAN))
        tail.append((level, down * FAN, tail_leaf if level == 0 else hi))
        lo, hi, level = up, down, level + 1
    middle = (level, lo, hi) if level else (0, head_leaf, tail_leaf)
    return [piece for piece in (*head, middle, *reversed(tail)) if piece[1] < piece[2]]


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
