"""Carries what was committed from SQLite's log over into the file, beside the writer, so that no commit waits for that.

SQLite would do so within every commit that finds the log long: 4 MB of pages and a sync of the file, for which all
flushes of that commit wait. Here a thread does it. Since the writer goes on meanwhile, something is always left, and
the log would grow for ever; so when it has become long the writer itself carries over that little rest, between two
commits, and begins the log anew.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

ROWS = 500  # changed since the last time; about as many pages, or twice as many
LONG = 8192  # pages of the log from which on the writer carries over the rest
SAFE = 32_768  # pages from which on SQLite does it after all: should this thread be gone, or nobody tell of commits
IDLE_S = 5.0  # then what little there is

_log = logging.getLogger(__name__)


class Carrier:
    """For the store at ``path``; its thread begins with the first commit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bell = threading.Condition()
        self._changed = 0  # rows, as the writer's connection counts them
        self._carried = 0
        self._is_long = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def committed(self, writer: sqlite3.Connection) -> None:
        """The writer, outside of any transaction, has committed something."""
        if self._is_long:
            self._is_long = False
            self._carry(writer)
        with self._bell:
            self._changed = writer.total_changes
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name="epochscope-carrier", daemon=True)
                self._thread.start()
            if self._changed - self._carried >= ROWS:
                self._bell.notify()

    def close(self) -> None:
        with self._bell:
            self._closed = True
            self._bell.notify()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        address = f"{self._path.absolute().as_uri()}?mode=rw"
        own = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
        own.execute("PRAGMA synchronous=FULL")
        while self._is_due():
            self._is_long = self._carry(own) >= LONG
        own.close()

    def _carry(self, connection: sqlite3.Connection) -> int:
        """Carry over what no reader stands in the way of; pages of the log, what is carried over included."""
        try:
            return int(connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])
        except sqlite3.Error as error:  # a full disk, say; commits go on as long as they can
            _log.warning("the log can't be carried over into %s now (%s)", self._path, error)
            return 0

    def _is_due(self) -> bool:
        """Wait until there is enough to carry over, or nothing else to do; False when all is over."""
        with self._bell:
            while not self._closed and self._changed - self._carried < ROWS:
                heard = self._bell.wait(IDLE_S)
                if not heard and self._changed > self._carried:
                    break
            self._carried = self._changed
            return not self._closed
