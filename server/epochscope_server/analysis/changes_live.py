"""Falls of a class seen while it is trained: a CUSUM of each class's hits and misses, with a bound on false alarms.

For each class and two sizes of fall d (10 and 30 points) a sum is carried on from update to update,

    S <- max(0, S + k ln(p1 / p0) + (n - k) ln((1 - p1) / (1 - p0))),      p1 = p0 - d (at least p0 / 3)

k recognised of n seen, and an alarm is raised where S > h. p0 is the best recall that the class surely has had: a bound
from below (``sure``) on 100, 200, 400 ... samples in a row. For a class that goes on rising or stands still p >= p0, so
its likelihood ratio does not grow in the mean, and by Ville's inequality for each update at which a sum may have begun

    P(any false alarm in N classes and T updates) <= a    for  h = ln(4 N T / a)  and bounds that err with a / 2 in all

with T (T + 1) for T where it is not known beforehand: a = 0.05 for the whole training, however often it is looked at.
After an alarm p0 stands still, and the mirrored sum tells when the class has surely left the lower level. An alarm is
dated to where its sum last was 0.

Sources: E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954), 100-115; J. Ville, "Étude critique de la
notion de collectif", 1939 (the bound).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epochscope_server.analysis.evaluations import APART
from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.analysis.sure import least, quick_ends

DOUBT = 0.05  # of any false alarm
FALLS = np.array([[0.1], [0.3]])
REFERENCE = 100  # samples of a class in the shortest stretch that its best is taken from
LENGTHS = 16  # of stretches: so often that is doubled
WORTH = 0.002  # a best that rises by less is not looked for


@dataclass(frozen=True)
class Alarm:
    """Class ``index`` fell below ``best``, which its recall surely had reached.

    ``since`` is about the first step of the fall, ``found`` the step at which it was certain. Since then ``hits`` of
    ``seen`` members were recognised, up to step ``back``, where it had surely left that level; None: it has not.
    """

    index: int
    since: int
    found: int
    best: float
    hits: int
    seen: int
    back: int | None = None


class Watch:
    """Watches N classes; give it the counts of each update as they come, in order.

    Args:
        classes: N.
        updates: how many there will be at most; None where nobody knows.
    """

    def __init__(self, classes: int, updates: int | None = None) -> None:
        self.over: list[Alarm] = []  # alarms that have ended, in the order in which they did
        self._classes, self._updates, self._count = classes, updates, 0
        self._best = np.zeros(classes)
        # For each size of fall the sum, where it began, and what was counted since.
        self._sum = np.zeros((2, classes))
        self._since, self._hits, self._seen = (np.zeros((2, classes), np.int64) for _ in range(3))
        # Of a class whose alarm is on: the size of the fall, when it was found, and the mirrored sum.
        self._on = np.zeros(classes, bool)
        self._size, self._found = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
        self._up = np.zeros(classes)
        # Hits, seen, wrongly called and members of others in the stretches that are being filled.
        self._stretch = np.zeros((LENGTHS, 4, classes), np.int64)
        self._looks = np.zeros(classes, np.int64)

    @property
    def on(self) -> list[Alarm]:
        """The alarms that are on."""
        return [self._alarm(int(index)) for index in np.flatnonzero(self._on)]

    def update(
        self, start: int, stop: int, tp: Whole, fp: Whole, support: Whole, others: Whole | None = None
    ) -> list[Alarm]:
        """Take in the counts [N] of steps ``[start, stop)``; answers the alarms that they raise.

        ``others``, members of other classes, tell whether a class is told from them; None where that is not known.
        """
        self._count += 1
        level = np.clip(self._best, 1e-6, 1 - 1e-6)
        low = np.maximum(level - FALLS, level / 3)
        growth = tp * np.log(low / level) + (support - tp) * np.log((1 - low) / (1 - level))
        threshold = self._threshold()
        if self._on.any():
            self._rise(growth, tp, support, stop, threshold)
        raised = self._fall(growth, tp, support, start, stop, threshold)
        self._learn(tp, fp, support, others, threshold)
        return raised

    def _threshold(self) -> float:
        count = self._count
        many = count * (count + 1) if self._updates is None else max(self._updates, count)
        return float(np.log(4 * max(self._classes, 1) * many / DOUBT))

    def _fall(self, growth: Numbers, tp: Whole, support: Whole, start: int, stop: int, threshold: float) -> list[Alarm]:
        free = (self._best > 0) & ~self._on
        begins = free & (self._sum <= 0) & (growth > 0)
        self._since[begins] = start
        self._hits[begins] = self._seen[begins] = 0
        self._sum = np.where(free, np.maximum(self._sum + growth, 0.0), 0.0)
        runs = (self._sum > 0) & free
        self._hits += runs * tp
        self._seen += runs * support
        new = (self._sum > threshold).any(axis=0)
        if not new.any():
            return []
        self._size[new] = self._sum[:, new].argmax(axis=0)
        self._found[new], self._up[new] = stop - 1, 0.0
        self._on |= new
        self._stretch[:, :, new] = 0
        return [self._alarm(int(index)) for index in np.flatnonzero(new)]

    def _rise(self, growth: Numbers, tp: Whole, support: Whole, stop: int, threshold: float) -> None:
        at = np.flatnonzero(self._on)
        size = self._size[at]
        self._hits[size, at] += tp[at]
        self._seen[size, at] += support[at]
        self._up[at] = np.maximum(self._up[at] - growth[size, at], 0.0)
        for index in at[self._up[at] > threshold]:
            self.over.append(self._alarm(int(index), stop - 1))
            self._on[index] = False
            self._sum[:, index] = 0.0

    def _alarm(self, index: int, back: int | None = None) -> Alarm:
        size = self._size[index]
        since, hits, seen = (int(column[size, index]) for column in (self._since, self._hits, self._seen))
        return Alarm(index, since, int(self._found[index]), float(self._best[index]), hits, seen, back)

    def _learn(self, tp: Whole, fp: Whole, support: Whole, others: Whole | None, threshold: float) -> None:
        """Fill the stretches of 100, 200, 400 ... samples; one that is full may raise the best."""
        none = np.zeros_like(tp)
        self._stretch[0] += np.stack([tp, support, none if others is None else fp, none if others is None else others])
        calm = ~self._on & (self._sum.max(axis=0) < threshold / 2)
        for length, stretch in enumerate(self._stretch):
            full = stretch[1] >= REFERENCE << length
            if not full.any():
                break
            self._raise(np.flatnonzero(full & calm), stretch)
            if length + 1 < LENGTHS:
                self._stretch[length + 1][:, full] += stretch[:, full]
            stretch[:, full] = 0

    def _raise(self, at: NDArray[np.intp], stretch: Whole) -> None:
        self._looks[at] += 1
        hits, seen, wrong, others = stretch[:, at]
        doubt = DOUBT / 2 / self._classes / (self._looks[at] * (self._looks[at] + 1.0))
        apart = APART * wrong * seen <= hits * np.where(others > 0, others, 1)
        # A quick bound says which stretches may raise the best, one that holds says by how much.
        quick = quick_ends(hits, seen, doubt)[0]
        may = apart & (quick > self._best[at] + WORTH)
        if may.any():
            self._best[at[may]] = np.maximum(self._best[at[may]], least(hits[may], seen[may], doubt[may]))
