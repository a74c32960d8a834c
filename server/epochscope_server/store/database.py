"""The door to the database, a file (SQLite) or a server (PostgreSQL): opened, brought up to date, read and written."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from epochscope_server.errors import BusyError, PublicError, StartError
from epochscope_server.store.postgres import Postgres
from epochscope_server.store.sqlite import Sqlite

_log = logging.getLogger(__name__)


class Channel(Protocol):
    """On which the services that share a database tell each other that something has changed."""

    def fileno(self) -> int:
        """Readable when there is something to drain."""

    def announce(self) -> None: ...

    def drain(self) -> None: ...

    def close(self) -> None: ...


class Kind(Protocol):
    """What a kind of database brings: its engines, its way to the newest schema, and what its errors mean."""

    place: str  # where the data lies, for a sentence; never a password
    shared: bool  # whether other processes may write there, too
    writer: sa.Engine
    readers: sa.Engine

    @property
    def damage(self) -> str | None:
        """What was found to be wrong with it since it was opened."""

    def opening(self) -> AbstractContextManager[None]:
        """Within it, what the driver raises becomes a StartError."""

    def check(self) -> None:
        """Look at what is there and change nothing; StartError where it is not to be used."""

    def prepare(self, connection: sa.Connection) -> None:
        """Begins the transaction of the migration: from here on no other service is in it."""

    def settle(self, connection: sa.Connection) -> None:
        """Ends the transaction of the migration, where that changed something."""

    def opened(self) -> None:
        """It is up to date, and used from now on."""

    def temporary(self, error: sa.exc.DBAPIError) -> bool:
        """Whether the same transaction may well succeed if it is run once more, at once or soon."""

    def refusal(self, error: sa.exc.DBAPIError) -> PublicError | None:
        """What a viewer or a training is told of ``error``; None where it is a fault of ours."""

    def channel(self) -> Channel:
        """Of a shared database."""

    def committed(self) -> None:
        """The writer has committed something, and is in no transaction now; raises nothing."""

    def close(self) -> None: ...


class Database:
    """The store in ``data_dir``, held by this process alone until ``close``, or the one at ``url``, shared with others.

    Raises:
        StartError: it can't be reached or used, belongs to another service, is damaged, or newer than this version.
            It is left as it is.
    """

    def __init__(self, data_dir: Path, url: str | None = None, *, allow_network_folder: bool = False) -> None:
        self.data_dir = data_dir
        self.kind: Kind = Postgres(url) if url else Sqlite(data_dir, allow_network_folder)
        self.place, self.shared = self.kind.place, self.kind.shared
        self.writer, self.readers = self.kind.writer, self.kind.readers
        self._away_since = 0.0
        self._unwritten = False
        try:
            with self.kind.opening():
                self.kind.check()
                _bring_up_to_date(self.kind)
            self.kind.opened()
        except BaseException:
            self.kind.close()
            raise

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A short read transaction that sees one state of the store: fetch, leave, compute afterwards.

        Raises:
            BusyError: the database does not answer now, or is asked more than it keeps up with.
        """
        try:
            with self.readers.connect() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise self.refusal(error) from error

    def unwritten(self, error: Exception) -> Exception:
        """`refusal` of what could not be written, however often it was tried."""
        refusal = self.refusal(error)
        self._unwritten |= isinstance(refusal, BusyError)
        return refusal

    def refusal(self, error: Exception) -> Exception:
        """``error`` of the database as those who asked may read it; any other as it is."""
        if isinstance(error, sa.exc.TimeoutError):
            return BusyError("busy", "More is asked of the database than it keeps up with; try again", 2)
        refusal = self.kind.refusal(error) if isinstance(error, sa.exc.DBAPIError) else None
        if refusal is None:
            return error
        if isinstance(refusal, BusyError) and not self._away_since:
            self._away_since = time.monotonic()
            _log.error("%s: %s", self.place, refusal.message)
        return refusal

    def channel(self) -> Channel:
        """A new channel to the other services of a shared database.

        Raises:
            ConnectionError: it can't be reached now; the methods of the channel raise that, too.
        """
        return self.kind.channel()

    def check_sound(self) -> None:
        """Before something is written.

        Raises:
            BusyError: the store was found to be damaged.
        """
        if self.kind.damage is not None:
            raise BusyError("damaged", f"The store is damaged ({self.kind.damage}); nothing is written to it", 60)

    def is_temporary(self, error: Exception) -> bool:
        """Whether what failed may well succeed if it is tried again at once or soon."""
        return isinstance(error, sa.exc.DBAPIError) and self.kind.temporary(error)

    @property
    def is_away(self) -> bool:
        """Whether nothing could be written the last time; a reader that was cut off says nothing of that."""
        return self._unwritten

    def answered(self) -> None:
        """The database takes what is written; said in the log if it did not before."""
        self._unwritten = False
        if self._away_since:
            _log.warning("%s: it answers again, after %.0f s", self.place, time.monotonic() - self._away_since)
            self._away_since = 0.0

    def committed(self) -> None:
        """To be called by the writer now and then, between two transactions."""
        self.kind.committed()

    def close(self) -> None:
        self.kind.close()


def schemas() -> Config:
    """Where the steps from schema to schema lie, as Alembic wants to be told."""
    config = Config()
    config.set_main_option("script_location", "epochscope_server.store:migrations")
    config.set_main_option("path_separator", "os")
    return config


def _bring_up_to_date(kind: Kind) -> None:
    config = schemas()
    script = ScriptDirectory.from_config(config)
    with kind.writer.begin() as connection:
        kind.prepare(connection)
        current = _revision(connection)
        if current == script.get_current_head():
            return
        if current is not None and current not in {known.revision for known in script.walk_revisions()}:
            raise StartError(
                f"{kind.place} was written by a newer epochscope (schema {current}). Upgrade this one; "
                "nothing there is changed"
            )
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise StartError(f"{kind.place} can't be brought up to date: {error}") from None
        kind.settle(connection)


def _revision(connection: sa.Connection) -> str | None:
    tables = set(sa.inspect(connection).get_table_names())
    if "alembic_version" in tables:
        return str(connection.scalar(sa.text("SELECT version_num FROM alembic_version")))
    return None
