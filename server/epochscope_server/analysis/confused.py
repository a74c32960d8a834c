"""The largest confusions of a window, of few classes or very many: which was taken for which, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from epochscope_server.analysis import rates
from epochscope_server.analysis.confusion import Confusion
from epochscope_server.analysis.rates import Numbers, Rate, Whole


@dataclass(frozen=True)
class Confused:
    """Confusions, the largest first, as columns int64 [M]: ``count`` of ``of`` samples of class ``true`` were taken
    for ``predicted``, which was said ``called`` times.

    ``total`` predictions were made in all, ``right`` of them right; ``different`` pairs of classes were asked for and
    confused, of which the M largest are here.
    """

    true: Whole
    predicted: Whole
    count: Whole
    of: Whole
    called: Whole
    total: int
    right: int
    different: int

    @property
    def wrong(self) -> int:
        return self.total - self.right

    @cached_property
    def share(self) -> Rate:
        """Of the true class, with its 95 % Wilson interval."""
        return rates.wilson(self.count, self.of)

    @cached_property
    def covered(self) -> Numbers:
        """The share of all that was wrong which each confusion and those before it make up."""
        return np.cumsum(self.count) / max(self.wrong, 1)


def largest(
    true: Whole,
    predicted: Whole,
    count: Whole,
    names: Sequence[str],
    most: int,
    find: str = "",
    only: tuple[int | None, int | None] = (None, None),
) -> Confused:
    """The ``most`` largest confusions; of equals the one of the lower true class, then predicted one, comes first.

    Args:
        true, predicted, count: the cells of a matrix that are not 0, int64 columns of one length, each cell once.
        find: words that must each occur in the name of the true or of the predicted class, in any case.
        only: this true class, and this predicted one, where they are named.
    """
    of = np.bincount(true, count, len(names)).astype(np.int64)
    called = np.bincount(predicted, count, len(names)).astype(np.int64)
    off = true != predicted
    total, right = int(count.sum()), int(count[~off].sum())
    for column, index in zip((true, predicted), only, strict=True):
        if index is not None:
            off &= column == index
    off &= _matching(true, predicted, names, find)
    true, predicted, count = true[off], predicted[off], count[off]
    first = np.lexsort((predicted, true, -count))[:most]
    return Confused(
        true[first], predicted[first], count[first], of[true[first]], called[predicted[first]], total, right, len(count)
    )


def of_matrix(confusion: Confusion, most: int) -> Confused:
    """The ``most`` largest confusions of a whole matrix."""
    true, predicted = np.nonzero(confusion.counts)
    return largest(true, predicted, confusion.counts[true, predicted], confusion.class_names, most)


def _matching(true: Whole, predicted: Whole, names: Sequence[str], find: str) -> NDArray[np.bool_]:
    known = np.ones(len(true), bool)
    folded = [name.casefold() for name in names]
    for word in find.casefold().split():
        named = np.array([word in name for name in folded], bool)
        known &= named[true] | named[predicted]
    return known
