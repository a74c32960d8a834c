"""The order in which classes stand beside a matrix: by name, support, error, or the similar ones next to each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from epochscope_server.analysis.rates import Whole

ORDERS = ("index", "name", "support", "error", "similar")


def ordered(counts: Whole, names: Sequence[str], by: str) -> Whole:
    """The indices of the classes, int64 [N], as they shall stand; where two are alike, the lower index comes first.

    Args:
        counts: int64 [N, N], rows are the true class.
        by: "index"; "name", numbers in it as numbers; "support", the most seen first; "error", the largest share of
            its samples missed first, and what was never seen last; "similar", see ``seriated``.
    """
    if by == "name":
        return np.array(sorted(range(len(names)), key=lambda index: (_natural(names[index]), index)), np.int64)
    if by == "similar":
        return seriated(counts)
    seen = counts.sum(axis=1)
    if by == "support":
        return np.argsort(-seen, kind="stable")
    if by == "error":
        missed = np.where(seen > 0, (seen - counts.diagonal()) / np.maximum(seen, 1), -1.0)
        return np.argsort(-missed, kind="stable")
    return np.arange(len(names))


def seriated(counts: Whole) -> Whole:
    """Classes that are taken for each other next to each other: the leaves of a tree of average linkage, int64 [N].

    Two classes are as similar as the mean share of each that was taken for the other. Of a branch and its
    mirror image the one is taken whose neighbouring ends are more similar.

    Source: the chain of nearest neighbours of F. Murtagh, "A survey of recent advances in hierarchical clustering
    algorithms", The Computer Journal 26 (1983), 354-359.
    """
    classes = len(counts)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    alike = (share + share.T) / 2
    near = alike.copy()
    np.fill_diagonal(near, -1)
    branches: dict[int, list[int]] = {index: [index] for index in range(classes)}
    chain: list[int] = []
    while len(branches) > 1:
        if not chain:
            chain.append(next(iter(branches)))
        here = chain[-1]
        best = int(near[here].argmax())
        if len(chain) > 1 and near[here, chain[-2]] >= near[here, best]:  # equals must not send the chain in a circle
            best = chain[-2]
        if len(chain) == 1 or best != chain[-2]:
            chain.append(best)
            continue
        del chain[-2:]
        kept, gone = min(here, best), max(here, best)
        sizes = len(branches[kept]), len(branches[gone])
        near[kept] = (sizes[0] * near[kept] + sizes[1] * near[gone]) / sum(sizes)
        near[:, kept] = near[kept]
        near[gone], near[:, gone], near[kept, kept] = -1, -1, -1
        branches[kept] = _joined(branches[kept], branches.pop(gone), alike)
    (leaves,) = branches.values() if branches else ([],)
    return np.array(leaves if not leaves or leaves[0] <= leaves[-1] else leaves[::-1], np.int64)


def _joined(first: list[int], second: list[int], alike: Any) -> list[int]:
    ways = [(first, second), (first, second[::-1]), (first[::-1], second), (first[::-1], second[::-1])]
    one, other = max(ways, key=lambda way: alike[way[0][-1], way[1][0]])  # of equals the first, nothing turned
    return one + other


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A name in parts that compare as a reader expects: kind 2 before kind 10."""
    parts = re.findall(r"[0-9]{1,15}|[^0-9]+|[0-9]+", name.casefold())
    return [(0, int(part), "") if part.isdecimal() and len(part) <= 15 else (1, 0, part) for part in parts]
