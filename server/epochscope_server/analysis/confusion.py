"""The confusion matrix of a window: rows are the true class, columns the predicted one, entries whole counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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


def of_label(cells: Cells, label: int) -> Cells:
    """The counts of one label of an output whose samples may have several: class 0 is no, 1 is yes."""
    chosen = cells.true // 2 == label
    return Cells(cells.step[chosen], cells.true[chosen] % 2, cells.predicted[chosen] % 2, cells.count[chosen])


def matrix(cells: Cells, classes: int, start: int, stop: int) -> Whole:
    """The exact confusion matrix of steps ``[start, stop)``, int64 [classes, classes]."""
    inside = (cells.step >= start) & (cells.step < stop)
    flat = np.bincount(
        cells.true[inside] * classes + cells.predicted[inside],
        weights=cells.count[inside],
        minlength=classes * classes,
    )
    return flat.reshape(classes, classes).astype(np.int64)  # exact: float64 counts to 2^53
