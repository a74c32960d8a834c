"""Support, false negatives and false positives of each class in many windows, exact to the last count.

Whole buckets come from the marginals, the widest first, what is left at the ends of windows from leaves, and what is
not sealed yet from the tail.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from epochscope_server.analysis.confusion import Cells
from epochscope_server.analysis.rates import Whole
from epochscope_server.store import confusion, pyramid, windows
from epochscope_server.store.blobs import Range, Shelf
from epochscope_server.store.cache import Blocks
from epochscope_server.store.formats import leaf, marginals
from epochscope_server.store.formats.counts import Columns
from epochscope_server.store.schema import count_marginal
from epochscope_server.store.windows import Runs

_BUCKET = 6  # the low bits of a cell of marginals say which of 64 buckets


@dataclass(frozen=True)
class _Part:
    """What one pyramid has of the windows."""

    classes: int
    levels: list[int]
    buckets: list[Runs]
    rows: Shelf[Columns]
    steps: Runs
    leaves: Shelf[Columns | bytes]
    leaf_ranges: list[Range]


@dataclass(frozen=True)
class Curves:
    """All that the sums over windows ``[start, stop)``, int64 [P], are made of."""

    source: confusion.Source
    start: Whole
    stop: Whole
    parts: list[_Part]

    def sums(self, chosen: Whole | None = None) -> tuple[Whole, Whole, Whole]:
        """Support, false negatives, false positives, each int64 [classes, P], of all classes or of those chosen."""
        kept = np.arange(self.source.classes) if chosen is None else chosen
        line = np.full(self.source.classes, -1)
        line[kept] = np.arange(len(kept))
        found = np.zeros((3, len(kept), len(self.start)), np.int64)
        empty = np.ones(len(self.start), bool)  # the windows of which nothing was found yet
        for part in self.parts:
            for level, runs in zip(part.levels, part.buckets, strict=True):
                _add_rows(found, empty, part, level, runs, line[: part.classes])
            for cells in leaf.decode_some(_leaves(part)):
                _add_cells(found, cells, part.steps, line)
            empty[:] = False
        every = Runs(self.start, self.stop, np.arange(len(self.start)))
        if len(self.start):
            waiting = self.source.waiting(int(self.start.min()), int(self.stop.max()))
            _add_cells(found, waiting, every, line)
        return found[0], found[1], found[2]


def fetch(
    connection: sa.Connection,
    blocks: Blocks,
    run: Mapping[str, Any],
    output_id: int,
    split: str,
    start: Whole,
    stop: Whole,
) -> Curves:
    """What the sums over windows ``[start, stop)`` are made of; the windows ascend and do not overlap."""
    source = confusion.source(connection, run, output_id, split)
    parts = [_fetch(connection, blocks, source, one, here) for one, here in source.shares(start, stop)]
    return Curves(source, start, stop, parts)


def _fetch(
    connection: sa.Connection, blocks: Blocks, source: confusion.Source, one: confusion.Pyramid, here: Runs
) -> _Part:
    widest = max(int((here.hi - here.lo).max()) if len(here.lo) else 0, 0)
    finest = pyramid.finest_level(one.classes)
    levels = [
        level for level in range(pyramid.TOP, finest - 1, -1)
        if pyramid.bucket_width(level) <= widest and pyramid.row_width(level) <= one.sealed_to
    ]  # fmt: skip
    there = [(pyramid.bucket_width(level), one.sealed_to // pyramid.row_width(level) * pyramid.ROW) for level in levels]
    buckets, steps = windows.cut(here.lo, here.hi, there)
    rows: Shelf[Columns] = Shelf(
        blocks, count_marginal, source.run, one.counts_id, lambda _, data: _unpacked(data, one.classes)
    )
    wanted = [
        (level, lo, hi)
        for level, runs in zip(levels, buckets, strict=True)
        for lo, hi in windows.ranges(runs, pyramid.ROW)
    ]
    if wanted:
        rows.fetch(connection, wanted)
    leaves = confusion.shelf_of(blocks, source.run, one.counts_id)
    leaf_ranges = _leaf_ranges(steps)
    if leaf_ranges:
        leaves.fetch(connection, leaf_ranges)
    return _Part(one.classes, levels, buckets, rows, steps, leaves, leaf_ranges)


def _leaf_ranges(steps: Runs) -> list[Range]:
    return [(0, lo, hi) for lo, hi in windows.ranges(steps, pyramid.LEAF)]


def _leaves(part: _Part) -> Iterator[tuple[bytes, int]]:
    for level, idx in part.leaves.places(part.leaf_ranges):
        data = part.leaves.at(level, idx)
        if isinstance(data, bytes):
            yield data, idx * pyramid.LEAF


def _unpacked(data: bytes, classes: int) -> tuple[Columns, int]:
    columns = marginals.open_columns(data, classes)
    return columns, columns.low.nbytes + (0 if columns.cell is None else columns.cell.nbytes)


def _add_rows(found: Whole, empty: np.ndarray, part: _Part, level: int, runs: Runs, line: Whole) -> None:
    """Add whole buckets of one level; ``line`` says where in ``found`` a class stands, -1 where nowhere."""
    bucket, owner = runs.each()
    row = bucket // pyramid.ROW
    for idx in np.unique(row).tolist():
        columns = part.rows.at(level, idx)
        if columns is not None:
            here = row == idx
            owners = np.full(pyramid.ROW, -1)
            owners[bucket[here] % pyramid.ROW] = owner[here]
            _add_row(found, empty, columns, owners, line)
        empty[owner[row == idx]] = False


def _add_row(found: Whole, empty: np.ndarray, columns: Columns, owners: Whole, line: Whole) -> None:
    points = found.shape[2]
    if columns.cell is None:
        cell = columns.exception
        _add_dense(found, empty, columns.low, owners, line)
        count = columns.high
    else:
        cell = np.concatenate((columns.cell, columns.cell[columns.exception]))
        count = np.concatenate((columns.low.astype(np.int64), columns.high))
    both = cell >> _BUCKET
    kind = both // len(line)
    one = both - kind * len(line)  # several times faster than numpy's divmod
    at, place = line[one], owners[cell & (pyramid.ROW - 1)]
    inside = (at >= 0) & (place >= 0)
    flat = (kind[inside] * found.shape[1] + at[inside]) * points + place[inside]
    np.add.at(found.reshape(-1), flat, count[inside])


def _add_dense(found: Whole, empty: np.ndarray, low: np.ndarray, owners: Whole, line: Whole) -> None:
    """Add a row in which every cell has a number: kind x class x bucket.

    The first buckets of all points are added at once, then the second ones, and so on: with points of one width these
    are strides, which is thirty times faster than to sum bucket by bucket. Where there is nothing yet they are set,
    which is four times faster than to add them.
    """
    bucket = np.flatnonzero(owners >= 0)
    if not len(bucket):
        return
    kinds, there = low.reshape(3, len(line), pyramid.ROW), np.flatnonzero(line >= 0)
    place = line[there]
    every = len(there) == len(line) == found.shape[1] and bool((place == there).all())
    target = found if every else np.zeros((3, len(there), found.shape[2]), np.int64)
    if not every:
        kinds = kinds[:, there]
    owner = owners[bucket]
    begins = np.flatnonzero(np.concatenate(([True], owner[1:] != owner[:-1])))
    sizes = np.concatenate((begins[1:], [len(owner)])) - begins
    most = int(sizes.max())
    rank = np.arange(len(owner)) - np.repeat(begins, sizes)
    rank[: sizes[0]] += most - sizes[0]  # of the first point the row may hold the last buckets only
    for turn in range(most):
        chosen = np.flatnonzero(rank == turn)
        if not len(chosen):
            continue
        points, added = _stride(owner[chosen]), kinds[:, :, _stride(bucket[chosen])]
        if empty[points].all():
            target[:, :, points] = added
            empty[points] = False
        else:
            target[:, :, points] += added.astype(np.int64)
    if not every:
        found[:, place] += target


def _stride(index: Whole) -> slice | Whole:
    """The same places, which ascend, as a slice, if they are one."""
    first, last = int(index[0]), int(index[-1])
    if last - first == len(index) - 1:
        return slice(first, last + 1)
    step = int(index[1]) - first
    even = first + step * (len(index) - 1) == last and bool((index[1:] - index[:-1] == step).all())
    return slice(first, last + 1, step) if even else index


def _owned(steps: Runs, step: Whole) -> Whole:
    """The windows that own steps; -1 where none does."""
    at = np.searchsorted(steps.lo, step, side="right") - 1
    return np.where((at >= 0) & (step < steps.hi[at]), steps.owner[at], -1)


def _add_cells(found: Whole, cells: Cells, steps: Runs, line: Whole) -> None:
    """Add counts step by step to the windows that own their steps."""
    if not len(cells.step) or not len(steps.lo):
        return
    first, last = int(cells.step.min()), int(cells.step.max())
    if last - first < len(cells.step):  # few steps that come again and again: each is looked up once
        at = _owned(steps, np.arange(first, last + 1))[cells.step - first]
    else:
        at = _owned(steps, cells.step)
    inside = at >= 0
    place, true, predicted, count = (column[inside] for column in (at, cells.true, cells.predicted, cells.count))
    wrong = true != predicted
    for kind, classes, chosen in ((0, true, slice(None)), (1, true, wrong), (2, predicted, wrong)):
        row = line[classes[chosen]]
        there = row >= 0
        flat = row[there] * found.shape[2] + place[chosen][there]
        np.add.at(found[kind].reshape(-1), flat, count[chosen][there])
