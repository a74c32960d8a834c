"""The one thread that writes. Flushes that wait together share one commit, and so one fsync.

Anything else that writes is a job, a function of the connection, in a commit of its own. What a flush or a job came to
is told only after the commit that made it durable. A commit that a busy or restarting server broke off is tried again,
so a job may run more than once; what counts is the last time.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from epochscope_server.errors import BusyError, PublicError
from epochscope_server.store import log
from epochscope_server.store.database import Database
from epochscope_server.store.ledger import Ledger

T = TypeVar("T")

MAX_WAITING = 4000  # flushes and jobs
MAX_WAITING_BYTES = 256 * 1024 * 1024  # past either the service says so instead of filling its memory
MAX_TOGETHER = 256  # flushes in one commit
MAX_TOGETHER_BYTES = 16 * 1024 * 1024
PAUSES_S = (0.02, 0.1, 0.4, 1.0)  # before a commit is tried again; the training waits for its answer 10 s

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Flush:
    """One that waits, and who waits for it."""

    post: log.Posted
    future: asyncio.Future[log.Appended]
    loop: asyncio.AbstractEventLoop


@dataclass(frozen=True)
class _Job:
    function: Callable[[sa.Connection], Any]
    future: Future[Any]
    changes_runs: bool


class Writer:
    """Writes to ``database`` until it is closed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ledger = Ledger(alone=not database.shared)
        self._waiting: deque[_Flush | _Job] = deque()
        self._bytes = 0
        self._bell = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="epochscope-writer", daemon=True)
        self._thread.start()

    async def append(self, post: log.Posted) -> log.Appended:
        """Store a flush; gives its acknowledgement once it is durable.

        Raises:
            PublicError: it is refused, see `log.append`.
            BusyError: the database does not take it now, or too much waits already.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[log.Appended] = loop.create_future()
        self._put(_Flush(post, future, loop), len(post.body))
        return await future

    def submit(self, job: Callable[[sa.Connection], T], *, changes_runs: bool = True) -> Future[T]:
        """The future result of ``job``, set once it is durable.

        Args:
            changes_runs: False says that it leaves the tables `run` and `series` alone, and of `stream` all that
                a flush looks at; what is known of them then stays known.

        Raises:
            BusyError: too much waits already.
        """
        future: Future[T] = Future()
        self._put(_Job(job, future, changes_runs), 0)
        return future

    def close(self) -> None:
        """Finish what waits, then stop."""
        with self._bell:
            self._closing = True
            self._bell.notify()
        self._thread.join()

    def _put(self, one: _Flush | _Job, size: int) -> None:
        self._database.check_sound()
        with self._bell:
            if len(self._waiting) >= MAX_WAITING or self._bytes + size > MAX_WAITING_BYTES:
                raise BusyError("busy", "The service has more to write than it can keep up with; try again", 2)
            self._waiting.append(one)
            self._bytes += size
            self._bell.notify()

    def _take(self) -> list[_Flush] | _Job | None:
        """What the next commit holds: a job, or the flushes that wait in a row; None when all is done."""
        with self._bell:
            while not self._waiting:
                if self._closing:
                    return None
                self._bell.wait()
            if isinstance(first := self._waiting.popleft(), _Job):
                return first
            together, size = [first], len(first.post.body)
            while self._waiting and len(together) < MAX_TOGETHER and size < MAX_TOGETHER_BYTES:
                if isinstance(following := self._waiting[0], _Job):
                    break
                self._waiting.popleft()
                together.append(following)
                size += len(following.post.body)
            self._bytes -= size
            return together

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            if isinstance(taken, _Job):
                self._run(taken)
            else:
                self._append(taken)
            self._database.committed()

    def _run(self, job: _Job) -> None:
        try:
            result = self._commit(job.function)
        except Exception as error:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)
        finally:
            if job.changes_runs:
                self._ledger.forget()

    def _append(self, several: list[_Flush]) -> None:
        posts = [one.post for one in several]
        outcomes: Sequence[log.Appended | Exception]
        try:
            outcomes = self._commit(lambda connection: log.append(connection, self._ledger, posts))
        except Exception as error:
            if len(several) > 1 and not isinstance(error, BusyError):
                # One of them can't be written at all; it must not take the others with it.
                for one in several:
                    self._append([one])
                return
            outcomes = [error] * len(several)
        told = zip(several, outcomes, strict=True)
        for loop, group in itertools.groupby(told, key=lambda pair: pair[0].loop):
            try:
                loop.call_soon_threadsafe(_tell, [(one.future, outcome) for one, outcome in group])
            except RuntimeError:  # its loop is closed: nobody waits any more
                _log.debug("%d acknowledgements came too late", len(several))

    def _commit(self, work: Callable[[sa.Connection], T]) -> T:
        """The result of ``work`` in a transaction of its own, once that is durable."""
        pauses = iter(() if self._database.is_away else PAUSES_S)
        while True:
            try:
                with self._database.writer.begin() as connection:
                    result = work(connection)
            except PublicError:
                self._ledger.undo()
                raise
            except Exception as error:
                self._ledger.undo()
                pause = next(pauses, None)
                if pause is None or not self._database.is_temporary(error):
                    refusal = self._database.unwritten(error)
                    if not isinstance(refusal, PublicError):
                        _log.exception("a commit failed")
                    raise refusal from error
                time.sleep(pause * random.uniform(0.5, 1.5))
            else:
                self._database.answered()
                return result


def _tell(told: list[tuple[asyncio.Future[log.Appended], log.Appended | Exception]]) -> None:
    for future, outcome in told:
        if future.done():  # who asked has gone
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
