"""Changes of a class's recall that noise does not explain: when, from what to what, taken for what, and what else.

A cut (``segments``) is a drop or a rise. A learning curve is a ramp, which is cut into stairs; stairs that belong
together are one change, which then lasts from the first to the last of them:

* rises of a class that is at its best so far are its **learning**;
* rises of a class that is below it are its **recovery**;
* **drops** that follow each other faster than the stretch before them lasted are one.

A fall before the class was ever told from others (``drop``) is part of learning, too: the model stops calling
everything by its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from epochscope_server.analysis.blocks import summed
from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.analysis.segments import Cuts

SHIFT = 1.5  # times: by so much a class's share of the samples must change to be worth a word
SURE = 5.0  # standard errors, since of many classes and changes
ENOUGH = 400  # samples of a class that tell what it is taken for


@dataclass(frozen=True)
class Stretch:
    """Steps ``[start, stop)`` in which ``hits`` of ``seen`` members of the class were recognised."""

    start: int
    stop: int
    hits: int
    seen: int


@dataclass(frozen=True)
class Event:
    """Something that happened to the training at ``step``: ``what`` is "epoch", "learning_rate" or "class_weight"."""

    step: int
    what: str
    says: str


@dataclass(frozen=True)
class Share:
    """A class's share of all samples, before and after."""

    index: int
    before: float
    after: float


@dataclass(frozen=True)
class Change:
    """A change of the recall of class ``index``; its first step at the new level is one of ``[start, stop)``.

    ``at`` is the likeliest step, of the largest stair where there are several; ``kind`` "drop", "recovery" or
    "learning"; ``rises`` its direction; ``gain`` how sure it is, twice the log-likelihood ratio. ``unseen``: the class
    did not occur in [start, stop), though it should have. ``taken_for``: the class whose share of this class's members
    grew most (for a rise: shrank most). ``shifted``: classes whose share of the samples changed with it. ``near``: what
    happened at that time.
    """

    index: int
    kind: str
    rises: bool
    start: int
    stop: int
    at: int
    gain: float
    before: Stretch
    after: Stretch
    unseen: bool = False
    taken_for: int | None = None
    shifted: tuple[Share, ...] = ()
    near: tuple[Event, ...] = ()

    @property
    def mix_explains(self) -> bool:
        """Whether the class itself, or what it was taken for, had another share of the samples before than after."""
        return any(share.index in (self.index, self.taken_for) for share in self.shifted)


def changes(tp: Whole, support: Whole, start: Whole, stop: Whole, found: Cuts, told_apart: Whole) -> list[Change]:
    """The changes of all classes, ordered by class and time.

    Args:
        tp, support: int64 [N, P], of consecutive windows [start, stop), int64 [P].
        found: the cuts of these windows.
        told_apart: int64 [N], the window from which on each class is told from others.
    """
    if not len(found.row):
        return []
    hits, seen = summed(tp), summed(support)
    edge = np.append(start, stop[-1:])
    half = (stop - start) // 2
    begins = np.flatnonzero(np.diff(found.row, prepend=-1))
    listed: list[Change] = []
    for begin, end in zip(begins, np.append(begins[1:], len(found.row)), strict=True):
        row = int(found.row[begin])
        at, first, last = (column[begin:end].tolist() for column in (found.at, found.first, found.last))
        k, m = hits[row], seen[row]
        apart = int(told_apart[row])

        def stretch(a: int, b: int, k: Whole = k, m: Whole = m) -> Stretch:
            return Stretch(int(edge[a]), int(edge[b]), int(k[b] - k[a]), int(m[b] - m[a]))

        for kind, rises, one, other in _stairs(at, k, m, apart):
            largest = max(range(one, other + 1), key=lambda i, b=int(begin): found.gain[b + i])  # type: ignore[misc]
            low, high = int(first[one]), int(last[other])
            # What is certainly before and after; where places are too vague for that, what is likely so.
            left = (last[one - 1] if one else 0, low)
            right = (high, first[other + 1] if other + 1 < len(at) else len(start))
            if left[0] >= left[1] or m[left[1]] == m[left[0]]:
                left = (at[one - 1] if one else 0, at[one])
            if right[0] >= right[1] or m[right[1]] == m[right[0]]:
                right = (at[other], at[other + 1] if other + 1 < len(at) else len(start))
            listed.append(
                Change(
                    row,
                    kind,
                    rises,
                    int(max(start[low] - half[low], start[0])),
                    int(start[high] + half[high] + 1),
                    int(start[at[largest]]),
                    float(found.gain[begin + largest]),
                    stretch(*left),
                    stretch(*right),
                    unseen=bool(high > low and m[high] == m[low] and _missed(m, low, high)),
                )
            )
    return listed


