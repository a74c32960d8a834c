"""The confusion matrix of a window: rows are the true class, columns the predicted one, entries whole counts."""

from __future__ import annotations

from dataclasses import dataclass

from epochscope_server.analysis.rates import Whole


@dataclass(frozen=True)
class Cells:
    """Confusion counts step by step, sparse: four int64 columns of one length, in any order of steps."""

    step: Whole
    true: Whole
    predicted: Whole
    count: Whole


@dataclass(frozen=True)
class Confusion:
    """``counts[i, j]``: how often true class i was predicted as j in steps ``[start, stop)``; int64 [N, N].

    ``epoch`` is set where the window is an epoch (or the validation pass after it).
    """

    split: str
    class_names: tuple[str, ...]
    start: int
    stop: int
    counts: Whole
    epoch: int | None = None
