"""How far each class surely fell below its own best, whether it came back, and what is forgotten at the end.

    certified drop = max over t of ( max over s before t of least(s) - most(t) ), never below 0

s and t are stretches of the training: the windows of every length 1, 2, 4, 8 ..., side by side, and the stretches
between the class's cuts (``segments``), which fit what happened. ``least`` and ``most`` are bounds on the true recall
that hold for all of them in all classes at once but for a doubt of 5 % (``sure``), so in 19 of 20 trainings no class in
which nothing changed has a certified drop above 0. Forgetting is the same with t from the last cut on: what was lost
and is still missing. Windowed forgetting is the same between two of ten neighbouring evaluations: what was lost
suddenly.

Where little is certain, classes are ordered by the likely drop: the same maximum over at most 60 blocks, each with its
own 95 % interval, or the certified drop where that is larger. It may be below 0: nothing seems to have fallen.

The doubt is shared out in three: evenly among the lengths of windows, and within a length among the windows; among all
stretches that may lie between two cuts; among the evaluations.

Only once a class is told from others does its best count: after the first evaluation in which it is called for its own
members at least twice as often as for those of other classes. A model that has learnt nothing calls everything by one
name; that this name's recall is 1 at first is no achievement from which it could fall.

Sources: A. Chaudhry et al., "Riemannian walk for incremental learning", ECCV 2018 (forgetting: best so far minus
now); M. De Lange, G. van de Ven, T. Tuytelaars, "Continual evaluation for lifelong learning", ICLR 2023 (windowed
forgetting). Both take single measurements at their word, so that a class of recall 0.85 in which nothing happens
"forgets" 0.5 in batches of 128; the bounds are what is added here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from epochscope_server.analysis.blocks import edges, pooled, summed
from epochscope_server.analysis.evaluations import MOST, SAMPLES, Evaluations, evaluations
from epochscope_server.analysis.levels import Best, Deepest, Sums
from epochscope_server.analysis.rates import Numbers, Whole, wilson
from epochscope_server.analysis.segments import Cuts
from epochscope_server.analysis.sure import least, most, quick_ends

DOUBT = 0.05  # of all windows of all classes together
LIKELY = 60  # blocks in which the likely drop is looked for
WITHIN = 10  # evaluations within which windowed forgetting looks
_CHUNK = 40_000  # values that are worked on at once, so that they stay in the processor's cache


@dataclass(frozen=True)
class Drops:
    """Per class, arrays [N]; places are indices into the windows of the input, [start, stop), 0 where nothing fell.

    ``drop`` float64: the certified drop; ``likely`` float64: the likely one, which orders the classes;
    ``best_start``, ``best_stop``: the stretch it fell from; ``start``, ``stop``: the stretch in which it was lowest;
    ``fell``, ``back``: where it left the level that it surely had, and where it was seen at it again (-1: not yet), as
    precisely as windows of that length tell; ``forgetting`` float64: what is missing at the end; ``sudden`` float64:
    windowed forgetting; ``learnt``: the window by which it had been learnt (-1: not yet), the end of the first two
    evaluations in a row at nine tenths or more of the best that it surely had; ``told_apart``: the window from which on
    it is told from others (the number of windows: not yet).
    """

    drop: Numbers
    likely: Numbers
    best_start: Whole
    best_stop: Whole
    start: Whole
    stop: Whole
    fell: Whole
    back: Whole
    forgetting: Numbers
    sudden: Numbers
    learnt: Whole
    told_apart: Whole


def drops(tp: Whole, fp: Whole, support: Whole, others: Whole | None, cut: Cuts) -> Drops:
    """The drops of each class.

    Args:
        tp, fp, support: int64 [N, P], of consecutive windows: recognised, called wrongly, seen.
        others: int64 [N, P], members of other classes, which tell a class that is told apart from one that everything
            is called; None where that is not known (several labels a sample).
        cut: the cuts of these windows.
    """
    classes, windows = tp.shape
    evaluated = np.minimum(support.sum(axis=1) // SAMPLES, MOST) + 2
    share = DOUBT / 3 / 2  # a bound from below and one from above
    doubts = _Doubts(
        windows=share / max(windows.bit_length() * classes * windows, 1),
        stretch=share / max(classes * windows * (windows + 1) // 2, 1),
        evaluation=share / max(int(evaluated.sum()), 1),
    )
    rows = max(_CHUNK // max(windows, 1), 1)
    parts = []
    for at in range(0, max(classes, 1), rows):
        of = slice(at, at + rows)
        begin, end = np.searchsorted(cut.row, [at, at + rows])
        own = (cut.row[begin:end] - at, cut.at[begin:end])
        parts.append(_drops(tp[of], fp[of], support[of], None if others is None else others[of], own, doubts))
    return Drops(**{one.name: np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Drops)})


@dataclass(frozen=True)
class _Doubts:
    """Of one bound on a window of length 1 (of length n: n times as much), on a stretch, on an evaluation."""

    windows: float
    stretch: float
    evaluation: float


def _drops(
    tp: Whole, fp: Whole, support: Whole, others: Whole | None, cut: tuple[Whole, Whole], doubts: _Doubts
) -> Drops:
    classes, windows = tp.shape
    row = np.arange(classes)
    if not classes or not windows:
        nothing, nowhere = np.zeros(classes), np.zeros(classes, np.int64)
        return Drops(
            drop=nothing, likely=nothing, best_start=nowhere, best_stop=nowhere, start=nowhere, stop=nowhere,
            fell=nowhere, back=nowhere, forgetting=nothing, sudden=nothing, learnt=nowhere - 1, told_apart=nowhere,
        )  # fmt: skip
    own = evaluations(tp, fp, support, others)
    sums = Sums(summed(tp).astype(np.float64), summed(support).astype(np.float64))
    best, highs = Best(classes, windows), []
    for size, begin, hits, seen in sums.windows():
        low, high = quick_ends(hits, seen, doubts.windows * size)
        low[begin < own.told_apart[:, None]] = 0.0
        highs.append((size, begin, high))
        best.take(low, size, doubts.windows * size)
    # The stretches between cuts: the first begins where the class is told apart.
    of = np.concatenate([cut[0], row])
    start = np.concatenate([cut[1], np.zeros(classes, np.int64)])
    order = np.lexsort((start, of))
    of, start = of[order], start[order]
    stop = np.where(np.append(of[1:] == of[:-1], False), np.append(start[1:], 0), windows)
    early = np.minimum(np.maximum(start, own.told_apart[of]), stop)
    best.take_single(of, early, stop, quick_ends(*sums.between(early, stop, of), doubts.stretch)[0], doubts.stretch)
    best.run()

    # The deepest fall to a window of each length, and to a stretch, is found by a quick bound; which of them is the
    # deepest, and how deep it is, is said by one that holds.
    found = Deepest(classes)
    for size, begin, high in highs:
        at = (best.level[:, begin] - high).argmax(axis=1)
        found.take(sums, best, begin[at], begin[at] + size, doubts.windows * size)
    fall = best.level[of, start] - quick_ends(*sums.between(start, stop, of), doubts.stretch)[1]
    order = np.lexsort((fall, of))
    deepest = order[np.flatnonzero(np.append(of[order][1:] != of[order][:-1], True))]
    found.take(sums, best, start[deepest], stop[deepest], doubts.stretch)
    drop, fallen = np.maximum(found.depth, 0.0), found.depth > 0
    fell, back = _way_back(sums, found, fallen)
    last = start[np.flatnonzero(np.append(of[1:] != of[:-1], True))]
    has = most(*sums.between(last, np.full(classes, windows)), doubts.stretch)
    return Drops(
        drop=drop,
        likely=np.maximum(found.depth, _likely(tp, support, own.told_apart)),
        best_start=np.where(fallen, found.best_start, 0),
        best_stop=np.where(fallen, found.best_stop, 0),
        start=np.where(fallen, found.start, 0),
        stop=np.where(fallen, found.stop, 0),
        fell=np.where(fallen, fell, 0),
        back=np.where(fallen, back, 0),
        forgetting=np.maximum(best.certified(sums, last)[2] - has, 0.0),
        sudden=_sudden(own, doubts.evaluation),
        learnt=own.reached(best.level[:, -1]),
        told_apart=own.told_apart,
    )


def _way_back(sums: Sums, found: Deepest, fallen: NDArray[np.bool_]) -> tuple[Whole, Whole]:
    """Where the class left its level before the lowest window, and reached it after; in windows as long as that one."""
    fell, back = np.zeros_like(found.start), np.full_like(found.start, -1)
    for row in np.flatnonzero(fallen):
        size = int(found.stop[row] - found.start[row])
        edge = np.arange(found.start[row] % size, sums.hits.shape[1], size)
        hits, seen = np.diff(sums.hits[row, edge]), np.diff(sums.seen[row, edge])
        good = (seen > 0) & (hits >= found.level[row] * seen)
        here = int(found.start[row] - edge[0]) // size
        before, after = np.flatnonzero(good[:here]), np.flatnonzero(good[here + 1 :])
        fell[row] = edge[before[-1] + 1] if len(before) else edge[0]
        if len(after):
            back[row] = edge[here + 1 + after[0]]
    return fell, back


def _likely(tp: Whole, support: Whole, told_apart: Whole) -> Numbers:
    windows = tp.shape[1]
    begin = edges(windows, max(-(-windows // LIKELY), 1))
    if len(begin) < 2:
        return np.full(len(tp), -1.0)
    recall = wilson(pooled(tp, begin), pooled(support, begin))
    low = np.where((begin < told_apart[:, None]) | np.isnan(recall.low), 0.0, recall.low)
    high = np.where(np.isnan(recall.high), 1.0, recall.high)
    fall: Numbers = (np.maximum.accumulate(low, axis=1)[:, :-1] - high[:, 1:]).max(axis=1)
    return fall


def _sudden(own: Evaluations, doubt: float) -> Numbers:
    """The largest certified fall from one evaluation to one of the next ``WITHIN``."""
    classes, count = own.hits.shape
    low, high = quick_ends(own.hits, own.seen, doubt)
    low[own.early] = 0.0
    row, deepest = np.arange(classes), np.full(classes, -1.0)
    first, then = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    for apart in range(1, min(WITHIN, count - 1) + 1):
        fall = low[:, :-apart] - high[:, apart:]
        at = fall.argmax(axis=1)
        deeper = fall[row, at] > deepest
        deepest[deeper], first[deeper], then[deeper] = fall[row, at][deeper], at[deeper], at[deeper] + apart
    level = least(own.hits[row, first], own.seen[row, first], doubt)
    top = most(own.hits[row, then], own.seen[row, then], doubt)
    return np.where(deepest > 0, np.maximum(level - top, 0.0), 0.0)
