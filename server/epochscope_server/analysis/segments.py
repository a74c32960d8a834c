"""Stretches in which a class's recall did not change: the cut of a run that a penalised likelihood likes best.

Among all ways to cut the windows 1..T of a class into stretches of constant recall, the one that minimises

    sum over stretches of C + penalty for each cut,      C = -2 [ K ln(K / M) + (M - K) ln((M - K) / M) ]

K recognised of M seen in the stretch: twice the binomial log-likelihood lost by taking the recall for constant. The
penalty 2 ln(N T / 0.05) over N classes and T windows makes one false cut in all of them less likely than 5 %.

Where a class moves more than chance from window to window all the time (see ``instability``), a cut must stand out
from that: cost and penalty are then those of a binomial whose variance is larger by the observed factor (quasi-
likelihood; P. McCullagh, J. A. Nelder, "Generalized Linear Models", 1989, section 4.5).

Sources: B. Jackson et al., IEEE Signal Processing Letters 12 (2005), 105-108; R. Killick, P. Fearnhead, I. A. Eckley,
JASA 107 (2012), 1590-1598: PELT finds the same cut after leaving out starts that can no longer be best. Here starts
are left out that are dead in every class, since all classes are cut at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochscope_server.analysis.blocks import edges, pooled, summed
from epochscope_server.analysis.rates import Numbers, Whole

DOUBT = 0.05  # of one false cut in all classes together
WORK = 5_000_000  # classes times windows squared, about 40 ms
MOST, FEWEST = 400, 64  # windows in which cuts are first looked for
PRUNED = 16  # windows between two looks for dead starts
LIKELY = 2 * np.log(20)  # places of a cut whose cost is greater by more than this are ruled out
REACH = 4  # first windows on either side in which the exact place is looked for


@dataclass(frozen=True)
class Cuts:
    """The cuts of all classes, ordered by class and place; arrays [M], places are indices of windows.

    From window ``at`` on the recall is another; it may as well be any from ``first`` to ``last``, both included.
    ``gain`` float64: the cost saved by the cut, in the class's own variance: larger is surer.
    """

    row: Whole
    at: Whole
    first: Whole
    last: Whole
    gain: Numbers


def cuts(tp: Whole, support: Whole) -> Cuts:
    """Cut the counts [N, P] of each class in consecutive windows where its recall changes.

    Cuts are found over at most ``MOST`` blocks of windows (fewer for many classes), then placed window by window.
    """
    classes, windows = tp.shape
    coarse = min(MOST, max(FEWEST, int(np.sqrt(WORK / max(classes, 1)))))
    begin = edges(windows, max(-(-windows // coarse), 1))
    hits, seen = pooled(tp, begin), pooled(support, begin)
    factor = np.maximum(dispersion(hits, seen), 1.0)
    penalty = 2 * np.log(max(classes * len(begin), 1) / DOUBT)
    found = _best(hits, seen, factor * penalty)
    row = np.repeat(np.arange(classes), [len(one) for one in found])
    place = np.concatenate([np.zeros(0, np.int64), *(begin[one] for one in found)])
    before = np.concatenate([np.zeros(0, np.int64), *(np.append(0, begin[one[:-1]]) for one in found if len(one))])
    after = np.concatenate([np.zeros(0, np.int64), *(np.append(begin[one[1:]], windows) for one in found if len(one))])
    return _placed(tp, support, row, place, before, after, factor, int(begin[1]) if len(begin) > 1 else 1)


def dispersion(hits: Whole, seen: Whole) -> Numbers:
    """How many times the binomial variance a class moves from block to block, [N]; single large jumps count little.

    As ``instability``, but the square of each movement in standard deviations counts as 9 at most, so that the changes
    that are looked for do not hide themselves.
    """
    if hits.shape[1] < 3:
        return np.ones(len(hits))
    n = np.maximum(seen, 1).astype(np.float64)
    sums, of = summed(hits), summed(seen)
    at = np.arange(hits.shape[1])
    high, low = np.minimum(at + 6, len(at)), np.maximum(at - 5, 0)
    level = (sums[:, high] - sums[:, low] + 0.5) / (of[:, high] - of[:, low] + 1)
    noise = level * (1 - level) / n
    recall = hits / n
    known = (seen[:, 1:-1] > 0) & (seen[:, :-2] > 0) & (seen[:, 2:] > 0)
    moved = (recall[:, 1:-1] - (recall[:, :-2] + recall[:, 2:]) / 2) ** 2
    square = np.minimum(moved / (noise[:, 1:-1] + (noise[:, :-2] + noise[:, 2:]) / 4), 9.0)
    mean: Numbers = np.where(known, square, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return mean


def _best(hits: Whole, seen: Whole, penalty: Numbers) -> list[Whole]:
    """Where each class [N, T] is cut: indices of blocks that begin a new stretch."""
    classes, blocks = hits.shape
    k, m = (summed(counts).astype(np.float64) for counts in (hits, seen))
    least = np.zeros((classes, blocks + 1))
    least[:, 0] = -penalty
    last = np.zeros((classes, blocks + 1), np.int64)
    row = np.arange(classes)
    # Starts that may still be best, side by side: their place, sums and least cost.
    start, start_k, start_m, start_cost = np.zeros(blocks + 1, np.int64), k.copy(), m.copy(), least.copy()
    alive = 1
    for end in range(1, blocks + 1):
        cost = _cost(k[:, end, None] - start_k[:, :alive], m[:, end, None] - start_m[:, :alive])
        cost += start_cost[:, :alive]
        best = cost.argmin(axis=1)
        last[:, end] = start[best]
        least[:, end] = cost[row, best] + penalty
        if end % PRUNED == 0:
            stays = np.flatnonzero((cost <= least[:, end, None]).any(axis=0))
            if len(stays) < 0.8 * alive:
                alive = len(stays)
                start[:alive] = start[stays]
                for column in (start_k, start_m, start_cost):
                    column[:, :alive] = column[:, stays]
        start[alive], start_k[:, alive], start_m[:, alive], start_cost[:, alive] = (
            end,
            k[:, end],
            m[:, end],
            least[:, end],
        )
        alive += 1
    found = []
    for one in last:
        places, end = [], blocks
        while (end := int(one[end])) > 0:
            places.append(end)
        found.append(np.array(places[::-1], np.int64))
    return found


def _cost(k: Numbers, m: Numbers) -> Numbers:
    """-2 log-likelihood of k of m at its own rate, 0 ln 0 = 0; all that stands for a stretch."""
    cost = m * np.log(np.maximum(m, 1))
    cost -= k * np.log(np.maximum(k, 1))
    missed = m - k
    cost -= missed * np.log(np.maximum(missed, 1))
    cost *= 2
    return cost


def _placed(
    tp: Whole, support: Whole, row: Whole, place: Whole, before: Whole, after: Whole, factor: Numbers, width: int
) -> Cuts:
    """Each cut at the window where it saves most, and the windows where it saves nearly as much."""
    windows = tp.shape[1]
    if not len(row):
        nowhere = np.zeros(0, np.int64)
        return Cuts(nowhere, nowhere, nowhere, nowhere, np.zeros(0))
    k, m = summed(tp), summed(support)
    at = place[:, None] + np.arange(-REACH * width, REACH * width + 1)
    # Two neighbours may come closer, but each stays on its side of the middle between them.
    lowest = np.where(before > 0, (before + place) // 2 + 1, 1)
    highest = np.where(after < windows, (place + after) // 2, windows - 1)
    inside = (at >= lowest[:, None]) & (at <= highest[:, None])
    at = np.clip(at, 0, windows)
    each = row[:, None]
    left = _cost(*((sums[each, at] - sums[each, before[:, None]]).astype(np.float64) for sums in (k, m)))
    right = _cost(*((sums[each, after[:, None]] - sums[each, at]).astype(np.float64) for sums in (k, m)))
    cost = np.where(inside, left + right, np.inf)
    least = cost.min(axis=1, keepdims=True)
    scale = factor[row]
    likely = cost <= least + LIKELY * scale[:, None]
    first = np.take_along_axis(at, likely.argmax(axis=1)[:, None], 1)[:, 0]
    last = np.take_along_axis(at, at.shape[1] - 1 - likely[:, ::-1].argmax(axis=1)[:, None], 1)[:, 0]
    best = np.take_along_axis(at, cost.argmin(axis=1)[:, None], 1)[:, 0]
    # Where the class was not seen, nothing tells when it changed.
    seen = support > 0
    index = np.arange(windows)
    seen_last = np.maximum.accumulate(np.where(seen, index, -1), axis=1)
    seen_next = np.minimum.accumulate(np.where(seen, index, windows)[:, ::-1], axis=1)[:, ::-1]
    first = np.maximum(seen_last[row, first - 1] + 1, before + 1)
    last = np.minimum(seen_next[row, np.minimum(last, windows - 1)], after - 1)
    best = seen_next[row, np.minimum(best, windows - 1)]
    whole = _cost(*((sums[row, after] - sums[row, before]).astype(np.float64) for sums in (k, m)))
    return Cuts(row, best, np.minimum(first, best), np.maximum(last, best), (whole - least[:, 0]) / scale)
