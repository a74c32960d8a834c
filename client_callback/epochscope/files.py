"""Files of the spool: locked, opened, replaced and closed so that a crash, a link or a fork does no harm.

What is open is known here, so that a forked child can let go of all of it: a lock that a child holds open would keep a
dead training's folder from being sent.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

try:
    import fcntl
except ImportError:  # no file locks here: `epochscope sync` must then not run beside a training
    fcntl = None  # type: ignore[assignment]

NEW = os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
OLD = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
FORK_WAITS_S = 1.0  # at most, for a file that is being opened or closed
sync = getattr(os, "fdatasync", os.fsync)

_held: set[int] = set()
_busy = threading.Lock()  # a fork waits for it: what is open, but not known to be, could not be let go of


def opened(path: Path, flags: int) -> int:
    """The open file, for us alone to read.

    Raises:
        OSError: it can't be opened.
    """
    with _busy:
        handle = os.open(path, flags, 0o600)
        _held.add(handle)
    return handle


def close(handle: int) -> None:
    """Closes what ``opened`` or ``locked`` gave; what a fork has let go of is closed already."""
    with _busy:
        if handle in _held:
            _held.discard(handle)
            with contextlib.suppress(OSError):
                os.close(handle)


def locked(path: Path, create: bool) -> int | None:
    """The open, locked file; None if another process holds it, or it is not there and not to be made."""
    try:
        handle = opened(path, os.O_RDWR | OLD | (os.O_CREAT if create else 0))
    except FileNotFoundError:
        return None
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            close(handle)
            return None
        except OSError:
            pass  # a file system without locks: the folder serves all the same
    return handle


def replace(path: Path, content: bytes) -> None:
    """Writes ``content`` beside ``path`` and moves it there, so that one or the other is whole at any instant.

    Raises:
        OSError: it can't be written; what was there before still is.
    """
    beside = path.with_name(path.name + ".tmp")
    try:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        with open(os.open(beside, os.O_WRONLY | NEW, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            sync(file.fileno())
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def _before_fork() -> None:
    _fork.waited = _busy.acquire(timeout=FORK_WAITS_S)  # a disk that hangs holds no fork up for long


def _in_parent() -> None:
    if _fork.waited:
        _busy.release()


def _in_child() -> None:
    global _busy
    _busy = threading.Lock()  # its holder does not live here
    for handle in list(_held):
        close(handle)


_fork = threading.local()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
