"""The one thread that writes. Jobs that wait together share one commit, and so one fsync.

A job is a function of the connection; its result is handed out only after the commit that made it durable.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import sqlalchemy as sa

from epochscope_server.errors import BusyError, PublicError

T = TypeVar("T")

MAX_WAITING = 1000  # jobs; past that the service says so instead of filling its memory
MAX_TOGETHER = 64  # jobs in one commit

_log = logging.getLogger(__name__)


class Writer:
    """Runs jobs in order, each in a savepoint of its own, so that one that fails takes no other with it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._queue: queue.Queue[tuple[Callable[[sa.Connection], Any], Future[Any]] | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._work, name="epochscope-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[sa.Connection], T]) -> Future[T]:
        """The future result of ``job``, set once it is durable.

        Raises:
            BusyError: too many jobs wait already.
        """
        future: Future[T] = Future()
        try:
            self._queue.put_nowait((job, future))
        except queue.Full:
            raise BusyError("busy", "The service has more to write than it can keep up with; try again", 2) from None
        return future

    def close(self) -> None:
        """Finish what waits, then stop."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            jobs = [first]
            stopping = False
            while len(jobs) < MAX_TOGETHER and not self._queue.empty():
                job = self._queue.get()
                if job is None:
                    stopping = True
                    break
                jobs.append(job)
            self._commit(jobs)
            if stopping:
                return

    def _commit(self, jobs: list[tuple[Callable[[sa.Connection], Any], Future[Any]]]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        failed: list[tuple[Future[Any], BaseException]] = []
        try:
            with self._engine.begin() as connection:
                for job, future in jobs:
                    try:
                        with connection.begin_nested():
                            done.append((future, job(connection)))
                    except PublicError as error:
                        failed.append((future, error))
        except BaseException as error:  # a full disk, say: nothing of this commit is stored, nobody is told it is
            _log.exception("a commit of %d jobs failed", len(jobs))
            refusal = _refusal(error)
            for _, future in jobs:
                future.set_exception(refusal)
            return
        for future, result in done:
            future.set_result(result)
        for future, problem in failed:
            future.set_exception(problem)


def _refusal(error: BaseException) -> BaseException:
    if isinstance(error, sa.exc.OperationalError):
        return BusyError("store_unavailable", f"The store can't write now ({error.orig}); try again", 5)
    return error
