"""The thread that keeps what the list shows of each run up to date: looked at once an epoch, never for a request.

It hears of changes as viewers do and takes at most a fiftieth of one processor for a run, and a tenth for many (see
``pace``). What it keeps follows from stored counts, so what is left out is worked out at the next start. Where several
services share a store, one of them does it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from epochscope_server import window
from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.glance import POINTS, Glance, OfClass, glance
from epochscope_server.analysis.stability import windows_for
from epochscope_server.analysis.watching import COARSE, blocks
from epochscope_server.errors import BusyError, NotFoundError
from epochscope_server.pace import rest_s
from epochscope_server.store import classes, glances, runs, spans
from epochscope_server.store.cache import Blocks
from epochscope_server.store.database import Database
from epochscope_server.store.runs import Change
from epochscope_server.store.writer import Writer

TICK_S = 1.0  # between two looks at what has changed
MOST_CLASSES = 5_000  # of more no list could say which is worst in time

_log = logging.getLogger(__name__)


class Glancer:
    """Looks at the runs of ``database`` from ``begin`` until it is closed, before ``writer`` is.

    Args:
        leads: whether this service is the one that looks.
    """

    def __init__(self, database: Database, writer: Writer, kept: Blocks, leads: Callable[[], bool]) -> None:
        self._database, self._writer, self._kept, self._leads = database, writer, kept, leads
        self._due: dict[str, Change] = {}
        self._places: dict[str, tuple[object, ...]] = {}  # of runs that go on: how far they were when looked at
        self._seen: int | None = None  # the latest change that was looked up; None: nothing was
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="epochscope-glancer", daemon=True)

    def begin(self, tell: Callable[[Change], object]) -> None:
        """Start looking; ``tell`` is called with a run whose glance is new, from a thread of its own."""
        self._tell = tell
        self._thread.start()

    def close(self) -> None:
        """Stop after the run at hand."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                self._round()
            except BusyError:
                pass  # flushes come first; what was not kept is worked out next time
            except Exception:
                _log.exception("the list of runs can't be kept up to date; it is tried again")
            self._closing.wait(TICK_S)

    def _round(self) -> None:
        if not self._leads():
            self._seen = None
            return
        with self._database.read() as connection:
            if self._seen is None:
                changes, self._seen = glances.behind(connection), runs.latest_change(connection)
            else:
                changes = runs.changed_since(connection, self._seen)
                self._seen = max([self._seen, *(change.number for change in changes)])
        for change in changes:
            self._due[change.uid] = change
        while self._due and not self._closing.is_set():
            uid = next(iter(self._due))
            self._look(self._due.pop(uid))

    def _look(self, change: Change) -> None:
        began = time.thread_time()
        try:
            row, places = self._row(change.uid)
            if places == self._places.get(change.uid):
                return
            said = _said(self._glance(row))
            kept = self._writer.submit(
                lambda connection: glances.record(connection, row["id"], row["rev"], said), changes_runs=False
            ).result()
            if row["status"] == "running" and kept:
                self._places[change.uid] = places
            else:
                self._places.pop(change.uid, None)
            if kept:
                self._tell(change)
        except NotFoundError:
            self._places.pop(change.uid, None)  # deleted meanwhile
        except BusyError:
            self._due[change.uid] = change
            raise
        except Exception:
            _log.exception("run %s can't be shown at a glance; it is tried again with its next flush", change.uid)
        finally:
            self._closing.wait(rest_s(time.thread_time() - began, len(self._places) + len(self._due)))

    def _row(self, uid: str) -> tuple[dict[str, Any], tuple[object, ...]]:
        """A run with its passes, and what has to change before it is looked at again."""
        with self._database.read() as connection:
            row = runs.get(connection, uid)
            row["passes"] = spans.of_run(connection, row, "val")
            row["begun"] = max((one["epoch"] for one in spans.of_run(connection, row, "train")), default=0)
        if row["status"] == "running":  # a pass is over when the next epoch has begun
            row["passes"] = [one for one in row["passes"] if one["epoch"] < row["begun"]]
        if not row["outputs"]:
            return row, (row["status"],)  # nothing to be seen of it at a glance, however far it is
        coarse, _ = blocks(1, int(row["steps"].get("train", 0)), fine=COARSE)
        return row, (row["status"], row["begun"], len(row["passes"]), len(coarse), str(row["outputs"])[:200])

    def _glance(self, row: dict[str, Any]) -> Glance | None:
        if not row["outputs"] or len(row["outputs"][0]["class_names"]) > MOST_CLASSES:
            return None
        last = int(row["steps"].get("train", 0))
        number = len(row["outputs"][0]["class_names"])
        width = 1 << max(int(np.ceil(np.log2(max(last, 1) / windows_for(number)))), 0)
        start = np.arange(1, last + 1, width, dtype=np.int64)
        training = self._curves(row, "train", start, np.minimum(start + width, last + 1))
        if row["passes"]:
            start, stop = (np.array([one[key] for one in row["passes"]], np.int64) for key in ("from", "to"))
            course = self._curves(row, "val", start, stop)
        else:
            course = self._curves(row, "train", *window.cut(1, last + 1, POINTS, None, POINTS))
        return glance(course, training, labels=bool(row["outputs"][0].get("labels", False)))

    def _curves(self, row: dict[str, Any], split: str, start: Any, stop: Any) -> ClassCurves:
        """The counts of the first output in windows, of labels those of saying yes."""
        names = tuple(row["outputs"][0]["class_names"])
        chosen = 2 * np.arange(len(names)) + 1 if row["outputs"][0].get("labels", False) else None
        with self._database.read() as connection:
            seen, missed, wrong = classes.fetch(connection, self._kept, row, 0, split, start, stop).sums(chosen)
        return ClassCurves(split, names, start, stop, None, tp=seen - missed, fp=wrong, fn=missed)


def _said(found: Glance | None) -> dict[str, Any]:
    """As the answer has it; empty where a run has no classes, or too many."""

    def of_class(one: OfClass | None) -> dict[str, Any] | None:
        return None if one is None else {"class_name": one.class_name, "value": round(one.value, 4)}

    if found is None:
        return {}
    return {
        "split": found.split,
        "macro_f1": found.macro_f1,
        "worst": of_class(found.worst),
        "drop": of_class(found.drop),
    }
