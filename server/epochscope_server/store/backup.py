"""A store's file copied whole while a service writes to it, and put back: checked, and never half there.

SQLite's own VACUUM INTO makes the copy: one state of the store, as of its start, in one read transaction. A plain copy
of the file would miss what lies in the WAL beside it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic.script import ScriptDirectory

from epochscope_server.errors import CareError, StartError
from epochscope_server.store import sqlite
from epochscope_server.store.database import schemas

WAIT_S = 30  # for a service that holds the file for a moment
OFTEN = 50_000  # instructions of SQLite's machine between two looks at how far it is: some milliseconds

Tell = Callable[[str, int, int], None]  # what is done now, bytes that are done, bytes in all (0: not known)


def silent(_what: str, _done: int, _whole: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Copied:
    """What was copied: ``size`` in bytes, how many runs, and the schema they are in."""

    path: Path
    size: int
    runs: int
    schema: str


def save(data_dir: Path, target: Path, tell: Tell = silent) -> Copied:
    """Copy the store in ``data_dir`` to the new file ``target``, beside a running service if there is one.

    Raises:
        CareError: there is no store, ``target`` is there already, or the copy can't be made; nothing is left of it.
    """
    source = data_dir / sqlite.FILE
    if not source.exists():
        raise CareError(f"there is no store in {data_dir}. Say where it is with --data-dir")
    if target.exists():
        raise CareError(f"{target} is there already and is left as it is. Choose another name")
    return _copied(source, target, tell)


def put_back(source: Path, data_dir: Path, tell: Tell = silent) -> Copied:
    """Make the store in ``data_dir`` from the backup ``source``, which stays as it is.

    Raises:
        CareError: ``source`` is damaged, newer than this epochscope or no backup of it, or ``data_dir`` has a store or
            is in use. Neither is changed then.
    """
    if not source.is_file():
        raise CareError(f"there is no file {source}")
    found = _checked(source, tell)
    if found.schema not in {known.revision for known in ScriptDirectory.from_config(schemas()).walk_revisions()}:
        raise CareError(f"{source} was written by a newer epochscope (schema {found.schema}). Upgrade this one first")
    try:
        lock = sqlite.hold(data_dir)
    except StartError as error:
        raise CareError(str(error)) from None
    try:
        names = (sqlite.FILE, f"{sqlite.FILE}-wal", f"{sqlite.FILE}-shm")
        if there := [name for name in names if (data_dir / name).exists()]:
            raise CareError(
                f"{data_dir} has a store already ({', '.join(there)}). Move it away, or restore into another folder "
                "with --data-dir"
            )
        for left in data_dir.glob(f"{sqlite.FILE}.part*"):  # of a restore that was killed; we hold the folder
            left.unlink()
        return _copied(source, data_dir / sqlite.FILE, tell)
    finally:
        os.close(lock)


def _copied(source: Path, target: Path, tell: Tell) -> Copied:
    """A checked copy, which has its name only once it is whole and on disk."""
    part = target.with_name(f"{target.name}.part{os.getpid()}")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with _opened(source) as connection:
            whole = _size(connection)

            def look() -> None:
                tell("copied", part.stat().st_size, whole)

            connection.set_progress_handler(look, OFTEN)
            connection.execute("VACUUM INTO ?", (str(part),))
        found = _checked(part, tell)
        _sync(part)
        _name(part, target)
        _sync(target.parent)
    except sqlite3.Error as error:
        raise _refusal(error, source, target) from None
    except OSError as error:
        raise CareError(f"can't write {target}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    return Copied(target, found.size, found.runs, found.schema)


def _refusal(error: sqlite3.Error, source: Path, target: Path) -> BaseException:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_INTERRUPT:  # Ctrl-C came while SQLite worked
        return KeyboardInterrupt()
    if code == sqlite3.SQLITE_FULL:
        return CareError(f"there is not enough room for {target}. Free some, or choose another folder")
    if code == sqlite3.SQLITE_BUSY:
        return CareError(f"{source} was held by another program for {WAIT_S} s. Try again")
    return CareError(f"{source} can't be copied ({error}). Look what is wrong with it: epochscope doctor")


def _size(connection: sqlite3.Connection) -> int:
    """Bytes of the pages in use, which is what a copy takes."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _checked(path: Path, tell: Tell) -> Copied:
    """What a file holds, looked through from end to end."""
    size = path.stat().st_size
    tell("checking", 0, 0)
    try:
        with _opened(path) as connection:
            check = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if check != "ok":
                raise CareError(f"{path} is damaged ({check.splitlines()[-1]}). Use another backup")
            (schema,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            (runs,) = connection.execute("SELECT count(*) FROM run").fetchone()
    except (sqlite3.Error, TypeError) as error:
        raise CareError(f"{path} is not a backup of epochscope, or is damaged ({error})") from None
    return Copied(path, size, runs, schema)


def _name(part: Path, target: Path) -> None:
    """Give a finished copy its name, unless something has taken that meanwhile."""
    try:
        os.link(part, target)  # fails where the name is taken, as a rename would not
    except FileExistsError:
        raise CareError(f"{target} is there already and is left as it is. Choose another name") from None
    except OSError:  # some file systems have no links
        part.rename(target)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    # Not as read-only: a file in WAL mode that nobody holds could not be opened then. Nothing is written but copies.
    address = f"{path.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, timeout=WAIT_S, isolation_level=None)) as connection:
        connection.execute("PRAGMA trusted_schema=OFF")
        yield connection


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # a few file systems can't sync a folder
            raise
    finally:
        os.close(descriptor)
