"""What a run has recorded since its last flush: training appends, the flusher takes it away and packs it.

Appending costs one ``deque.append`` and takes no lock, so that a training loop never waits for the disk or the
network. Counting codes into sparse cells and packing columns happens in the flusher's thread. When that can't keep up
(a disk that hangs), what waits is bounded: past the bound numbers by batch are dropped and counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochscope import wire

FLUSH_BYTES = 512 * 1024  # stays under the 1 MiB that reverse proxies take unasked
WAKE_BYTES = 1024**2  # so much is worth a flush before its time

VALUES_LIMIT = 16 * 1024**2  # bytes that may wait, before values by batch are dropped
CODES_LIMIT = 64 * 1024**2  # bytes that may wait, before confusion counts are

_ITEM_BYTES = 600  # of an item, besides its numbers
_CODES_AT_ONCE = 16_384  # longer pieces are cut, between steps if they can be: counts given twice for a step add up


@dataclass
class Contents:
    """What goes into one flush."""

    info: wire.RunInfo | None = None
    series: list[wire.SeriesColumns] = field(default_factory=list)
    confusion: list[wire.ConfusionColumns] = field(default_factory=list)
    spans: list[wire.Span] = field(default_factory=list)
    end: wire.End | None = None

    def points(self) -> int:
        """How many numbers there are: values of series and steps with confusion counts."""
        return sum(len(series.steps) // 8 for series in self.series) + sum(
            len(counts.steps) // 8 for counts in self.confusion
        )


@dataclass(frozen=True)
class _Values:
    key: str
    split: wire.Split
    by: wire.By
    steps: Any  # int64 [n] or list of int
    values: Any  # float64 [n] or list of float


@dataclass(frozen=True)
class _Codes:
    output: str
    split: wire.Split
    classes: int
    steps: NDArray[np.int64]  # [L]
    lengths: NDArray[np.int64]  # [L], how many of the codes belong to each step
    codes: NDArray[np.int64]  # [sum of lengths], true * classes + predicted
    times: NDArray[np.int64] | None = None  # [sum of lengths], how many samples each stands for; None: one

    def numbers(self) -> int:
        return 2 * len(self.steps) + len(self.codes) * (1 if self.times is None else 2)


class _Unheard(deque[Any]):
    """Takes nothing in; ``tell`` is called when numbers are given to it."""

    def __init__(self, tell: Callable[[], object]) -> None:
        super().__init__(maxlen=0)
        self._tell = tell

    def append(self, item: Any) -> None:
        if isinstance(item, _Values | _Codes):
            self._tell()


class Recording:
    """A queue with one writing end (training) and one reading end (the flusher)."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._items: deque[_Values | _Codes | wire.RunInfo | wire.Span | wire.End] = deque()
        self._wake = wake
        self.dropped = 0  # numbers, as Contents counts them
        # Bytes, roughly; each is written by one end only.
        self._put_in = 0
        self._taken = 0

    def values(self, key: str, split: wire.Split, by: wire.By, steps: Any, values: Any) -> None:
        """Points of one series: ``steps`` [n] whole numbers, ``values`` [n] numbers."""
        limit = VALUES_LIMIT if by == "batch" else None
        self._append(_Values(key, split, by, steps, values), 16 * len(steps), limit, len(steps))

    def codes(
        self,
        output: str,
        split: wire.Split,
        classes: int,
        steps: NDArray[np.int64],
        lengths: NDArray[np.int64],
        codes: NDArray[np.int64],
        times: NDArray[np.int64] | None = None,
    ) -> None:
        """Classified samples of L steps: ``codes`` int64 [sum of lengths] are true * classes + predicted; each stands
        for one sample, or for so many as ``times`` int64 [sum of lengths] says.

        A step without any classified sample has length 0 and stays a step.
        """
        ends = np.cumsum(lengths)
        first, begin = 0, 0
        while first < len(steps):
            behind = max(int(np.searchsorted(ends, begin + _CODES_AT_ONCE, "right")), first + 1)
            end = int(ends[behind - 1])
            for start in range(begin, max(end, begin + 1), _CODES_AT_ONCE):  # of a step alone there may be more
                part = slice(start, min(start + _CODES_AT_ONCE, end))
                many = None if times is None else times[part]
                each = lengths[first:behind] if behind > first + 1 else np.array([part.stop - part.start])
                item = _Codes(output, split, classes, steps[first:behind], each, codes[part], many)
                self._append(item, 8 * item.numbers(), CODES_LIMIT, len(item.steps))
            first, begin = behind, end

    def _append(self, item: _Values | _Codes, size: int, limit: int | None, points: int) -> None:
        before = self._put_in - self._taken
        size += _ITEM_BYTES
        if limit is not None and before + size > limit:
            self.dropped += points
            return
        self._put_in += size
        self._items.append(item)
        if before < WAKE_BYTES <= before + size:
            self._wake()

    def info(self, info: wire.RunInfo) -> None:
        self._items.append(info)

    def span(self, span: wire.Span) -> None:
        self._items.append(span)

    def end(self, end: wire.End) -> None:
        self._items.append(end)

    def __len__(self) -> int:
        return len(self._items)

    def silence(self, tell: Callable[[], object] = lambda: None) -> None:
        """Records nothing any more, and wakes nobody: in a forked child, where no flusher lives, or in a copy.

        ``tell`` is called whenever numbers are recorded in vain.
        """
        self._items = _Unheard(tell)
        self._wake = lambda: None

    def take(self) -> Contents | None:
        """The oldest of what was recorded, as much as one flush should hold; None when there is nothing."""
        if not self._items:
            return None
        contents = Contents()
        values: dict[tuple[str, wire.Split, wire.By], list[_Values]] = {}
        codes: dict[tuple[str, wire.Split, int], list[_Codes]] = {}
        size = 0
        while self._items and size < FLUSH_BYTES and contents.end is None:
            item = self._items.popleft()
            if isinstance(item, _Values):
                values.setdefault((item.key, item.split, item.by), []).append(item)
                size += 16 * len(item.steps)
                self._taken += _ITEM_BYTES + 16 * len(item.steps)
            elif isinstance(item, _Codes):
                codes.setdefault((item.output, item.split, item.classes), []).append(item)
                size += 12 * len(item.steps) + 12 * len(item.codes)  # at most: equal codes become one cell
                self._taken += _ITEM_BYTES + 8 * item.numbers()
            elif isinstance(item, wire.RunInfo):
                contents.info = item
            elif isinstance(item, wire.Span):
                contents.spans.append(item)
            else:
                contents.end = item
        for (key, split, by), parts in values.items():
            steps = np.concatenate([np.asarray(part.steps, np.int64) for part in parts])
            numbers = np.concatenate([np.asarray(part.values, np.float64) for part in parts])
            contents.series.append(wire.SeriesColumns.of(key, split, by, steps, numbers))
        for (output, split, classes), pieces in codes.items():
            contents.confusion.append(_counted(output, split, classes, pieces))
        return contents


def _counted(output: str, split: wire.Split, classes: int, pieces: list[_Codes]) -> wire.ConfusionColumns:
    """Codes of many steps as sparse counts, one entry for each step."""
    steps = np.concatenate([piece.steps for piece in pieces])
    lengths = np.concatenate([piece.lengths for piece in pieces])
    codes = np.concatenate([piece.codes for piece in pieces])
    cells_of_matrix = classes * classes
    entry = np.repeat(np.arange(len(steps), dtype=np.int64), lengths)
    keys = entry * cells_of_matrix + codes
    if any(piece.times is not None for piece in pieces):
        each = [np.ones(len(piece.codes)) if piece.times is None else piece.times for piece in pieces]
        keys, places = np.unique(keys, return_inverse=True)
        counts = np.bincount(places, np.concatenate(each), minlength=len(keys)).astype(np.int64)
    else:
        keys, counts = np.unique(keys, return_counts=True)
    entries, cells = np.divmod(keys, cells_of_matrix)
    true, predicted = np.divmod(cells, classes)
    return wire.ConfusionColumns.of(
        output, split, steps, np.bincount(entries, minlength=len(steps)), true, predicted, counts
    )
