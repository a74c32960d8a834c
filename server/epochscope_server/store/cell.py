"""Cells of the matrix in many windows: how often one class was taken for another, exact to the last count.

Whole nodes come first, the widest before the others, then leaves, of which every step is known apart, then the tail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from epochscope_server.analysis.rates import Whole
from epochscope_server.store import confusion, pyramid, windows
from epochscope_server.store.blobs import Shelf
from epochscope_server.store.cache import Blocks
from epochscope_server.store.formats import leaf
from epochscope_server.store.formats.counts import Columns
from epochscope_server.store.windows import Runs


@dataclass(frozen=True)
class _Part:
    """What one pyramid has of the windows: of each level above the leaves whole nodes, and steps in leaves."""

    classes: int
    levels: list[int]
    nodes: list[Runs]
    steps: Runs
    shelf: Shelf[Columns | bytes]
    ranges: list[tuple[int, int, int]]


@dataclass(frozen=True)
class Trajectory:
    """All that the counts of a cell in windows ``[start, stop)``, int64 [P], are made of."""

    source: confusion.Source
    start: Whole
    stop: Whole
    parts: list[_Part]

    def counts(self, pairs: Sequence[tuple[int, int]]) -> Whole:
        """How often the first class of each of K ``pairs`` was taken for the second in each window, int64 [K, P]."""
        found = np.zeros((len(pairs), len(self.start)), np.int64)
        for part in self.parts:
            _add(found, part, pairs)
        if len(self.start):
            waiting = self.source.waiting(int(self.start.min()), int(self.stop.max()))
            every = Runs(self.start, self.stop, np.arange(len(self.start)))
            for row, (true, predicted) in zip(found, pairs, strict=True):
                here = (waiting.true == true) & (waiting.predicted == predicted)
                _add_steps(row, waiting.step[here], waiting.count[here], every)
        return found


def fetch(
    connection: sa.Connection,
    blocks: Blocks,
    run: Mapping[str, Any],
    output_id: int,
    split: str,
    start: Whole,
    stop: Whole,
) -> Trajectory:
    """What the counts of any cell in windows ``[start, stop)`` are made of; they ascend and do not overlap."""
    source = confusion.source(connection, run, output_id, split)
    parts = [_fetch(connection, blocks, source, one, here) for one, here in source.shares(start, stop)]
    return Trajectory(source, start, stop, parts)


def _fetch(
    connection: sa.Connection, blocks: Blocks, source: confusion.Source, one: confusion.Pyramid, here: Runs
) -> _Part:
    widest = max(int((here.hi - here.lo).max()) if len(here.lo) else 0, 0)
    levels = [level for level in range(pyramid.TOP, 0, -1) if pyramid.width(level) <= min(widest, one.sealed_to)]
    there = [(pyramid.width(level), one.sealed_to // pyramid.width(level)) for level in levels]
    nodes, steps = windows.cut(here.lo, here.hi, there)
    ranges = [(level, lo, hi) for level, runs in zip(levels, nodes, strict=True) for lo, hi in windows.ranges(runs)] + [
        (0, lo, hi) for lo, hi in windows.ranges(steps, pyramid.LEAF)
    ]
    shelf = confusion.shelf_of(blocks, source.run, one.counts_id)
    if ranges:
        shelf.fetch(connection, ranges)
    return _Part(one.classes, levels, nodes, steps, shelf, ranges)


def _add(found: Whole, part: _Part, pairs: Sequence[tuple[int, int]]) -> None:
    """Add to each row of ``found`` what a pyramid has of its pair. A block is opened once, for all of them."""
    known = [(row, *pair) for row, pair in zip(found, pairs, strict=True) if max(pair) < part.classes]
    # Of a leaf only the hits are opened, or only the misses: that takes most of the time.
    halves = {hits: [one for one in known if (one[1] == one[2]) == hits] for hits in {a == b for _, a, b in known}}
    owners = {
        (level, idx): owner
        for level, runs in zip(part.levels, part.nodes, strict=True)
        for idx, owner in zip(*(column.tolist() for column in runs.each()), strict=True)
    }
    for level, idx in part.shelf.places(part.ranges):
        opened = part.shelf.at(level, idx)
        if isinstance(opened, Columns):
            for row, true, predicted in known:
                cell = true * part.classes + predicted
                row[owners[level, idx]] += _of_cells(opened, cell, cell + 1)[1].sum()
        elif opened is not None:
            for hits, half in halves.items():
                columns = leaf.open_part(opened, hits)
                for row, true, predicted in half:
                    first = true if hits else true * part.classes + predicted
                    step, count = _of_cells(columns, first * pyramid.LEAF, (first + 1) * pyramid.LEAF)
                    _add_steps(row, step % pyramid.LEAF + idx * pyramid.LEAF, count, part.steps)


def _of_cells(columns: Columns, lo: int, hi: int) -> tuple[Whole, Whole]:
    """The cells from ``lo`` to ``hi - 1`` that are there, and their counts."""
    if columns.cell is None:
        at, cell = slice(lo, hi), np.arange(lo, hi)
    else:
        at = slice(*np.searchsorted(columns.cell, (lo, hi)).tolist())
        cell = columns.cell[at]
    count = columns.low[at].astype(np.int64)
    high = (columns.exception >= at.start) & (columns.exception < at.stop)
    count[columns.exception[high] - at.start] += columns.high[high]
    return cell, count


def _add_steps(found: Whole, step: Whole, count: Whole, steps: Runs) -> None:
    if len(step) and len(steps.lo):
        at = np.searchsorted(steps.lo, step, side="right") - 1
        inside = (at >= 0) & (step < steps.hi[at])
        np.add.at(found, steps.owner[at[inside]], count[inside])
