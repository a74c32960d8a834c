"""The live watch of each run, kept between looks: taken further by what is new, made anew after a start.

A watch takes in blocks of steps that depend on the steps alone (``analysis.watching``), so one that was kept for hours
and one that is made anew say the same. Where a run went back to a checkpoint, or got more classes, it is made anew.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from epochscope_server.analysis.changes_live import LENGTHS, Alarm, Watch
from epochscope_server.analysis.watching import blocks
from epochscope_server.store import classes
from epochscope_server.store.attempts import Piece
from epochscope_server.store.cache import Blocks
from epochscope_server.store.database import Database

MOST_CLASSES = 5_000  # of more, single classes are too thin to be watched batch by batch
MOST_VALUES = 500_000  # counts that are read at once
LIMIT = 64 * 1024 * 1024  # bytes of all watches; the one asked for longest ago is made anew when it is needed again


@dataclass
class _Kept:
    """One watch of ``classes`` classes, the first step that it has not taken in, and who spoke for those before."""

    classes: int
    watch: Watch
    following: int = 1
    pieces: list[Piece] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin_again(self) -> None:
        self.watch, self.following, self.pieces = Watch(self.classes), 1, None

    @property
    def size(self) -> int:
        """Bytes, about."""
        return 1_000 + self.classes * 8 * (4 * LENGTHS + 16)


class Watches:
    """The watches of the training batches of runs in ``database``. Any thread may ask."""

    def __init__(self, database: Database, kept: Blocks) -> None:
        self._database, self._blocks = database, kept
        self._lock = threading.Lock()
        self._watches: OrderedDict[tuple[int, int], _Kept] = OrderedDict()

    def alarms(self, run: Mapping[str, Any], output: int) -> tuple[list[Alarm], list[Alarm]] | None:
        """The alarms of a run that are on, and those that are over, up to its last step; None: too many classes.

        Args:
            run: its row, from which ``steps``, ``status`` and ``outputs`` are read.
            output: which of its outputs.
        """
        names = run["outputs"][output]["class_names"]
        if len(names) > MOST_CLASSES:
            return None
        kept = self._of(int(run["id"]), output, len(names))
        with kept.lock:
            if kept.following > int(run["steps"].get("train", 0)) + 1 or not self._advance(kept, run, output):
                kept.begin_again()  # it went back to a checkpoint
                self._advance(kept, run, output)
            return kept.watch.on, list(kept.watch.over)

    def forget(self, run_id: int) -> None:
        """A run is gone."""
        with self._lock:
            for key in [key for key in self._watches if key[0] == run_id]:
                del self._watches[key]

    def _of(self, run_id: int, output: int, number: int) -> _Kept:
        with self._lock:
            kept = self._watches.get((run_id, output))
            if kept is None or kept.classes != number:
                kept = self._watches[run_id, output] = _Kept(number, Watch(number))
            self._watches.move_to_end((run_id, output))
            size = sum(one.size for one in self._watches.values())
            while size > LIMIT and len(self._watches) > 1:
                size -= self._watches.popitem(last=False)[1].size
            return kept

    def _advance(self, kept: _Kept, run: Mapping[str, Any], output: int) -> bool:
        """Take in what is new; False where others speak now for what was taken in before."""
        ended = run["status"] != "running"
        start, stop = blocks(kept.following, int(run["steps"].get("train", 0)), whole=ended)
        labels = bool(run["outputs"][output].get("labels", False))
        chosen = 2 * np.arange(kept.classes) + 1 if labels else None
        together = max(MOST_VALUES // max(kept.classes, 1), 1)
        for at in range(0, len(start), together):
            part = slice(at, at + together)
            with self._database.read() as connection:
                read = classes.fetch(connection, self._blocks, run, output, "train", start[part], stop[part])
            if kept.pieces not in (None, read.source.pieces):
                return False
            kept.pieces = read.source.pieces
            seen, missed, wrong = (np.ascontiguousarray(counts.T) for counts in read.sums(chosen))
            told = len(seen)
            if not ended and at + together >= len(start):
                # Counts may come a little after the loss of their step: the latest block may still get some.
                told = int(np.flatnonzero(seen.any(axis=1)).max(initial=0))
            for first, end, n, fn, fp in zip(
                *(one[:told] for one in (start[part], stop[part], seen, missed, wrong)), strict=True
            ):
                kept.watch.update(int(first), int(end), n - fn, fp, n, None if labels else n.sum() - n)
                kept.following = int(end)
        return True
