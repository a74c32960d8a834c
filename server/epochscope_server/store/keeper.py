"""What is done for the store in the background: changed runs indexed, those whose time is over deleted, what deleted
ones leave cleared away, free pages given back.

All of it goes through the writer in jobs of a few milliseconds, with rests between them, so that no flush waits long.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from epochscope_server.errors import BusyError
from epochscope_server.store import fields, removal, retention
from epochscope_server.store.database import Database
from epochscope_server.store.runs import Change
from epochscope_server.store.schema import run
from epochscope_server.store.writer import Writer

JOB_S = 0.008  # a job is cut so that it takes about this long
MOST = 500  # rows, or runs, of one job
TICK_S = 5.0  # between two looks for something to do
START_S = 3600.0  # so long after its start no run is deleted: a training may have waited for the service
JUMP_S = 3600.0  # a clock that goes ahead by more is not believed for START_S: somebody may have set it wrong
RETIRE_S = 60.0  # between two looks for runs whose time is over
RETIRED = 100  # runs of one look; then what they left is cleared away
SHARE = 10  # of the time at most one part in so many, but for what was asked for, such as a deletion

T = TypeVar("T")

_log = logging.getLogger(__name__)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _latest(connection: sa.Connection) -> int:
    return connection.scalar(_LATEST) or 0


_LATEST = sa.select(sa.func.max(run.c.change))


class Pace:
    """How much one job may do: what fits into JOB_S, as far as the last ones tell."""

    def __init__(self, size: int) -> None:
        self.size = size

    def took(self, done: int, seconds: float) -> None:
        if done:
            fits = int(done * JOB_S / max(seconds, 1e-6))
            self.size = min(max(fits, 1), 2 * self.size, MOST)


class Keeper:
    """A thread beside ``writer``, to be closed before it; set ``tell`` to learn of what it deletes."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database, self._writer = database, writer
        self._indexing, self._clearing, self._freeing = Pace(4), Pace(50), Pace(50)
        self._seen = 0  # the latest change of all runs at the last look
        self._started_ms = now_ms()
        self._believed = time.monotonic()  # since when the clock has gone without a jump
        self._ahead_ms = self._started_ms - self._believed * 1000  # of the clock that nobody sets
        self._retired = 0.0  # when runs whose time is over were last looked for
        self.tell: Callable[[Change], object] = lambda change: None
        self._bell, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="epochscope-keeper", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something to do now."""
        self._bell.set()

    def close(self) -> None:
        """Stop after the job at hand; the next start goes on."""
        self._closing.set()
        self._bell.set()
        self._thread.join()

    def _work(self) -> None:
        pause = 0.0
        while not self._closing.is_set():
            self._bell.wait(pause)
            self._bell.clear()
            pause = TICK_S
            try:
                self._retire()
                self._clear()
                pause = max(TICK_S, SHARE * self._index())
                self._give_back()
            except BusyError:
                pass  # flushes come first; it is tried again
            except Exception:
                _log.exception("work in the background failed; it is tried again")

    def _retire(self) -> None:
        """Delete runs whose time is over, each in a commit of its own."""
        now, times = time.monotonic(), (now_ms(), self._started_ms)
        before, self._ahead_ms = self._ahead_ms, times[0] - now * 1000
        if (jump_s := (self._ahead_ms - before) / 1000) > JUMP_S:
            self._believed = now
            _log.warning(
                "the clock went %.1f hours ahead at once (or the machine slept); no run whose time is over is deleted "
                "for an hour", jump_s / 3600,
            )  # fmt: skip
        if now - self._believed < START_S or now - self._retired < RETIRE_S:
            return
        self._retired = now
        gone = 0
        for uid in self._read(lambda connection: retention.due(connection, *times, RETIRED)):
            if self._closing.is_set():
                break
            began = time.monotonic()
            removing = self._writer.submit(
                functools.partial(retention.remove, uid=uid, now_ms=times[0], since_ms=times[1])
            )
            if (change := removing.result()) is not None:
                self.tell(change)
                gone += 1
            self._closing.wait(time.monotonic() - began)
        if gone:
            _log.warning("%d runs were deleted: their project keeps runs for a while only (GET /api/v1/projects)", gone)
            if gone == RETIRED:
                self._retired = 0.0

    def _clear(self) -> None:
        while (run_id := self._read(removal.waiting)) is not None and not self._closing.is_set():
            self._do(self._clearing, functools.partial(removal.clear, run_id=run_id))

    def _index(self) -> float:
        """Index what had changed when this began, or runs that train would be indexed without end. Seconds it took."""
        began = time.monotonic()
        job = functools.partial(fields.index, latest=self._read(_latest))
        while self._do(self._indexing, job) and not self._closing.is_set():
            pass
        return time.monotonic() - began

    def _give_back(self) -> None:
        """Only while nothing is written: what is written next takes free pages first."""
        before, self._seen = self._seen, self._read(_latest)
        if before == self._seen:
            while self._do(self._freeing, removal.give_back) and not self._closing.is_set():
                pass

    def _read(self, question: Callable[[sa.Connection], T]) -> T:
        with self._database.read() as connection:
            return question(connection)

    def _do(self, pace: Pace, job: Callable[..., int]) -> int:
        """Have the writer do a piece of work, then rest as long as it took; returns how much was done."""

        def timed(connection: sa.Connection) -> tuple[int, float]:
            began = time.perf_counter()
            return job(connection, most=pace.size), time.perf_counter() - began

        done, seconds = self._writer.submit(timed, changes_runs=False).result()
        pace.took(done, seconds)
        self._closing.wait(seconds)
        return done
