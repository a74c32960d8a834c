"""The thread that seals: it packs what has been acknowledged into what is read quickly, a step of one run at a time.

It is never in the way of a flush: a step is computed outside of any transaction, and what it writes is one short job of
the writer. While flushes come so fast that both want the same processor, it takes a third of one. It may be stopped or
killed at any point. A run that makes trouble is left alone for a while; the others go on, and its flushes are read as
they came.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from epochscope_server.errors import BusyError
from epochscope_server.store import sealing
from epochscope_server.store.database import Database
from epochscope_server.store.writer import Writer

QUIET_S = 15.0  # a flush waits for others at most so long
LOOK_S = 60.0  # between looks for runs that nobody seals: those of a service that went away, say
TROUBLE_S = (5.0, 600.0)  # pauses after an error, doubled each time up to the second
FAST = 8  # flushes that come during a step: more than that, and it rests
REST = 2  # times what the step took of a processor
BEHIND = 1024  # flushes of one run that wait, from which on it does not rest

_log = logging.getLogger(__name__)


@dataclass
class _Due:
    """What is known to wait of one run. ``at`` is when it will be sealed, by the monotonic clock."""

    at: float
    flushes: int = 0
    size: int = 0
    pause: float = 0.0


class Sealer:
    """Seals runs when enough has come together, when they have ended, and when they have been quiet for a while."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer
        self._waiting: dict[int, _Due] = {}  # by run; the one that was sealed longest ago first
        self._bell = threading.Condition()
        self._closed, self._closing = False, threading.Event()
        self._heard = 0  # flushes
        self._look_at = 0.0
        self._thread = threading.Thread(target=self._work, name="epochscope-sealer", daemon=True)
        self._thread.start()

    def heard(self, run_id: int, size: int, ended: bool) -> None:
        """A flush of ``size`` bytes was stored; ``ended``: it is the last one of its run."""
        with self._bell:
            now = time.monotonic()
            new = run_id not in self._waiting
            due = self._waiting.setdefault(run_id, _Due(now + QUIET_S))
            due.flushes += 1
            due.size += size
            self._heard += 1
            enough = ended or due.flushes >= sealing.MOST_FLUSHES or due.size >= sealing.MOST_BYTES
            if enough and not due.pause:
                due.at = min(due.at, now)
            if new or due.at <= now:
                self._bell.notify()

    def settle(self, timeout_s: float = 60.0) -> bool:
        """Seal everything that waits now. False where it took too long, or something could not be sealed."""
        end = time.monotonic() + timeout_s
        with self._bell:
            self._look_at = 0.0
            for due in self._waiting.values():
                due.at = 0.0
            self._bell.notify()
        while time.monotonic() < end:
            with self._database.read() as connection:
                if not sealing.waiting_runs(connection):
                    return True
            time.sleep(0.002)
        return False

    def close(self) -> None:
        """Finish the step in hand, then stop."""
        with self._bell:
            self._closed = True
            self._bell.notify()
        self._closing.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._bell:
                run_id = self._next()
                while run_id is None and not self._closed and time.monotonic() < self._look_at:
                    self._bell.wait(self._pause())
                    run_id = self._next()
                if self._closed:
                    return
            if run_id is None:
                self._look()
            else:
                self._seal_gently(run_id)

    def _next(self) -> int | None:
        """A run that is due, taken out of those that wait."""
        now = time.monotonic()
        return next((run_id for run_id, due in self._waiting.items() if due.at <= now), None)

    def _pause(self) -> float:
        soonest = min([self._look_at, *(due.at for due in self._waiting.values())])
        return max(soonest - time.monotonic(), 0.0)

    def _look(self) -> None:
        """Find runs that wait and were not heard of here."""
        first = self._look_at == 0.0
        self._look_at = time.monotonic() + LOOK_S
        try:
            with self._database.read() as connection:
                found = sealing.waiting_runs(connection)
        except Exception:
            _log.exception("can't look for what is to be sealed")
            return
        with self._bell:
            for run_id in found:
                self._waiting.setdefault(run_id, _Due(time.monotonic() + (0.0 if first else QUIET_S)))

    def _seal_gently(self, run_id: int) -> None:
        """One step of a run, and a rest if flushes come fast."""
        heard, behind, began = self._heard, self._waiting[run_id].flushes > BEHIND, time.thread_time()
        self._seal(run_id)
        if self._heard - heard > FAST and not behind:
            self._closing.wait(REST * (time.thread_time() - began))

    def _seal(self, run_id: int) -> None:
        """One step of a run."""
        with self._bell:
            due = self._waiting.pop(run_id)
        try:
            with self._database.read() as connection:
                step = sealing.read(connection, run_id)
            if step is None:
                return
            sealing.worked_out(step)
            writing = self._writer.submit(lambda connection: sealing.write(connection, step), changes_runs=False)
            done = writing.result()
            more = step.more or not done
            pause = 0.0
        except BusyError as error:  # a full disk, say: everything is still in the log
            _log.warning("nothing can be sealed now (%s); what is acknowledged is safe, and sealed later", error)
            more, pause = True, TROUBLE_S[0]
        except Exception:
            pause = min(max(2 * due.pause, TROUBLE_S[0]), TROUBLE_S[1])
            _log.exception("run number %d can't be sealed; it is tried again in %d s", run_id, pause)
            more = True
        if more:
            with self._bell:
                since = self._waiting.pop(run_id, None)
                again = _Due(time.monotonic() + pause, pause=pause)
                again.flushes = max(due.flushes - sealing.MOST_FLUSHES, 0)
                if since is not None:
                    again.flushes, again.size = again.flushes + since.flushes, since.size
                self._waiting[run_id] = again
