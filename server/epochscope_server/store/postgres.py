"""PostgreSQL: a database that several services may share. Rows are locked where SQLite has but one writer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from epochscope_server.errors import BusyError, InvalidError, PublicError, StartError
from epochscope_server.store.engines import COMMON
from epochscope_server.store.schema import metadata

OLDEST = 15  # the oldest major version that its makers still maintain
MIGRATING = 7_010_001  # an advisory lock: one service at a time changes the schema

# https://www.postgresql.org/docs/current/errcodes-appendix.html
# Serialization failure, deadlock, a lock that took too long, and what another service has just made, too.
_AGAIN = ("40001", "40P01", "55P03", "23505")
_AWAY = ("08", "57P", "53300", "25006")  # connection, shut down, too many connections, turned into a standby

# A dead server is noticed in 10 s, whether we wait for its answer or it for our words.
_CONNECT = {
    "application_name": "epochscope",
    "client_encoding": "utf8",
    "connect_timeout": 5,
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# An acknowledged flush survives a power cut of the server, whatever is said in its settings.
_WRITING = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
    "SET lock_timeout = '5s'",
)
_READING = ("SET default_transaction_read_only = on", "SET statement_timeout = '30s'")


class Postgres:
    """The database at ``url``, ``postgresql://user:password@host:port/name``; what is left out libpq finds elsewhere.

    Raises:
        StartError: the address makes no sense, or the driver is not installed.
    """

    shared = True
    damage = None  # PostgreSQL sees to its files itself

    def __init__(self, url: str) -> None:
        address = _address(url)
        self.place = place(url)
        self._user = address.username or "its user"
        options: dict[str, Any] = {"connect_args": _CONNECT, "pool_timeout": 5, **COMMON}
        try:
            self.writer = sa.create_engine(address, pool_size=1, max_overflow=1, **options)
            # A read is one state of the store, however many statements it takes.
            self.readers = sa.create_engine(
                address, pool_size=10, max_overflow=0, pool_pre_ping=True, isolation_level="REPEATABLE READ", **options
            )
        except ImportError:
            raise StartError(
                "PostgreSQL needs its driver, which is not installed here: pip install 'epochscope[postgres]'"
            ) from None
        sa.event.listen(self.writer, "connect", _saying(_WRITING))
        sa.event.listen(self.readers, "connect", _saying(_READING))

    @contextmanager
    def opening(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise StartError(f"{self.place} can't be used: {_sentence(error)}. {self._advice(error)}") from None

    def _advice(self, error: sa.exc.DBAPIError) -> str:
        code, text, server = _code(error), str(error.orig), getattr(error.orig, "pgconn", None)
        if code == "42501":
            return (
                f"Let {self._user} make tables there (GRANT CREATE ON SCHEMA public), "
                "or give it a database of its own: createdb --owner=USER NAME"
            )
        if code in ("42P07", "42701"):
            return "Another program has tables of these names there; give epochscope a database of its own"
        if server is not None and server.needs_password:
            return "Give the password in PGPASSWORD or ~/.pgpass"
        if "password authentication failed" in text:
            return "Check the user and the password, which comes from --database, PGPASSWORD or ~/.pgpass"
        if "database" in text and "does not exist" in text:
            return "Make it: createdb NAME"
        return "Check the address given with --database, and that the server runs and lets this machine in"

    def check(self) -> None:
        with self.readers.connect() as connection:
            about = connection.exec_driver_sql(
                "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding'), "
                "pg_is_in_recovery()"
            )
            version, encoding, standby = about.one()
        if version < OLDEST:
            raise StartError(f"{self.place} is PostgreSQL {version}; epochscope needs {OLDEST} or later. Upgrade it")
        if encoding != "UTF8":
            raise StartError(
                f"{self.place} is encoded in {encoding}, which can't hold every name. "
                "Make another: createdb --encoding=UTF8 --template=template0 NAME"
            )
        if standby:
            raise StartError(f"{self.place} is a standby that can't be written to. Give the address of the primary")

    def prepare(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")  # the other service may have much to do
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATING})")

    def settle(self, connection: sa.Connection) -> None:
        """Text in the order of its bytes, as SQLite has it; blobs outside the row and as they are, deflated already."""
        columns = connection.exec_driver_sql(
            "SELECT c.relname, a.attname, t.typname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
            "JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation o ON o.oid = a.attcollation "
            "WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND a.attnum > 0 "
            "AND (t.typname = 'text' AND o.collname <> 'C' OR t.typname = 'bytea' AND a.attstorage <> 'e')"
        )
        wanted: dict[str, list[str]] = defaultdict(list)
        for table, column, kind in columns:
            if table in metadata.tables:
                how = 'TYPE text COLLATE "C"' if kind == "text" else "SET STORAGE EXTERNAL"
                wanted[table].append(f'ALTER COLUMN "{column}" {how}')
        for table, changes in wanted.items():
            connection.exec_driver_sql(f'ALTER TABLE "{table}" {", ".join(changes)}')

    def opened(self) -> None:
        """Nothing is left to be done."""

    def temporary(self, error: sa.exc.DBAPIError) -> bool:
        return error.connection_invalidated or _code(error).startswith((*_AGAIN, *_AWAY)) or _unheard(error)

    def refusal(self, error: sa.exc.DBAPIError) -> PublicError | None:
        if error.connection_invalidated or _code(error).startswith(_AWAY) or _unheard(error):
            return BusyError("store_unavailable", "The database can't be reached now; try again", 2)
        if isinstance(error, sa.exc.OperationalError):  # a full disk, too little memory, a statement that took too long
            return BusyError("store_unavailable", f"The database can't do this now ({_sentence(error)}); try again", 5)
        if isinstance(error, sa.exc.DataError):
            return InvalidError("bad_value", f"The database can't take this: {_sentence(error)}")
        return None

    def channel(self) -> Channel:
        return Channel(self.readers)

    def committed(self) -> None:
        """Nothing: the server sees to its log itself."""

    def close(self) -> None:
        self.readers.dispose()
        self.writer.dispose()


class Channel:
    """A connection of its own, outside any transaction. A notice is empty: it says that there is something to look up.

    What goes wrong on it is a ConnectionError: it is of no use any more.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._broken: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._connection: Any = None
        arguments, named = engine.dialect.create_connect_args(engine.url)
        with self._use():
            self._connection = engine.dialect.connect(*arguments, **{**named, **_CONNECT}, autocommit=True)
            self._connection.execute("LISTEN epochscope")

    def fileno(self) -> int:
        with self._use() as connection:
            return int(connection.fileno())

    def announce(self) -> None:
        with self._use() as connection:
            connection.execute("NOTIFY epochscope")

    def drain(self) -> None:
        with self._use() as connection:
            for _ in connection.notifies(timeout=0):
                pass

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _use(self) -> Iterator[Any]:
        try:
            yield self._connection
        except self._broken as error:
            raise ConnectionError(f"the channel to the database is broken: {error}") from error


