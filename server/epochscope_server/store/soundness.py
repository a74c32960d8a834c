"""Whether a SQLite file is sound: a small one is looked through before it is used, a large one mostly afterwards.

SQLite's quick_check reads the whole file: half a second a GiB from what the system remembers, ten seconds from the
disk, and a service that was killed is to be back in three. So of a large file only the tables with few rows are checked
at once; a thread looks at the rest, and if it finds damage nothing more is written.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

import sqlalchemy as sa

from epochscope_server.store.schema import (
    count_marginal,
    count_node,
    flush,
    flush_body,
    run_text,
    run_value,
    series_chunk,
)

SMALL = 64 * 1024 * 1024  # bytes; read from any disk in less than a second
LARGE = (count_node, count_marginal, series_chunk, flush, flush_body, run_value, run_text)

_log = logging.getLogger(__name__)


def damage_at_start(connection: sa.Connection, size: int) -> str | None:
    """What is wrong with a file of ``size`` bytes, as far as a moment suffices to see; None where nothing is."""
    if size <= SMALL:
        return _said(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
    for name in sorted(set(sa.inspect(connection).get_table_names()) - {table.name for table in LARGE}):
        quoted = connection.dialect.identifier_preparer.quote_identifier(name)
        if (damage := _said(connection.exec_driver_sql(f"PRAGMA quick_check({quoted})").scalar())) is not None:
            return damage
    return None


class Examination:
    """The look at the whole of a large file; ``damage`` says what was found, None while nothing is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage: str | None = None

    def begin(self) -> None:
        """Begin it, in a thread that ends with the process; a small file was looked through at the start."""
        if self._path.stat().st_size > SMALL:
            threading.Thread(target=self._work, name="epochscope-examination", daemon=True).start()

    def _work(self) -> None:
        try:
            connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
            try:
                damage = _said(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            finally:
                connection.close()
        except sqlite3.DatabaseError as error:
            if (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                _log.warning("%s can't be looked through now (%s); `epochscope doctor` does it", self._path, error)
                return
            damage = str(error)
        if damage is not None:
            self.damage = damage
            _log.error(
                "%s is damaged (%s). Nothing more is written to it; trainings keep what they have to tell. Stop the "
                "service, look at it with `epochscope doctor`, and restore a backup",
                self._path, damage,
            )  # fmt: skip


def _said(answer: str | None) -> str | None:
    """What quick_check says, in one line; None where all is well."""
    return None if answer == "ok" else str(answer).splitlines()[-1]
