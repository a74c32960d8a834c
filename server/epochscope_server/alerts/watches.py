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
from epochscope_server.store import attempts, classes
from epochscope_server.store.cache import Blocks
from epochscope_server.store.database import Database

MOST_CLASSES = 5_000  # of more, single classes are too thin to be watched batch by batch
MOST_VALUES = 500_000  # counts that are read at once
LIMIT = 64 * 1024 * 1024  # bytes of all watches; the one asked for longest ago is made anew when it is needed again


@dataclass
class _Kept:
    """One watch, the first step that it has not taken in, and what it was made from."""

    watch: Watch
    made_from: tuple[object, ...]
    following: int = 1
    lock: threading.Lock = field(default_factory=threading.Lock)


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
        with self._database.read() as connection:
            pieces = tuple(attempts.of_run(connection, run["id"]).pieces("train"))
        kept = self._of(int(run["id"]), output, (len(names), pieces), int(run["steps"].get("train", 0)))
        with kept.lock:
            self._advance(kept, run, output)
            return kept.watch.on, list(kept.watch.over)

    def forget(self, run_id: int) -> None:
        """A run is gone."""
        with self._lock:
            for key in [key for key in self._watches if key[0] == run_id]:
                del self._watches[key]

    def _of(self, run_id: int, output: int, made_from: tuple[Any, ...], last: int) -> _Kept:
        with self._lock:
            kept = self._watches.get((run_id, output))
            if kept is None or kept.made_from != made_from or kept.following > last + 1:
                kept = self._watches[run_id, output] = _Kept(Watch(made_from[0]), made_from)
            self._watches.move_to_end((run_id, output))
            size = sum(_size(one.made_from) for one in self._watches.values())
            while size > LIMIT and len(self._watches) > 1:
                size -= _size(self._watches.popitem(last=False)[1].made_from)
            return kept

    def _advance(self, kept: _Kept, run: Mapping[str, Any], output: int) -> None:
        ended = run["status"] != "running"
        start, stop = blocks(kept.following, int(run["steps"].get("train", 0)), whole=ended)
        labels = bool(run["outputs"][output].get("labels", False))
        number = kept.made_from[0]
        assert isinstance(number, int)
        chosen = 2 * np.arange(number) + 1 if labels else None
        together = max(MOST_VALUES // max(number, 1), 1)
        for at in range(0, len(start), together):
            part = slice(at, at + together)
            with self._database.read() as connection:
                read = classes.fetch(connection, self._blocks, run, output, "train", start[part], stop[part])
            seen, missed, wrong = (np.ascontiguousarray(counts.T) for counts in read.sums(chosen))
            told = len(seen)
            if not ended and at + together >= len(start):
                # Counts may come a little after the loss of their step: the latest block may still get some.
                told = int(np.flatnonzero(seen.any(axis=1)).max(initial=0))
            for first, end, n, fn, fp in zip(
                *(one[:told] for one in (start[part], stop[part], seen, missed, wrong)), strict=True
            ):
                others = None if labels else n.sum() - n
                kept.watch.update(int(first), int(end), n - fn, fp, n, others)
                kept.following = int(end)


def _size(made_from: tuple[object, ...]) -> int:
    """About the bytes of a watch over so many classes."""
    number = made_from[0]
    assert isinstance(number, int)
    return 1_000 + number * 8 * (4 * LENGTHS + 16)