def place(url: str) -> str:
    """The name and the address of the database at ``url``, for a sentence; never a password."""
    address = _address(url)
    where = f" at {address.host}" if address.host else ""
    port = f" port {address.port}" if address.port else ""
    return f"the PostgreSQL database {address.database or 'of this user'}{where}{port}"


def without_password(url: str) -> str:
    """``url`` as it may be shown, in the form that PostgreSQL's own programs take."""
    address = _address(url)._replace(drivername="postgresql", password=None)  # `set` takes None for "as it is"
    return address.render_as_string(hide_password=False)


def _address(url: str) -> sa.URL:
    try:
        address = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # neither is shown: it may hold a password
        address = None
    if address is None or address.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise StartError(
            "--database must look like postgresql://user@host:5432/name (with %40 for an @ in a password). "
            "For a file leave it out: SQLite's lies in --data-dir"
        )
    return address.set(drivername="postgresql+psycopg")


def _saying(settings: tuple[str, ...]) -> Callable[[Any, Any], None]:
    def say(connection: Any, _: Any) -> None:
        for setting in settings:
            connection.execute(setting)
        connection.commit()

    return say


def _code(error: sa.exc.DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")


def _unheard(error: sa.exc.DBAPIError) -> bool:
    """The server said nothing at all: it was not reached, or let nobody in."""
    return isinstance(error, sa.exc.OperationalError) and not _code(error)


def _sentence(error: sa.exc.DBAPIError) -> str:
    """What the server or its driver says, in one line; neither repeats a password or a stored value."""
    said = getattr(getattr(error.orig, "diag", None), "message_primary", None) or str(error.orig)
    lines = [line.strip() for line in str(said).removeprefix("connection failed: ").splitlines()]
    return "; ".join(line for line in lines if line).rstrip(".?")
