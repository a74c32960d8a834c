"""What could not be sent yet, on disk: one file for each encoded flush, until the service has acknowledged it.

::

    <spool dir>/<run>/<stream>/lock          held (flock) while the writing process lives
                               meta.json     where to send it, and what the run is
                               <seq>.flush   not acknowledged yet
                               rejected/     flushes the service will never take, and why

A file is written beside its name and moved there, so that it is whole or absent. What was written survives the
death of the process; ``epochscope sync`` sends what an ended process has left.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import string
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from epochscope import wire

try:
    import fcntl
except ImportError:  # no file locks here: `epochscope sync` must then not run beside a training
    fcntl = None  # type: ignore[assignment]

DISK_LIMIT = 1024**3  # bytes of one run
MEMORY_LIMIT = 16 * 1024**2  # bytes kept while the folder can't be written
_TRY_DISK_AGAIN_S = 30.0


class Meta(msgspec.Struct):
    """What `epochscope sync` must know about a stream."""

    url: str
    run: str
    stream: str
    info: wire.RunInfo | None = None  # the latest said of the run


def new_id() -> str:
    """A fresh id of a run or a stream: 16 random digits and small letters (82 bits)."""
    return "".join(secrets.choice(string.digits + string.ascii_lowercase) for _ in range(16))


def default_spool_dir() -> Path:
    """``$EPOCHSCOPE_SPOOL_DIR``, else ``$XDG_STATE_HOME/epochscope/spool``, else under ``~/.local/state``."""
    if chosen := os.environ.get("EPOCHSCOPE_SPOOL_DIR"):
        return Path(chosen).expanduser()
    state = os.environ.get("XDG_STATE_HOME")
    base = Path(state) if state else Path(os.path.expanduser("~")) / ".local" / "state"
    return base / "epochscope" / "spool"


def unpack(body: bytes) -> wire.Flush:
    """A flush of our own, unchecked: the service judges what is in it."""
    return msgspec.msgpack.decode(body, type=wire.Flush)


class Spool:
    """The flushes of one stream that are not acknowledged yet, oldest first. One thread uses it."""

    def __init__(self, root: Path, meta: Meta) -> None:
        self.root = root
        self.meta = meta
        self.next_seq = 1
        self.rejected = 0
        self.trouble: OSError | None = None  # why the folder can't be written, while it can't
        self._kept: dict[int, int | bytes] = {}  # seq -> size of its file, or the bytes themselves; in order
        self._lock: IO[bytes] | None = None
        self._try_disk_at = 0.0

    @property
    def folder(self) -> Path:
        return self.root / self.meta.run / self.meta.stream

    @classmethod
    def of_ended_process(cls, folder: Path) -> Spool | None:
        """The spool an ended process has left in ``folder``; None while its process lives, or if it is none."""
        lock = _lock(folder / "lock", create=False)
        if lock is None:
            return None
        try:
            meta = msgspec.json.decode((folder / "meta.json").read_bytes(), type=Meta)
        except (OSError, msgspec.MsgspecError):
            lock.close()
            return None
        spool = cls(folder.parent.parent, meta)
        spool._lock = lock
        for path in sorted(folder.glob("*.flush")):
            if path.stem.isdigit():
                spool._kept[int(path.stem)] = path.stat().st_size
        spool.next_seq = max(spool._kept, default=0) + 1
        return spool

    def __len__(self) -> int:
        return len(self._kept)

    def in_memory(self) -> int:
        """How many of the flushes the end of the process would take with it."""
        return sum(isinstance(kept, bytes) for kept in self._kept.values())

    def put(self, body: bytes) -> bool:
        """Keeps ``body``, the flush ``next_seq``; False if there is room neither on disk nor in memory."""
        if self._put_on_disk(body):
            self._kept[self.next_seq] = len(body)
        elif sum(len(kept) for kept in self._kept.values() if isinstance(kept, bytes)) + len(body) <= MEMORY_LIMIT:
            self._kept[self.next_seq] = body
        else:
            return False
        self.next_seq += 1
        return True

    def oldest(self) -> tuple[int, bytes] | None:
        """The flush to send next: its seq and its bytes; None if there is none.

        Raises:
            OSError: the file can't be read.
        """
        for seq in self._kept:
            return seq, self._read(seq)
        return None

    def acknowledged(self, seq: int) -> None:
        """Forgets a flush that the service has stored."""
        if isinstance(self._kept.pop(seq, None), int):
            with contextlib.suppress(OSError):
                self._path(seq).unlink()

    def set_aside(self, seq: int, body: bytes, reason: str) -> None:
        """Moves a flush that the service will never take to the folder ``rejected``, with the reason."""
        self.rejected += 1
        with contextlib.suppress(OSError):
            rejected = self.folder / "rejected"
            rejected.mkdir(mode=0o700, exist_ok=True)
            (rejected / f"{seq:012d}.flush").write_bytes(body)
            (rejected / f"{seq:012d}.txt").write_text(reason + "\n", encoding="utf-8")
        self.acknowledged(seq)

    def keep_meta(self, info: wire.RunInfo | None = None) -> None:
        """Writes ``meta.json``, with the latest ``info`` of the run."""
        if info is not None:
            self.meta.info = info
        if self._lock is not None:
            with contextlib.suppress(OSError):
                _write(self.folder / "meta.json", msgspec.json.encode(self.meta))

    def renumber(self) -> None:
        """Turns what is left into a new stream, numbered from 1, that says again what the run is."""
        bodies = [self._read(seq) for seq in self._kept]
        fresh = Spool(self.root, Meta(self.meta.url, self.meta.run, new_id(), self.meta.info))
        for body in bodies:
            flush = msgspec.structs.replace(unpack(body), stream=fresh.meta.stream, seq=fresh.next_seq)
            if flush.seq == 1 and flush.info is None:
                flush = msgspec.structs.replace(flush, info=self.meta.info)
            fresh.put(wire.encode(flush))
        for seq in list(self._kept):
            self.acknowledged(seq)
        self.close()
        fresh.rejected = self.rejected
        self.__dict__.update(fresh.__dict__)

    def discard(self) -> None:
        """Forgets everything: there is nobody left to send it to."""
        for seq in list(self._kept):
            self.acknowledged(seq)

    def close(self) -> None:
        """Lets go of the folder and removes it if nothing is left in it."""
        if self._lock is None:
            return
        with contextlib.suppress(OSError):
            if self.in_memory() == len(self) and not (self.folder / "rejected").exists():
                for name in ("meta.json", "lock"):
                    (self.folder / name).unlink(missing_ok=True)
                self.folder.rmdir()
                self.folder.parent.rmdir()
        self._lock.close()
        self._lock = None

    def _read(self, seq: int) -> bytes:
        kept = self._kept[seq]
        return kept if isinstance(kept, bytes) else self._path(seq).read_bytes()

    def _path(self, seq: int) -> Path:
        return self.folder / f"{seq:012d}.flush"

    def _put_on_disk(self, body: bytes) -> bool:
        if self.trouble is not None and time.monotonic() < self._try_disk_at:
            return False
        try:
            on_disk = sum(kept for kept in self._kept.values() if isinstance(kept, int))
            if on_disk + len(body) > DISK_LIMIT:
                raise OSError(f"the backlog has reached its bound of {DISK_LIMIT // 1024**2} MiB")
            if self._lock is None:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._lock = _lock(self.folder / "lock", create=True)
                self.keep_meta()
            _write(self._path(self.next_seq), body)
        except OSError as error:
            self.trouble = error
            self._try_disk_at = time.monotonic() + _TRY_DISK_AGAIN_S
            return False
        self.trouble = None
        return True


def left_behind(root: Path) -> Iterator[Path]:
    """The folders of all streams under ``root``, oldest first."""
    folders = [path.parent for path in root.glob("*/*/meta.json")]
    yield from sorted(folders, key=lambda folder: folder.stat().st_mtime)


def _write(path: Path, body: bytes) -> None:
    beside = path.with_name(path.name + ".tmp")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "wb") as file:
            file.write(body)
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def _lock(path: Path, create: bool) -> IO[bytes] | None:
    """The open, locked file; None if another process holds it, or it is not there and not to be made."""
    try:
        handle = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    except FileNotFoundError:
        return None
    file = open(handle, "r+b")  # noqa: SIM115 - held for the life of the spool
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except OSError:
            pass  # a file system without locks: the folder serves all the same
    return file
