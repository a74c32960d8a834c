"""When a rate of a class is surely below a level that somebody named: window by window, with a bound on false alarms.

A window says so where even the highest true rate that its counts leave possible lies below the level (``sure.most``).
The doubt of 5 % is shared out among all classes, and among the windows as 1/2, 1/6, 1/12 ... of it, so that it holds
however long the training goes on: of 20 trainings in which every class is at its level or above, at most one is
accused. It is over at the first window whose rate itself is back at the level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochscope_server.analysis.rates import Whole
from epochscope_server.analysis.sure import most

DOUBT = 0.05


@dataclass(frozen=True)
class Below:
    """Class ``index`` is surely below since window ``place``, with ``hits`` of ``trials`` there; ``back`` is the window
    in which it was at the level again, -1: not yet."""

    index: int
    place: int
    back: int
    hits: int
    trials: int


def below(hits: Whole, trials: Whole, at: float) -> list[Below]:
    """Every time at which a class was surely below ``at``, by class and time.

    Args:
        hits, trials: int64 [N, P], of P windows in order; windows that come later change nothing that was said.
        at: the level.
    """
    classes, windows = hits.shape
    place = np.arange(1, windows + 1)
    doubt = np.broadcast_to(DOUBT / max(classes, 1) / (place * (place + 1.0)), hits.shape)
    surely = most(hits, trials, doubt) < at
    again = (trials > 0) & (hits >= at * trials)
    found = []
    for index in np.flatnonzero(surely.any(axis=1)).tolist():
        following = 0
        while following < windows and surely[index, following:].any():
            start = following + int(surely[index, following:].argmax())
            later = again[index, start + 1 :]
            back = start + 1 + int(later.argmax()) if later.any() else -1
            found.append(Below(index, start, back, int(hits[index, start]), int(trials[index, start])))
            following = back if back >= 0 else windows
    return found
