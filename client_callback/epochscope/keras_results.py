"""Recall, precision and F1 of each class over one epoch, as plain floats for History and for other callbacks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Totals:
    """How often each class was there, was said, and was hit, since the last ``clear``."""

    def __init__(self, classes: int) -> None:
        self._true = np.zeros(classes, np.int64)
        self._predicted = np.zeros(classes, np.int64)
        self._hit = np.zeros(classes, np.int64)

    def add(self, codes: NDArray[np.int64], times: NDArray[np.int64] | None = None) -> None:
        """Adds samples: ``codes`` int64 [n], true * classes + predicted; ``times`` int64 [n], how many each stands
        for (1, if left out)."""
        classes = len(self._true)
        true, predicted = np.divmod(codes, classes)
        hit = true == predicted
        hits = None if times is None else times[hit]
        for total, index, weights in (
            (self._true, true, times),
            (self._predicted, predicted, times),
            (self._hit, true[hit], hits),
        ):
            total += np.bincount(index, weights, minlength=classes).astype(np.int64)  # exact: float64 counts to 2^53

    def clear(self) -> None:
        for counts in (self._true, self._predicted, self._hit):
            counts[:] = 0

    def __len__(self) -> int:
        return int(self._true.sum())

    def values(self, class_names: Sequence[str], prefix: str = "") -> tuple[dict[str, float], dict[str, float]]:
        """``recall/<class>``, ``precision/<class>``, ``f1/<class>``; and ``macro_recall``, ``macro_precision``,
        ``macro_f1``, all with ``prefix`` in front.

        With half as many names as classes these are labels: class 2 l says no to label l, 2 l + 1 yes; the values
        are those of yes.

        What is unknown is NaN: the recall of a class that was not there, the precision of one that was never
        said, the F1 of one that was neither. A macro value is the mean over the classes that were there, with 0
        for the precision of one that was never said (as scikit-learn has it); NaN if there was none.
        """
        shown = slice(1, None, 2) if 2 * len(class_names) == len(self._true) else slice(None)
        true, predicted, hit = self._true[shown], self._predicted[shown], self._hit[shown]
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = {"recall": hit / true, "precision": hit / predicted, "f1": 2 * hit / (true + predicted)}
        there = true > 0
        each: dict[str, float] = {}
        macro: dict[str, float] = {}
        for name, values in rates.items():
            each |= {
                f"{prefix}{name}/{label}": value for label, value in zip(class_names, values.tolist(), strict=True)
            }
            known = np.nan_to_num(values[there], nan=0.0)
            macro[f"{prefix}macro_{name}"] = float(known.mean()) if len(known) else float("nan")
        return each, macro
