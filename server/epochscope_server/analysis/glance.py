"""A run at a glance: the course of its macro F1 in a few points, its worst class now, and the deepest sure fall."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.drop import drops
from epochscope_server.analysis.rates import Numbers
from epochscope_server.analysis.segments import cuts

POINTS = 32  # of the course: as many as can be told apart in a cell of a table


@dataclass(frozen=True)
class OfClass:
    """A number of one class."""

    class_name: str
    value: float


@dataclass(frozen=True)
class Glance:
    """``macro_f1``: the course in time, None where no class occurred; ``worst``: the F1 of the worst class at its end.

    ``drop``: the largest certified drop of recall in training, None where no class surely fell.
    """

    split: str
    macro_f1: list[float | None]
    worst: OfClass | None
    drop: OfClass | None


def glance(course: ClassCurves, training: ClassCurves, *, labels: bool = False) -> Glance:
    """What a list shows of a run.

    Args:
        course: the windows of macro F1: passes of validation, or stretches of training where there are none.
        training: all of training, cut as for its stability.
        labels: a sample may have several classes.
    """
    seen, f1 = course.support > 0, np.where(course.support > 0, np.nan_to_num(course.f1.value), np.nan)
    occurred = seen.sum(axis=0)
    macro = np.where(occurred > 0, np.nansum(f1, axis=0) / np.maximum(occurred, 1), np.nan)
    worst = None
    if seen.shape[1] and seen[:, -1].any():
        index = int(np.nanargmin(f1[:, -1]))
        worst = OfClass(course.class_names[index], float(f1[index, -1]))
    values = [None if np.isnan(value) else round(float(value), 4) for value in thinned(macro)]
    return Glance(course.split, values, worst, _drop(training, labels))


def thinned(course: Numbers) -> Numbers:
    """At most POINTS of a course: of each stretch the least and the greatest value, in time; the last one stays."""
    if len(course) <= POINTS:
        return course
    edges = np.linspace(0, len(course) - 1, POINTS // 2).astype(int)
    kept = {len(course) - 1}
    for begin, end in pairwise(edges):
        part = course[begin:end]
        if not np.isnan(part).all():
            kept |= {int(begin + np.nanargmin(part)), int(begin + np.nanargmax(part))}
    return course[sorted(kept)]


def _drop(training: ClassCurves, labels: bool) -> OfClass | None:
    seen = training.support
    if not seen.size:
        return None
    others = None if labels else seen.sum(axis=0) - seen
    fallen = drops(training.tp, training.fp, seen, others, cuts(training.tp, seen)).drop
    index = int(fallen.argmax())
    return OfClass(training.class_names[index], float(fallen[index])) if fallen[index] > 0 else None
