"""Training beside validation at the same weights, class by class.

The recall of a training epoch is gathered while the weights change; validation is measured afterwards, half an epoch of
learning later in the mean, and may look better for that alone. So only the last steps before the validation pass are
set beside it: as many as hold as many samples as the pass, but no more than a tenth of the epoch. The gap is training
minus validation with Newcombe's interval; q is its false discovery rate over the classes.

What stays different: training counts are taken while dropout and augmentation are on, each step before its update, and
on samples that the model has been fitted to.
"""

from __future__ import annotations

import numpy as np

from epochscope_server.analysis.compare import REAL, Difference

MOST = 0.1  # of an epoch: within so little the weights hardly change


def last_stretch(start: int, stop: int, seen: int, wanted: int) -> tuple[int, int]:
    """The last steps of the epoch ``[start, stop)``, half-open, that stand for its end.

    Args:
        start, stop: steps of the training epoch.
        seen: samples counted in it.
        wanted: samples counted in the validation pass.
    """
    steps = stop - start
    enough = -(-wanted * steps // max(seen, 1))
    return stop - min(max(min(enough, int(MOST * steps)), 1), steps), stop


def verdicts(gap: Difference) -> tuple[str, ...]:
    """Of training minus validation, class by class: "overfits" (surely better in training), "better in validation",
    "no difference seen" or "unknown" (not seen in one of them).
    """
    return tuple(
        "unknown" if not np.isfinite(value) else "no difference seen" if q > REAL
        else "overfits" if value > 0 else "better in validation"
        for value, q in zip(gap.difference.value, gap.q, strict=True)
    )  # fmt: skip
