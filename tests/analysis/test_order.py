"""The order of classes beside a matrix: similar ones are neighbours, as scipy's tree has them."""

from __future__ import annotations

import numpy as np
import pytest
from epochscope_server.analysis.order import ordered, seriated
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform


@pytest.mark.parametrize("classes", [2, 3, 10, 80])
@pytest.mark.parametrize("seed", range(3))
def test_every_branch_of_scipys_tree_of_average_linkage_stands_together(classes: int, seed: int) -> None:
    counts = np.random.default_rng(seed).integers(1, 10**6, (classes, classes))
    share = counts / counts.sum(axis=1, keepdims=True)
    apart = 1 - (share + share.T) / 2
    np.fill_diagonal(apart, 0)
    place = np.argsort(seriated(counts))
    branches = {index: [index] for index in range(classes)}
    for at, (one, other, _, _) in enumerate(linkage(squareform(apart, checks=False), "average")):
        branches[classes + at] = branches[int(one)] + branches[int(other)]
        stands = np.sort(place[branches[classes + at]])
        assert stands[-1] - stands[0] == len(stands) - 1


def test_the_ends_that_meet_are_the_more_similar_ones() -> None:
    counts = np.diag([100] * 4)
    for one, other, count in ((0, 1, 30), (2, 3, 30), (0, 2, 5)):
        counts[one, other] = counts[other, one] = count
    assert seriated(counts).tolist() == [1, 0, 2, 3]


def test_without_confusions_classes_stay_where_they_are() -> None:
    assert seriated(np.diag([3] * 7)).tolist() == list(range(7))
    assert seriated(np.zeros((3, 3), np.int64)).tolist() == [0, 1, 2]
    assert seriated(np.zeros((1, 1), np.int64)).tolist() == [0]


def test_names_support_and_error_order_as_a_reader_expects() -> None:
    counts = np.array([[5, 5, 0, 0], [0, 90, 0, 0], [1, 0, 9, 0], [0, 0, 0, 0]])
    names = ("kind 10", "kind 2", "Art", "zoo")
    assert ordered(counts, names, "index").tolist() == [0, 1, 2, 3]
    assert ordered(counts, names, "name").tolist() == [2, 1, 0, 3]
    assert ordered(counts, names, "support").tolist() == [1, 0, 2, 3]
    assert ordered(counts, names, "error").tolist() == [0, 2, 1, 3]  # what was never seen comes last
