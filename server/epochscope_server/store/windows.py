"""How windows are cut into whole pieces of several widths, the widest first, and what is left between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epochscope_server.analysis.rates import Whole


@dataclass(frozen=True)
class Runs:
    """Ranges of pieces: ``lo[i]`` to ``hi[i] - 1`` belong to window ``owner[i]``; all int64 [n]."""

    lo: Whole
    hi: Whole
    owner: Whole

    def each(self) -> tuple[Whole, Whole]:
        """Every piece and the window it belongs to, two int64 arrays."""
        count = self.hi - self.lo
        first = np.repeat(self.lo - (np.cumsum(count) - count), count)
        return first + np.arange(int(count.sum())), np.repeat(self.owner, count)


def cut(start: Whole, stop: Whole, levels: Sequence[tuple[int, int]]) -> tuple[list[Runs], Runs]:
    """Cut windows ``[start, stop)``, int64 [P], into pieces.

    Args:
        levels: (width of a piece, number of pieces there are from step 0 on), the widest first.

    Returns:
        For each level the pieces that lie inside a window and in no wider piece that was taken; and as ranges of
        steps what is left.
    """
    taken = []
    left = Runs(start, stop, np.arange(len(start)))
    for width, there in levels:
        left = _chosen(left, left.lo < left.hi)
        lo, hi = -(-left.lo // width), np.minimum(left.hi // width, there)
        some = lo < hi
        taken.append(_chosen(Runs(lo, hi, left.owner), some))
        before = Runs(left.lo, np.where(some, lo * width, left.hi), left.owner)
        after = _chosen(Runs(hi * width, left.hi, left.owner), some)
        left = Runs(*(np.concatenate((getattr(before, name), getattr(after, name))) for name in ("lo", "hi", "owner")))
    left = _chosen(left, left.lo < left.hi)
    return taken, _chosen(left, np.argsort(left.lo, kind="stable"))


def ranges(runs: Runs, each: int = 1) -> list[tuple[int, int]]:
    """The pieces of ``runs``, ``each`` of them to a row, as ranges of rows that do not overlap or touch, in order."""
    if not len(runs.lo):
        return []
    lows, highs = runs.lo // each, -(-runs.hi // each)
    order = np.argsort(lows, kind="stable")
    lo, hi = lows[order], np.maximum.accumulate(highs[order])
    apart = lo[1:] > hi[:-1]
    begins, ends = np.concatenate(([True], apart)), np.concatenate((apart, [True]))
    return list(zip(lo[begins].tolist(), hi[ends].tolist(), strict=True))


def _chosen(runs: Runs, chosen: np.ndarray) -> Runs:
    return Runs(runs.lo[chosen], runs.hi[chosen], runs.owner[chosen])
