"""How far each class surely fell below its own best, whether it came back, and what is forgotten at the end.

Over all windows s before t, of every length 1, 2, 4, 8 ... (a short collapse fills a short window, a slight loss shows
in a long one only):

    certified drop = max over t of ( max over s before t of least(s) - most(t) ), never below 0

``least`` and ``most`` are bounds on the true recall that hold for all windows of all classes at once but for a doubt
of 5 % (``sure``), so in 19 of 20 trainings no class in which nothing changed has a certified drop above 0. Forgetting
is the same with t from the last change on: what was lost and is still missing. Windowed forgetting is the same between
two of ten neighbouring evaluations: what was lost suddenly.

Only once a class is told from others does its best count: after the first evaluation in which it is called for its own
members at least twice as often as for those of other classes. A model that has learnt nothing calls everything by one
name; that this name's recall is 1 at first is no achievement from which it could fall.

Sources: A. Chaudhry et al., "Riemannian walk for incremental learning", ECCV 2018 (forgetting: best so far minus
now); M. De Lange, G. van de Ven, T. Tuytelaars, "Continual evaluation for lifelong learning", ICLR 2023 (windowed
forgetting). Both take single measurements at their word, so that a class of recall 0.85 in which nothing happens
"forgets" 0.5 in batches of 128; the bounds are what is added here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from epochscope_server.analysis.blocks import summed
from epochscope_server.analysis.evaluations import MOST, SAMPLES, Evaluations, evaluations
from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.analysis.sure import least, most, quick_ends

DOUBT = 0.05  # of all windows of all classes together
WITHIN = 10  # evaluations within which windowed forgetting looks
_CHUNK = 40_000  # values that are worked on at once, so that they stay in the processor's cache


@dataclass(frozen=True)
class Drops:
    """Per class, arrays [N]; places are indices into the windows of the input, [start, stop), 0 where nothing fell.

    ``drop`` float64: the certified drop; ``margin`` float64: about the same, but below 0 where nothing is certain, so
    that classes of drop 0 have an order, too; ``best_start``, ``best_stop``: the window it fell from; ``start``,
    ``stop``: the window in which it was lowest; ``fell``, ``back``: where it left the level that it surely had, and
    where it was seen at it again (-1: not yet), as precisely as windows of that length tell; ``forgetting`` float64:
    what is missing at the end; ``sudden`` float64: windowed forgetting; ``learnt``: the window by which it had been
    learnt (-1: not yet), the end of the first two evaluations in a row at nine tenths or more of the best that it
    surely had; ``told_apart``: the window from which on it is told from others (the number of windows: not yet).
    """

    drop: Numbers
    margin: Numbers
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


def drops(tp: Whole, fp: Whole, support: Whole, others: Whole | None = None, *, since: Whole | None = None) -> Drops:
    """The drops of each class.

    Args:
        tp, fp, support: int64 [N, P], of consecutive windows: recognised, called wrongly, seen.
        others: int64 [N, P], members of other classes, which tell a class that is told apart from one that everything
            is called; None where that is not known (several labels a sample).
    """
    classes, windows = tp.shape
    # About two windows for each that is not empty, the evaluations, and the window up to the end; two bounds of each.
    evaluated = np.minimum(support.sum(axis=1) // SAMPLES, MOST) + 2
    doubt = DOUBT / max(4 * int(np.count_nonzero(support)) + 2 * int(evaluated.sum()), 1)
    rows = max(_CHUNK // max(windows, 1), 1)
    if since is None:
        since = np.zeros(classes, np.int64)
    parts = []
    for at in range(0, max(classes, 1), rows):
        of = slice(at, at + rows)
        parts.append(_drops(tp[of], fp[of], support[of], None if others is None else others[of], since[of], doubt))
    return Drops(**{one.name: np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Drops)})


def _drops(tp: Whole, fp: Whole, support: Whole, others: Whole | None, since: Whole, doubt: float) -> Drops:
    classes, windows = tp.shape
    row = np.arange(classes)
    if not classes or not windows:
        nothing, nowhere = np.zeros(classes), np.zeros(classes, np.int64)
        return Drops(
            drop=nothing, margin=nothing, best_start=nowhere, best_stop=nowhere, start=nowhere, stop=nowhere,
            fell=nowhere, back=nowhere, forgetting=nothing, sudden=nothing, learnt=nowhere - 1, told_apart=nowhere,
        )  # fmt: skip
    own = evaluations(tp, fp, support, others)
    sums = _Sums(summed(tp).astype(np.float64), summed(support).astype(np.float64))

    best, length, highs = np.zeros((classes, windows + 1)), np.zeros((classes, windows + 1), np.int64), []
    for size, begin, hits, seen in sums.windows():
        low, high = quick_ends(hits, seen, doubt)
        low[begin < own.told_apart[:, None]] = 0.0
        highs.append((size, begin, high))
        end = slice(size, windows + 1, size)
        better = low > best[:, end]
        best[:, end][better], length[:, end][better] = low[better], size
    best, record = _running(best)

    found = _Deepest(classes)
    for size, begin, high in highs:
        found.take(best[:, begin] - high, begin, begin + size)
    best_stop = record[row, found.start]
    best_start = best_stop - length[row, best_stop]
    # The windows were found by a quick bound; what is said of them is said by one that holds.
    level = least(*sums.between(best_start, best_stop), doubt)
    drop = np.maximum(level - most(*sums.between(found.start, found.stop), doubt), 0.0)
    fallen = drop > 0
    fell, back = _way_back(sums, level, found, fallen)

    since = np.minimum(since, windows)
    last_stop = record[row, since]
    had = least(*sums.between(last_stop - length[row, last_stop], last_stop), doubt)
    has = most(*sums.between(since, np.full(classes, windows)), doubt)
    return Drops(
        drop=drop,
        margin=found.depth,
        best_start=np.where(fallen, best_start, 0),
        best_stop=np.where(fallen, best_stop, 0),
        start=np.where(fallen, found.start, 0),
        stop=np.where(fallen, found.stop, 0),
        fell=np.where(fallen, fell, 0),
        back=np.where(fallen, back, 0),
        forgetting=np.maximum(had - has, 0.0),
        sudden=_sudden(own, doubt),
        learnt=own.reached(best[:, -1]),
        told_apart=own.told_apart,
    )


@dataclass(frozen=True)
class _Sums:
    """Running sums [N, P + 1] of what was recognised and what was seen."""

    hits: Numbers
    seen: Numbers

    def windows(self) -> Iterator[tuple[int, Whole, Numbers, Numbers]]:
        """Length, begins [W] and counts [N, W] of the windows of lengths 1, 2, 4 ..., side by side from the first."""
        windows, size = self.hits.shape[1] - 1, 1
        while size <= windows:
            hits, seen = (np.diff(sums[:, ::size], axis=1) for sums in (self.hits, self.seen))
            yield size, np.arange(0, windows - size + 1, size), hits, seen
            size *= 2

    def between(self, start: Whole, stop: Whole) -> tuple[Numbers, Numbers]:
        """Counts of one window a class."""
        row = np.arange(len(self.hits))
        return self.hits[row, stop] - self.hits[row, start], self.seen[row, stop] - self.seen[row, start]


class _Deepest:
    """The deepest fall of each class that has been seen, and the window [start, stop) at its bottom."""

    def __init__(self, classes: int) -> None:
        self.depth = np.full(classes, -1.0)
        self.start, self.stop = np.zeros(classes, np.int64), np.zeros(classes, np.int64)

    def take(self, fall: Numbers, start: Whole, stop: Whole) -> None:
        at = fall.argmax(axis=1)
        value = fall[np.arange(len(fall)), at]
        deeper = value > self.depth
        self.depth[deeper], self.start[deeper], self.stop[deeper] = value[deeper], start[at[deeper]], stop[at[deeper]]


def _running(best: Numbers) -> tuple[Numbers, Whole]:
    """The largest so far, and where it stands; both [N, P + 1]."""
    so_far = np.maximum.accumulate(best, axis=1)
    new = best[:, 1:] > so_far[:, :-1]
    place = np.zeros(best.shape, np.int64)
    place[:, 1:] = np.where(new, np.arange(1, best.shape[1]), 0)
    return so_far, np.maximum.accumulate(place, axis=1)


def _way_back(sums: _Sums, level: Numbers, found: _Deepest, fallen: NDArray[np.bool_]) -> tuple[Whole, Whole]:
    """Where the class left its level before the lowest window, and reached it after; in windows as long as that one."""
    fell, back = np.zeros_like(found.start), np.full_like(found.start, -1)
    for row in np.flatnonzero(fallen):
        size = int(found.stop[row] - found.start[row])
        edge = np.arange(found.start[row] % size, sums.hits.shape[1], size)
        hits, seen = np.diff(sums.hits[row, edge]), np.diff(sums.seen[row, edge])
        good = (seen > 0) & (hits >= level[row] * seen)
        here = int(found.start[row] - edge[0]) // size
        before, after = np.flatnonzero(good[:here]), np.flatnonzero(good[here + 1 :])
        fell[row] = edge[before[-1] + 1] if len(before) else edge[0]
        if len(after):
            back[row] = edge[here + 1 + after[0]]
    return fell, back


def _sudden(own: Evaluations, doubt: float) -> Numbers:
    """The largest certified fall from one evaluation to one of the next ``WITHIN``."""
    classes, count = own.hits.shape
    low, high = quick_ends(own.hits, own.seen, doubt)
    low[own.early] = 0.0
    found, first = _Deepest(classes), np.zeros(classes, np.int64)
    for apart in range(1, min(WITHIN, count - 1) + 1):
        before = found.depth.copy()
        found.take(low[:, :-apart] - high[:, apart:], np.arange(apart, count), np.arange(apart, count))
        first = np.where(found.depth > before, found.start - apart, first)
    row = np.arange(classes)
    level = least(own.hits[row, first], own.seen[row, first], doubt)
    fall = level - most(own.hits[row, found.start], own.seen[row, found.start], doubt)
    return np.where(found.depth > 0, np.maximum(fall, 0.0), 0.0)
