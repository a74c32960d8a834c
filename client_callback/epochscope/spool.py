"""What could not be sent yet: the updates of one stream, oldest first, until the service has acknowledged them.

They lie on disk (see ``folder``), so that they survive the death of the process; ``epochscope sync`` sends what an
ended process has left. Where the folder can't be written they wait in memory, up to a bound, and move to disk when it
can be. A backlog on disk is bounded too: at the bound values by batch are thinned, the oldest first, and counted.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
import string
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from epochscope import segments, wire
from epochscope.folder import Folder
from epochscope.thinning import Thinning

DISK_LIMIT = 1024**3  # bytes of one stream
MEMORY_LIMIT = 16 * 1024**2  # bytes kept while the folder can't be written
FREE_SHARE, FREE_BYTES = 0.05, 1024**3  # of the disk, the smaller of the two is left to others
SYNC_S = 1.0
_TRY_DISK_AGAIN_S = 30.0

P = ParamSpec("P")
T = TypeVar("T")


class Meta(msgspec.Struct, omit_defaults=True):
    """What `epochscope sync` must know about a stream.

    When updates are lost, the service, which takes them without holes, is told the rest as a new stream: ``stream`` is
    then another than the folder's name, update ``base + 1`` of the folder is its first one, and ``begins`` is what
    that one says of the run.
    """

    url: str
    run: str
    stream: str
    info: wire.RunInfo | None = None  # the latest said of the run
    base: int = 0
    begins: wire.RunInfo | None = None
    missing: dict[str, str] = msgspec.field(default_factory=dict)  # what its process knew to be gone, as it tells it


def new_id() -> str:
    """A fresh id of a run or a stream: 16 random digits and small letters (82 bits)."""
    return "".join(secrets.choice(string.digits + string.ascii_lowercase) for _ in range(16))


def new_stream_id() -> str:
    """A fresh id of a stream of this process: all of them begin with the same 8 characters (41 bits), see `wire`."""
    if _process[0] != os.getpid():  # forked
        _process[:] = os.getpid(), new_id()[: wire.PROCESS_CHARACTERS]
    return f"{_process[1]}{new_id()[wire.PROCESS_CHARACTERS :]}"


_process: list[Any] = [0, ""]


def spool_root(given: str | os.PathLike[str] | None) -> Path:
    """The folder ``given``, else ``$EPOCHSCOPE_SPOOL_DIR``, else ``$XDG_STATE_HOME/epochscope/spool``, else under
    ``~/.local/state``.

    Raises:
        TypeError, ValueError: there is no such folder, or nothing says where it could be.
    """
    chosen = given if given not in (None, "") else os.environ.get("EPOCHSCOPE_SPOOL_DIR") or None
    state = os.environ.get("XDG_STATE_HOME")
    try:
        if chosen is not None:
            return Path(chosen).expanduser().absolute()
        return (Path(state) if state else Path.home() / ".local" / "state").absolute() / "epochscope" / "spool"
    except TypeError:
        raise TypeError(f"spool_dir must be the path of a folder, not {chosen!r}") from None
    except RuntimeError:  # there is no such home
        if chosen is not None:
            raise ValueError(f"spool_dir {str(chosen)!r} is under the home of nobody who is known here") from None
        raise ValueError(
            "there is no home folder to keep updates in that can't be sent at once; "
            "say where they may wait by spool_dir= or $EPOCHSCOPE_SPOOL_DIR"
        ) from None
    except OSError as error:  # the folder that we are in was deleted
        raise ValueError(f"spool_dir {str(chosen)!r} can't be found: {error}") from None


def unpack(body: bytes) -> wire.Flush:
    """A flush of our own, unchecked: the service judges what is in it."""
    return msgspec.msgpack.decode(body, type=wire.Flush)


def _one_at_a_time(method: Callable[Concatenate[Spool, P], T]) -> Callable[Concatenate[Spool, P], T]:
    @functools.wraps(method)
    def alone(self: Spool, /, *arguments: P.args, **named: P.kwargs) -> T:
        with self._alone:
            return method(self, *arguments, **named)

    return alone


class Spool:
    """The flushes of one stream that are not acknowledged yet, oldest first.

    One thread puts them in, and may be another than the one that asks for the oldest and acknowledges it.
    """

    def __init__(self, root: Path, meta: Meta) -> None:
        self.root = root
        self.meta = meta
        self.stream = meta.stream  # names the folder; what is sent may have become another
        self.next_seq = 1
        self.rejected = 0
        self.thinned = 0  # values by batch that are gone, because the disk was full
        self.words_refused = False  # the service takes no word about the run
        self.trouble: OSError | None = None  # why the folder can't be written, while it can't
        self._folder: Folder | None = None
        self._memory: deque[tuple[int, bytes]] = deque()  # all newer than what lies on disk
        self._memory_bytes = 0
        self._on_disk = 0
        self._head: tuple[int, bytes] | None = None  # the oldest, once it was asked for: as the service may know it
        self._try_disk_at = 0.0
        self._synced_at = 0.0
        self._alone = threading.RLock()

    @property
    def folder(self) -> Path:
        return self.root / self.meta.run / self.stream

    @property
    def lost(self) -> int:
        """How many updates were lost to damage on disk."""
        return self._folder.damaged if self._folder is not None else 0

    @classmethod
    def of_ended_process(cls, folder: Path) -> Spool | None:
        """The spool an ended process has left in ``folder``; None while its process lives, or if it is none.

        Where ``meta.json`` is damaged or gone the names of the folders say whose it is, and nobody where to send it:
        then there is no ``url``.

        Raises:
            OSError: the folder can't be read.
        """
        found = Folder.left(folder)
        if found is None:
            return None
        try:
            meta = msgspec.json.decode((folder / "meta.json").read_bytes(), type=Meta)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, FileNotFoundError):
            meta = Meta("", folder.parent.name, folder.name)
        except OSError:
            found.close(remove=False)
            return None
        spool = cls(folder.parent.parent, meta)
        spool.stream = folder.name
        spool._folder = found
        spool._on_disk = len(found)
        spool.next_seq = found.last + 1
        return spool

    def missing(self) -> dict[str, str]:
        """What did not reach the service and never will, as entries of the run's environment."""
        counts = {wire.LOST: self.lost, wire.THINNED: self.thinned, wire.REFUSED: self.rejected}
        return self.meta.missing | {name: f"{count:,}" for name, count in counts.items() if count}

    def __len__(self) -> int:
        return self._on_disk + len(self._memory)

    def in_memory(self) -> int:
        """How many of the flushes the end of the process would take with it."""
        return len(self._memory)

    @_one_at_a_time
    def put(self, body: bytes) -> bool:
        """Keeps ``body``, the flush ``next_seq``; False if there is room neither on disk nor in memory."""
        if len(body) > segments.MAX_PAYLOAD:
            return False
        self._memory.append((self.next_seq, body))
        self._memory_bytes += len(body)
        self._to_disk()
        if self._memory_bytes > MEMORY_LIMIT:
            self._memory_bytes -= len(self._memory.pop()[1])
            return False
        self.next_seq += 1
        return True

    @_one_at_a_time
    def tend(self, now: bool = False) -> None:
        """What is due once a second: makes the folder safe from a power cut, and tries again to write to it."""
        self._to_disk()
        if self._folder is not None and (now or time.monotonic() - self._synced_at >= SYNC_S):
            self._synced_at = time.monotonic()
            try:
                self._folder.sync()
            except OSError as error:
                self._in_trouble(error)

    @_one_at_a_time
    def oldest(self) -> tuple[int, bytes] | None:
        """The flush to send next: its seq in ``meta.stream`` and its bytes; None if there is none.

        Raises:
            OSError: the file can't be read at present.
        """
        if self._head is None:
            found = self._folder.oldest() if self._folder is not None and self._on_disk else None
            self._on_disk = len(self._folder) if self._folder is not None else 0
            if found is None and self._memory:
                found = self._memory[0]
            if found is None:
                return None
            self._head = found
        seq, body = self._head
        number = seq - self.meta.base
        if self.meta.stream == self.stream and not self.meta.base:
            return number, body
        flush = msgspec.structs.replace(unpack(body), stream=self.meta.stream, seq=number)
        if number == 1 and flush.info is None:
            flush = msgspec.structs.replace(flush, info=self.meta.begins)
        return number, wire.encode(flush)

    @_one_at_a_time
    def acknowledged(self) -> None:
        """Forgets the oldest flush: the service has stored it."""
        if self._head is None:
            return
        (seq, body), self._head = self._head, None
        if self._memory and self._memory[0][0] == seq:
            self._memory.popleft()
            self._memory_bytes -= len(body)
            if self._folder is not None:
                self._folder.acknowledge(seq)
        elif self._folder is not None:
            self._folder.acknowledge(seq)
            self._on_disk -= 1

    @_one_at_a_time
    def set_aside(self, body: bytes, reason: str) -> bool:
        """Keeps the oldest flush, ``body``, which the service will never take, in the folder ``rejected``, and why.

        Returns whether it lies there.
        """
        self.rejected += 1
        if self._head is None or self._folder is None:
            return False
        try:
            self._folder.set_aside(self._head[0], body, reason)
        except OSError:
            return False
        return True

    @_one_at_a_time
    def keep_meta(self, info: wire.RunInfo | None = None) -> None:
        """Writes ``meta.json``, with the latest ``info`` of the run."""
        if info is not None:
            self.meta.info = info
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._folder.write_meta(msgspec.json.encode(self.meta))

    @_one_at_a_time
    def renumber(self) -> None:
        """What is left is a new stream from now on, numbered from 1, that says again what the run is."""
        head = self.oldest()
        if head is not None:
            self.meta.base += head[0] - 1
        self.meta.stream = self.meta.stream[: wire.PROCESS_CHARACTERS] + new_id()[wire.PROCESS_CHARACTERS :]
        self.meta.begins = self.meta.info
        if self.meta.info is not None:
            told = {**self.meta.info.environment, **self.missing()}
            self.meta.begins = msgspec.structs.replace(self.meta.info, environment=told)
        self.keep_meta()

    @_one_at_a_time
    def discard(self) -> None:
        """Forgets everything: there is nobody left to send it to."""
        self._memory.clear()
        self._memory_bytes = 0
        self._head = None
        if self._folder is not None:
            self._folder.acknowledge(self._folder.last)
        self._on_disk = 0

    @_one_at_a_time
    def close(self) -> None:
        """Lets go of the folder and removes it if nothing is left in it."""
        if self._folder is not None:
            self._folder.close(remove=not self._on_disk)
            self._folder = None

    def let_go(self) -> None:
        """Closes what is open and writes nothing: in a forked child, the parent goes on with it."""
        if self._folder is not None:
            self._folder.let_go()
            self._folder = None

    def _to_disk(self) -> None:
        if not self._memory or (self.trouble is not None and time.monotonic() < self._try_disk_at):
            return
        try:
            if self._folder is None:
                self._folder = self._new_folder()
                self._synced_at = time.monotonic()
            elif self._folder.removed:
                self._folder.make_again()
                self._folder.write_meta(msgspec.json.encode(self.meta))
            while self._memory:
                seq, body = self._memory[0]
                self._make_room(self._folder, len(body) + segments.OVERHEAD)
                self._folder.append(seq, body)
                self._on_disk += 1  # first: the other thread may ask how many there are, and none must seem gone
                self._memory.popleft()
                self._memory_bytes -= len(body)
        except OSError as error:
            self._in_trouble(error)
        else:
            self.trouble = None

    def _new_folder(self) -> Folder:
        folder = Folder.create(self.folder)
        try:
            folder.write_meta(msgspec.json.encode(self.meta))  # without it nobody would know what the folder is
        except OSError:
            folder.close(remove=True)
            raise
        return folder

    def _in_trouble(self, error: OSError) -> None:
        self.trouble = error
        self._try_disk_at = time.monotonic() + _TRY_DISK_AGAIN_S

    def _make_room(self, folder: Folder, size: int) -> None:
        """Thins the backlog until there is room for ``size`` bytes more.

        Raises:
            OSError: there is nothing left to thin.
        """
        while (why := _too_little(folder.path, folder.size + size, size)) is not None:
            thinning = Thinning()
            gained = folder.halve(thinning, spare=self._head[0] if self._head is not None else 0)
            if gained is None:
                raise OSError(errno.ENOSPC, why)
            if gained:
                self.thinned += thinning.dropped


def _too_little(path: Path, total: int, size: int) -> str | None:
    """Why a backlog may not grow to ``total`` bytes by ``size``; None if it may."""
    if total > DISK_LIMIT:
        return f"the backlog has reached its bound of {DISK_LIMIT // 1024**2:,} MiB"
    if not hasattr(os, "statvfs"):
        return None
    disk = os.statvfs(path)
    left = min(FREE_SHARE * disk.f_blocks * disk.f_frsize, FREE_BYTES)
    if disk.f_bavail * disk.f_frsize - size < left:
        return f"less than {left / 1024**2:,.0f} MiB would be left free on the disk"
    return None


def left_behind(root: Path) -> Iterator[Path]:
    """The folders of all streams under ``root``, a spool or the folder of one run or stream in it, oldest first."""
    names = [f"{depth}{name}" for depth in ("", "*/", "*/*/") for name in ("meta.json", "*.seg")]
    folders = {path.parent for name in names for path in root.glob(name)}
    yield from sorted(folders, key=_changed_at)


def _changed_at(folder: Path) -> float:
    with contextlib.suppress(FileNotFoundError):  # its own process, or another sync, has just removed it
        return folder.stat().st_mtime
    return 0.0