def _stairs(at: list[int], k: Whole, m: Whole, apart: int) -> list[tuple[str, bool, int, int]]:
    """Kind, direction, first and last cut of each change of one class."""
    edges = [0, *at, len(k) - 1]
    rates = [float(k[b] - k[a]) / max(int(m[b] - m[a]), 1) for a, b in pairwise(edges)]
    best, made = rates[0], list[tuple[str, bool, int, int]]()
    for i, place in enumerate(at):
        before, after = rates[i], rates[i + 1]
        rises = after > before
        if place <= apart:
            kind, best = "learning", after
        elif rises:
            kind = "learning" if before >= best else "recovery"
        else:
            kind = "drop"
        best = max(best, after)
        if made and made[-1][:2] == (kind, rises):
            first = made[-1][2]
            if kind != "drop" or place - at[i - 1] < at[first] - edges[first]:
                made[-1] = (kind, rises, first, i)
                continue
        made.append((kind, rises, i, i))
    return made


def _missed(m: Whole, low: int, high: int) -> bool:
    """Whether a class that was not seen in windows [low, high) would have been, at its usual share."""
    return int(m[-1]) * (high - low) >= 10 * (len(m) - 1)


def deciding(change: Change) -> tuple[tuple[int, int], tuple[int, int]]:
    """The steps next to a change, on both sides, that hold enough of its class to tell what it is taken for."""
    before, after = change.before, change.after
    left = before.start if before.seen <= ENOUGH else before.stop - _part(before)
    right = after.stop if after.seen <= ENOUGH else after.start + _part(after)
    return (min(left, before.stop - 1), before.stop), (after.start, max(right, after.start + 1))


def _part(stretch: Stretch) -> int:
    return -(-(stretch.stop - stretch.start) * ENOUGH // stretch.seen)


def explained(change: Change, before: Whole, after: Whole) -> Change:
    """``change`` with what the class was taken for, and which classes' shares of the samples changed.

    Args:
        before, after: confusion counts [N, N] of the steps ``deciding`` names, rows the true class.
    """
    own = [counts[change.index].astype(np.float64) for counts in (before, after)]
    taken_for = None
    if own[0].sum() and own[1].sum():
        grown = (own[1] / own[1].sum() - own[0] / own[0].sum()) * (-1 if change.rises else 1)
        grown[change.index] = 0.0
        taken_for = int(grown.argmax()) if grown.max() > 0 else None
    return replace(change, taken_for=taken_for, shifted=shifted(before.sum(axis=1), after.sum(axis=1)))


def shifted(before: Whole, after: Whole) -> tuple[Share, ...]:
    """Classes whose share of all samples differs by ``SHIFT`` times and more than chance, the largest shift first.

    Args:
        before, after: samples seen of each class, int64 [N].
    """
    a, b = int(before.sum()), int(after.sum())
    if not a or not b:
        return ()
    p, q = before / a, after / b
    both = (before + after) / (a + b)
    error = np.sqrt(both * (1 - both) * (1 / a + 1 / b))
    sure = (np.abs(q - p) > SURE * error) & (np.maximum(p, q) >= SHIFT * np.minimum(p, q))
    order = np.flatnonzero(sure)[np.argsort(-np.abs(q - p)[sure], kind="stable")]
    return tuple(Share(int(index), float(p[index]), float(q[index])) for index in order[:3])


def near(change: Change, events: Iterable[Event], margin: int) -> Change:
    """``change`` with the events of the steps in which it took place, ``margin`` steps more on either side."""
    there = tuple(event for event in events if change.start - margin <= event.step < change.stop + margin)
    return replace(change, near=there)


def jumps(steps: Whole, values: Numbers, what: str, name: str, factor: float) -> list[Event]:
    """Events where a recorded number (a learning rate, a class weight) changes by ``factor`` or more at once.

    Args:
        steps, values: int64 and float64 [P], in order of steps.
    """
    old, new = values[:-1], values[1:]
    with np.errstate(invalid="ignore"):
        sudden = (old > 0) & (new > 0) & (np.maximum(old, new) >= factor * np.minimum(old, new))
    return [
        Event(int(steps[at + 1]), what, f"{name} {values[at]:.3g} → {values[at + 1]:.3g}")
        for at in np.flatnonzero(sudden)
    ]
