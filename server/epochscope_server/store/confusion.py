"""Confusion counts at rest: fetched in one short transaction, added up when it is over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa
from epochscope import wire

from epochscope_server.analysis.confusion import Cells
from epochscope_server.analysis.rates import Whole
from epochscope_server.store import attempts, pyramid, tail
from epochscope_server.store.blobs import Range, Shelf
from epochscope_server.store.cache import Blocks
from epochscope_server.store.formats import node, total
from epochscope_server.store.formats.counts import Columns, Counts, summed
from epochscope_server.store.pyramid import Cover
from epochscope_server.store.schema import count_node, counts
from epochscope_server.store.windows import Runs

_empty = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Pyramid:
    """One row of the registry: counts of ``classes`` classes, sealed below step ``sealed_to``."""

    counts_id: int
    attempt: int
    classes: int
    sealed_to: int


@dataclass(frozen=True)
class Source:
    """Where the counts of one output and split lie: who speaks for which steps, pyramids, and the tail.

    ``classes`` is how many different indices its counts may have now; a pyramid may have fewer.
    """

    run: tuple[int, str]
    output: str
    split: str
    classes: int
    pieces: list[attempts.Piece]
    pyramids: list[Pyramid]
    tail: list[tail.Waiting]

    def parts(self, start: int, stop: int) -> Iterator[tuple[attempts.Piece, int, int]]:
        """The pieces of ``[start, stop)`` and the steps of it that they speak for."""
        for piece in self.pieces:
            first, end = max(start, piece.start), stop if piece.stop is None else min(stop, piece.stop)
            if first < end:
                yield piece, first, end

    def shares(self, start: Whole, stop: Whole) -> Iterator[tuple[Pyramid, Runs]]:
        """Each pyramid with what it holds sealed of windows ``[start, stop)``, int64 [P], each its own owner."""
        for piece in self.pieces:
            first = np.maximum(start, piece.start)
            end = stop if piece.stop is None else np.minimum(stop, piece.stop)
            for one in self.pyramids:
                if one.attempt == piece.attempt:
                    yield one, Runs(first, np.minimum(end, one.sealed_to), np.arange(len(start)))

    def waiting(self, start: int, stop: int) -> Cells:
        """The counts of ``[start, stop)`` that are not sealed yet."""
        found = tail.cells(self.tail, self.output, self.split)
        parts = []
        for piece, first, end in self.parts(start, stop):
            for attempt, cells in found:
                if attempt == piece.attempt:
                    inside = (cells.step >= first) & (cells.step < end)
                    parts.append([column[inside] for column in vars(cells).values()])
        return (
            Cells(*(np.concatenate(column) for column in zip(*parts, strict=True))) if parts else Cells(*[_empty] * 4)
        )


def source(connection: sa.Connection, run: Mapping[str, Any], output_id: int, split: str) -> Source:
    """Where the counts of one output of a run lie."""
    output = msgspec.convert(run["outputs"][output_id], wire.Output)
    asked = {"of_run": run["id"], "of_output": output_id, "of_split": split}
    return Source(
        (run["id"], run["uid"]),
        output.name,
        split,
        output.indices,
        attempts.of_run(connection, run["id"]).pieces(split),
        [Pyramid(*row) for row in connection.execute(_PYRAMIDS, asked)],
        tail.of_run(connection, run["id"]),
    )


_PYRAMIDS = (
    sa.select(counts.c.counts_id, counts.c.attempt, counts.c.classes, counts.c.sealed_to)
    .where(
        counts.c.run_id == sa.bindparam("of_run"),
        counts.c.output_id == sa.bindparam("of_output"),
        counts.c.split == sa.bindparam("of_split"),
    )
    .order_by(counts.c.counts_id)
)


@dataclass(frozen=True)
class _Part:
    """What one pyramid has of steps ``[start, stop)``."""

    pyramid: Pyramid
    start: int
    stop: int
    cover: Cover
    shelf: Shelf[Columns | bytes]

    def opened(self, ranges: list[Range]) -> tuple[list[Columns], list[tuple[int, bytes]]]:
        """Nodes, and leaves with their first steps."""
        nodes: list[Columns] = []
        leaves: list[tuple[int, bytes]] = []
        for level, idx in self.shelf.places(ranges):
            found = self.shelf.at(level, idx)
            if isinstance(found, Columns):
                nodes.append(found)
            elif found is not None:
                leaves.append((idx * pyramid.LEAF, found))
        return nodes, leaves


@dataclass(frozen=True)
class Window:
    """All that the counts of ``[start, stop)`` are made of."""

    source: Source
    start: int
    stop: int
    parts: list[_Part]

    def matrix(self) -> Whole:
        """The exact matrix, int64 [classes, classes]: for up to some thousand classes."""
        classes = self.source.classes
        found: Whole | None = None
        for part in self.parts:
            added, taken = part.opened(part.cover.added), part.opened(part.cover.taken)
            summed_up = total.dense(part.pyramid.classes, *added, part.start, part.stop, *taken)
            if found is None and len(summed_up) == classes:  # nearly always: a matrix of 1,000 classes is 8 MB
                found = summed_up
                continue
            found = np.zeros((classes, classes), np.int64) if found is None else found
            found[: part.pyramid.classes, : part.pyramid.classes] += summed_up
        found = np.zeros((classes, classes), np.int64) if found is None else found
        waiting = self.source.waiting(self.start, self.stop)
        more = node.of_cells(waiting, classes)
        found.reshape(-1)[more.cell] += more.count
        return found

    def counts(self) -> Counts:
        """The exact counts of the cells that are not 0; cell = true * classes + predicted."""
        classes = self.source.classes
        waiting = self.source.waiting(self.start, self.stop)
        parts = [node.of_cells(waiting, classes)]
        for part in self.parts:
            added, taken = part.opened(part.cover.added), part.opened(part.cover.taken)
            one = total.sparse(*added, part.start, part.stop, *taken)
            true, predicted = np.divmod(one.cell, part.pyramid.classes)
            parts.append(Counts(true * classes + predicted, one.count))
        return summed(parts)

    def of_cells(self, true: Whole, predicted: Whole) -> Whole:
        """The exact counts of some cells, int64 of the shape that ``true`` and ``predicted`` have together."""
        wanted = true * self.source.classes + predicted
        counts = self.counts()
        if not len(counts.cell):
            return np.zeros(wanted.shape, np.int64)
        at = np.minimum(np.searchsorted(counts.cell, wanted), len(counts.cell) - 1)
        return np.where(counts.cell[at] == wanted, counts.count[at], 0)


def fetch(
    connection: sa.Connection, blocks: Blocks, run: Mapping[str, Any], output_id: int, split: str, start: int, stop: int
) -> Window:
    """What the counts of steps ``[start, stop)`` of one output are made of."""
    found = source(connection, run, output_id, split)
    parts = []
    for piece, first, end in found.parts(start, stop):
        for one in found.pyramids:
            if one.attempt == piece.attempt and first < min(end, one.sealed_to):
                last = min(end, one.sealed_to)
                cover = pyramid.cover(first, last, one.sealed_to)
                shelf = shelf_of(blocks, found.run, one.counts_id)
                shelf.fetch(connection, cover.added + cover.taken)
                parts.append(_Part(one, first, last, cover, shelf))
    return Window(found, start, stop, parts)


def shelf_of(blocks: Blocks, run: tuple[int, str], counts_id: int) -> Shelf[Columns | bytes]:
    """Nodes as columns; leaves, of which a window needs few steps, as they are."""
    return Shelf(blocks, count_node, run, counts_id, _unpacked)


def _unpacked(level: int, data: bytes) -> tuple[Columns | bytes, int]:
    if level == 0:
        return data, len(data)
    columns = node.open_columns(data)
    return columns, columns.low.nbytes + (0 if columns.cell is None else columns.cell.nbytes)
