"""SQLite: one file in a folder that this process holds alone. One connection writes, the others only read."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Never

import sqlalchemy as sa

from epochscope_server.errors import BusyError, PublicError, StartError
from epochscope_server.store.checkpoint import SAFE, Carrier
from epochscope_server.store.engines import COMMON
from epochscope_server.store.soundness import Examination, damage_at_start

FILE = "epochscope.db"
MOUNTS = Path("/proc/self/mounts")
MAPPED = 2**30  # bytes of the file that a reader sees in memory rather than copies piece by piece
CACHE_KIB = 8192  # of pages, each connection

# Their locks and shared memory can't be trusted, or reach this machine alone: WAL then damages the file.
NETWORK = (
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs",
    "pvfs2", "smb2", "smb3", "smbfs",
)  # fmt: skip
NETWORK_BY_FUSE = ("ceph", "dav", "gcs", "gluster", "goofys", "juicefs", "mergerfs", "rclone", "s3", "smb", "sshfs")


class Sqlite:
    """The file of ``data_dir``, which is made if it is not there.

    Raises:
        StartError: the folder can't be used, lies on a network file system, or belongs to another service.
    """

    shared = False

    def __init__(self, data_dir: Path, allow_network_folder: bool = False) -> None:
        self.path = data_dir / FILE
        self.place = str(self.path)
        self._lock = hold(data_dir, allow_network_folder)
        self._examination = Examination(self.path)
        # Readers open the file as read-only: whatever is asked, a page can't change the store.
        self.writer = _engine(self.path, "rwc", "BEGIN IMMEDIATE", pool_size=1)
        self.readers = _engine(self.path, "ro", "BEGIN", pool_size=8)
        self._carrier = Carrier(self.path)

    @contextmanager
    def opening(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
            why = getattr(error, "orig", error)
            raise StartError(
                f"{self.path} is not a store that can be opened ({why}). Move it away, or choose another --data-dir"
            ) from None

    def check(self) -> None:
        if not self.path.exists() or not self.path.stat().st_size:
            return
        with self.readers.connect() as connection:
            if (damage := damage_at_start(connection, self.path.stat().st_size)) is not None:
                raise StartError(
                    f"{self.path} is damaged ({damage}). Restore a backup, or move the file away to start anew"
                )
            tables = sa.inspect(connection).get_table_names()
            if tables and "alembic_version" not in tables:
                raise StartError(
                    f"{self.path} belongs to another program (its tables are {', '.join(tables[:5])}). "
                    "Choose another --data-dir; the file is untouched"
                )

    def prepare(self, connection: sa.Connection) -> None:
        """BEGIN IMMEDIATE has taken the file for this transaction already."""
        self.path.chmod(0o600)

    def settle(self, connection: sa.Connection) -> None:
        """Nothing: text is ordered by its bytes and a blob is kept as it came unless asked otherwise."""

    def opened(self) -> None:
        self._examination.begin()

    @property
    def damage(self) -> str | None:
        return self._examination.damage

    def temporary(self, error: sa.exc.DBAPIError) -> bool:
        return False

    def refusal(self, error: sa.exc.DBAPIError) -> PublicError | None:
        if isinstance(error, sa.exc.OperationalError):
            return BusyError("store_unavailable", f"The store can't do this now ({error.orig}); try again", 5)
        return None

    def channel(self) -> Never:
        raise AssertionError("a SQLite file has one service")

    def committed(self) -> None:
        held = self.writer.raw_connection()
        try:
            raw = held.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            self._carrier.committed(raw)
        finally:
            held.close()

    def close(self) -> None:
        self._carrier.close()
        self.readers.dispose()
        self.writer.dispose()
        os.close(self._lock)


def network_file_system(folder: Path, mounts: str) -> str | None:
    """The kind of network file system that ``folder`` lies on by the table ``mounts`` (proc(5)); None if on none."""
    where = str(folder)
    deepest, kind = "", ""
    for line in mounts.splitlines():
        _, point, kind_there, *_ = [*line.split(" "), "", ""]
        point = point.encode().decode("unicode_escape", "replace") if "\\" in point else point  # \040 is a space
        within = where == point or where.startswith(point.rstrip("/") + "/")
        if within and len(point) >= len(deepest):  # of two on one point, the later one is seen
            deepest, kind = point, kind_there
    by_fuse = kind.startswith("fuse.") and any(word in kind for word in NETWORK_BY_FUSE)
    return kind if kind in NETWORK or by_fuse else None


def hold(data_dir: Path, allow_network_folder: bool = False) -> int:
    """A descriptor that keeps every other service out of a folder, until it is closed; the folder is made if need be.

    Raises:
        StartError: it can't be used, lies on a network file system, or belongs to another service.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not allow_network_folder and MOUNTS.exists():
            kind = network_file_system(data_dir.resolve(), MOUNTS.read_text(errors="replace"))
            if kind is not None:
                raise StartError(
                    f"{data_dir} lies on a network file system ({kind}), where SQLite's file can be damaged. Choose a "
                    "folder of this machine with --data-dir, use PostgreSQL with --database, or accept the risk "
                    "with --allow-network-folder"
                )
        descriptor = os.open(data_dir / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(
            f"can't use the data folder {data_dir}: {error.strerror}. Choose another with --data-dir"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StartError(
            f"another epochscope service holds {data_dir}. Use that one (`epochscope open`), "
            "or give this one a folder of its own with --data-dir"
        ) from None
    return descriptor


def _engine(path: Path, mode: str, begin: str, pool_size: int) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite+pysqlite", database=path.absolute().as_uri(), query={"mode": mode, "uri": "true"}),
        connect_args={"timeout": 5, "check_same_thread": False},
        pool_size=pool_size,
        max_overflow=32,
        **COMMON,
    )

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver must not open transactions of its own accord
        pragmas = ["busy_timeout=5000", "trusted_schema=OFF", f"cache_size=-{CACHE_KIB}"]
        if mode == "ro":
            pragmas += ["query_only=1", f"mmap_size={MAPPED}"]
        else:
            if not path.stat().st_size:  # a new file can give back what is deleted, and its pages waste least of a blob
                pragmas += ["page_size=4096", "auto_vacuum=INCREMENTAL"]
            # FULL: an acknowledged flush survives a power cut. One process writes, so readers are never in its way.
            # What is deleted is not overwritten with zeros, as some systems have it: that wrote each flush once more.
            pragmas += ["journal_mode=WAL", "synchronous=FULL", "secure_delete=OFF"]
            pragmas.append(f"wal_autocheckpoint={SAFE}")  # checkpoint.py does it sooner
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
