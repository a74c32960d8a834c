"""Everything that a run's counts say about the stability of its classes, put together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochscope_server.analysis.blocks import edges, pooled
from epochscope_server.analysis.changes import Change, changes
from epochscope_server.analysis.changes_live import Watch
from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.drop import Drops, drops
from epochscope_server.analysis.instability import Instability, instability
from epochscope_server.analysis.rates import Rate, Whole, recall
from epochscope_server.analysis.segments import cuts

WATCHED = 128  # updates that a watch over a whole run is given


@dataclass(frozen=True)
class Stability:
    """Of N classes: ``recall`` of the whole window [N], and what each part of the analysis says.

    ``changes`` are ordered by class and time; places in ``drops`` are windows of ``curves``.
    """

    curves: ClassCurves
    recall: Rate
    instability: Instability
    drops: Drops
    changes: list[Change]

    @property
    def order(self) -> Whole:
        """Classes from the largest likely drop to the least, int64 [N]; classes not seen last."""
        seen = self.curves.support.sum(axis=1) > 0
        return np.lexsort((-self.drops.likely, ~seen)).astype(np.int64)


def windows_for(classes: int) -> int:
    """Into how many windows a run is best cut for this analysis: as fine as a tenth of a second allows."""
    return max(64, min(2000, int(7_000 / np.sqrt(max(classes, 1)))))


def stability(curves: ClassCurves, *, labels: bool = False) -> Stability:
    """Analyse the classes of ``curves``; ``labels``: a sample may have several, so nobody knows who was not meant."""
    seen = curves.support
    cut = cuts(curves.tp, seen)
    found = drops(curves.tp, curves.fp, seen, None if labels else seen.sum(axis=0) - seen, cut)
    return Stability(
        curves,
        recall(curves.tp.sum(axis=1), curves.fn.sum(axis=1)),
        instability(curves.tp, seen),
        found,
        changes(curves.tp, seen, curves.start, curves.stop, cut, found.told_apart),
    )


def watched(curves: ClassCurves, *, labels: bool = False) -> Watch:
    """What a watch (``changes_live``) says that was given these counts one after another."""
    classes, windows = curves.tp.shape
    begin = edges(windows, -(-windows // WATCHED) or 1)
    tp, fp, seen = (pooled(counts, begin) for counts in (curves.tp, curves.fp, curves.support))
    start, stop = curves.start[begin], curves.stop[np.append(begin[1:], windows) - 1] if windows else curves.stop
    watch = Watch(classes)
    for at in range(len(begin)):
        others = None if labels else seen[:, at].sum() - seen[:, at]
        watch.update(int(start[at]), int(stop[at]), tp[:, at], fp[:, at], seen[:, at], others)
    return watch
