"""The folder of one stream: segments of framed updates, the ack file, ``meta.json``, and the lock of who writes.

::

    <spool dir>/<run>/<stream>/lock          held (flock) while the writing process lives
                               meta.json     where to send it, and what the run is
                               ack           up to which number the service has everything
                               000001.seg    framed updates; the last one is appended to
                               rejected/     updates the service will never take, and why

An update is one ``write``; what was written whole survives the death of the process, and what was synced (once a
second) a power cut. A segment goes only once the ack that covers it is safe. After damage every whole frame is used;
nothing is appended behind bytes that are in doubt.
"""

from __future__ import annotations

import contextlib
import errno
import os
from array import array
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from epochscope import segments

try:
    import fcntl
except ImportError:  # no file locks here: `epochscope sync` must then not run beside a training
    fcntl = None  # type: ignore[assignment]

SEGMENT_BYTES = 8 * 1024**2
_WORTHWHILE = 50  # a segment that thinning makes less than a 50th smaller holds nothing to thin

_NEW = os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_OLD = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_fdatasync = getattr(os, "fdatasync", os.fsync)


@dataclass
class Segment:
    """Which updates lie where in a file. ``bare``: it has no frames, it is one flush, as before there were segments."""

    path: Path
    size: int = 0
    seqs: array[int] = field(default_factory=lambda: array("Q"))
    starts: array[int] = field(default_factory=lambda: array("Q"))
    stops: array[int] = field(default_factory=lambda: array("Q"))
    bare: bool = False
    passes: int = 0  # how often it was thinned
    thinnable: bool = True  # for all that is known

    def add(self, seq: int, start: int, stop: int) -> None:
        self.seqs.append(seq)
        self.starts.append(start)
        self.stops.append(stop)


class Folder:
    """The updates of one stream on disk. Numbers only rise; what is up to ``acked`` counts as gone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.acked = 0
        self.damaged = 0  # updates that were lost to damage
        self._salt = segments.salt_of(path.name)
        self._segments: list[Segment] = []
        self._lock = -1
        self._ack = -1
        self._file = -1  # of the last segment, while it may be appended to
        self._named = 0  # the number in the name of the last segment
        self._slot = 0
        self._unsynced = False

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new, empty folder.

        Raises:
            OSError: it can't be made.
        """
        made = cls(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        try:
            lock = _locked(path / "lock", create=True)
            if lock is None:
                raise OSError(errno.EBUSY, "another process writes there")
            made._lock = lock
            made._ack = os.open(path / "ack", os.O_RDWR | os.O_CREAT | _OLD, 0o600)
            for _ in range(2):
                made._write_slot()
        except OSError:
            made.close(remove=True)
            raise
        return made

    @classmethod
    def left(cls, path: Path) -> Self | None:
        """What an ended process has left in ``path``; None while it lives, or if it is no such folder.

        Raises:
            OSError: it can't be read.
        """
        lock = _locked(path / "lock", create=False)
        if lock is None:
            return None
        found = cls(path)
        found._lock = lock
        try:
            found._recover()
        except OSError:
            found.close(remove=False)
            raise
        return found

    # -- what is there

    def __len__(self) -> int:
        """How many updates are there that are not acknowledged."""
        return sum(len(one.seqs) - bisect_right(one.seqs, self.acked) for one in self._segments)

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(one.size for one in self._segments)

    @property
    def last(self) -> int:
        """The highest number there is or was; 0 if none."""
        return max((one.seqs[-1] for one in self._segments if one.seqs), default=self.acked)

    def oldest(self) -> tuple[int, bytes] | None:
        """The first update that is not acknowledged. One that is damaged is passed over and counted.

        Raises:
            OSError: it can't be read at present.
        """
        while True:
            for one in self._segments:
                place = bisect_right(one.seqs, self.acked)
                if place < len(one.seqs):
                    break
            else:
                return None
            seq = one.seqs[place]
            try:
                return seq, self._read(one, place)
            except segments.DamagedError:
                pass
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.EIO):
                    raise
            self.damaged += 1
            self.acknowledge(seq)

    # -- writing

    def append(self, seq: int, body: bytes) -> None:
        """Writes one update, whole or not at all.

        Raises:
            OSError: it can't be written.
        """
        frame = segments.frame(seq, body, self._salt)
        fresh = self._file < 0 or self._segments[-1].size + len(frame) > SEGMENT_BYTES
        if fresh:
            self._begin_segment()
        try:
            self._write(seq, frame)
        except OSError:
            if fresh:
                raise
            self._begin_segment()  # the file may have met a limit of its own
            self._write(seq, frame)

    def sync(self) -> None:
        """Makes what was written safe from a power cut.

        Raises:
            OSError: it is not known to be.
        """
        if self._file < 0 or not self._unsynced:
            return
        self._unsynced = False
        try:
            _fdatasync(self._file)
        except OSError:
            self._end_segment()  # asked again, this file would say that all is well
            raise

    def acknowledge(self, seq: int) -> None:
        """Everything up to ``seq`` is stored at the service: saves that, then removes what nobody needs any more."""
        self.acked = max(self.acked, seq)
        try:
            self._write_slot()
            over = [one for one in self._segments[: -1 if self._file >= 0 else None] if self._over(one)]
            if over:
                _fdatasync(self._ack)
        except OSError:
            return  # the files stay until an ack can be saved
        for one in over:
            self._segments.remove(one)
            with contextlib.suppress(OSError):
                one.path.unlink()

    def halve(self, change: Callable[[bytes], bytes], spare: int) -> int | None:
        """Rewrites one segment with ``change`` done to each update after ``spare``: the one that was rewritten least
        often, the first of equals.

        Returns how many bytes that has gained; None if no segment is left that could become smaller.

        Raises:
            OSError: the smaller one can't be written.
        """
        candidates = [one for one in self._segments if one.thinnable and len(one.seqs) > 1]
        active = self._segments[-1] if self._file >= 0 else None
        one = min(candidates, key=lambda one: (one is active, one.passes), default=None)
        if one is None:
            return None
        if one is active:
            self._end_segment()
        one.passes += 1
        try:
            thinner, content = self._changed(one, change, spare)
        except segments.DamagedError:
            one.thinnable = False  # what is still good in it is left where it lies
            return 0
        gained = one.size - thinner.size
        if gained < one.size // _WORTHWHILE:
            one.thinnable = False
            return 0
        _replace(one.path, content)
        self._segments[self._segments.index(one)] = thinner
        return gained

    def write_meta(self, text: bytes) -> None:
        """Replaces ``meta.json``.

        Raises:
            OSError: it can't be written; the one before is still there.
        """
        _replace(self.path / "meta.json", text)

    def set_aside(self, seq: int, body: bytes, reason: str) -> None:
        """Keeps an update that the service will never take."""
        rejected = self.path / "rejected"
        rejected.mkdir(mode=0o700, exist_ok=True)
        _replace(rejected / f"{seq:012d}.flush", body)
        _replace(rejected / f"{seq:012d}.txt", (reason + "\n").encode())

    def close(self, remove: bool) -> None:
        """Lets go of the folder; with ``remove``, of what is in it too, but for ``rejected``."""
        self._end_segment()
        if remove:
            with contextlib.suppress(OSError):
                for pattern in ("*.seg", "*.flush", "*.tmp", "meta.json", "ack", "lock"):
                    for path in self.path.glob(pattern):
                        path.unlink()
                self.path.rmdir()  # not where something was set aside
                self.path.parent.rmdir()
        self.let_go()

    def let_go(self) -> None:
        """Closes what is open and writes nothing: in a forked child, that is."""
        for handle in (self._file, self._ack, self._lock):
            if handle >= 0:
                with contextlib.suppress(OSError):
                    os.close(handle)
        self._file = self._ack = self._lock = -1

    # -- files

    def _begin_segment(self) -> None:
        self._end_segment()
        path = self.path / f"{self._named + 1:06d}.seg"
        self._file = os.open(path, os.O_WRONLY | _NEW, 0o600)
        self._named += 1
        self._segments.append(Segment(path))

    def _end_segment(self) -> None:
        """Nothing is appended to the last segment any more."""
        if self._file < 0:
            return
        with contextlib.suppress(OSError):
            if self._unsynced:
                _fdatasync(self._file)
        self._unsynced = False
        with contextlib.suppress(OSError):
            os.close(self._file)
        self._file = -1
        if not self._segments[-1].seqs:
            with contextlib.suppress(OSError):
                self._segments.pop().path.unlink()

    def _write(self, seq: int, frame: bytes) -> None:
        segment = self._segments[-1]
        try:
            written = os.write(self._file, frame)
            if written != len(frame):
                raise OSError(errno.ENOSPC, f"only {written} of {len(frame)} bytes could be written")
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, segment.size)
            self._end_segment()
            raise
        segment.add(seq, segment.size, segment.size + len(frame))
        segment.size += len(frame)
        self._unsynced = True

    def _write_slot(self) -> None:
        self._slot = 1 - self._slot
        slot = segments.slot(self.acked)
        os.lseek(self._ack, self._slot * segments.SLOT_BYTES, os.SEEK_SET)
        if os.write(self._ack, slot) != len(slot):
            raise OSError(errno.ENOSPC, "the ack could not be written")

    def _over(self, one: Segment) -> bool:
        return not one.seqs or one.seqs[-1] <= self.acked

    def _read(self, one: Segment, place: int) -> bytes:
        with open(one.path, "rb") as file:
            if one.bare:
                return file.read()
            file.seek(one.starts[place])
            data = file.read(one.stops[place] - one.starts[place])
        return segments.unframe(data, one.seqs[place], self._salt)

    def _changed(self, one: Segment, change: Callable[[bytes], bytes], spare: int) -> tuple[Segment, bytes]:
        thinner = Segment(one.path, passes=one.passes)
        frames: list[bytes] = []
        for place, seq in enumerate(one.seqs):
            body = self._read(one, place)
            frames.append(segments.frame(seq, change(body) if seq > spare else body, self._salt))
            thinner.add(seq, thinner.size, thinner.size + len(frames[-1]))
            thinner.size += len(frames[-1])
        return thinner, b"".join(frames)

    def _recover(self) -> None:
        """Finds what is there. The ack may be lost: then everything is sent again, and the service knows it."""
        acked = None
        with contextlib.suppress(FileNotFoundError):
            acked = segments.acked_in((self.path / "ack").read_bytes())
        for path in sorted(self.path.glob("*.flush")):
            if path.stem.isdigit():
                bare = Segment(path, path.stat().st_size, bare=True, thinnable=False)
                bare.add(int(path.stem), 0, bare.size)
                self._segments.append(bare)
        last = max((one.seqs[-1] for one in self._segments), default=0)
        top = last
        for path in sorted(self.path.glob("*.seg")):
            data = path.read_bytes()
            found = segments.recover(data, self._salt)
            segment = Segment(path, len(data), thinnable=False)
            for record in found.records:
                if record.seq > last:
                    segment.add(record.seq, record.start, record.stop)
                    last = record.seq
            self._segments.append(segment)
            top = max(top, last, *found.damaged)
            self._named = max(self._named, int(path.stem) if path.stem.isdigit() else 0)
        first = next((one.seqs[0] for one in self._segments if one.seqs), top + 1)
        self.acked = first - 1 if acked is None else acked
        self.damaged = max(top - self.acked, 0) - len(self)
        self._ack = os.open(self.path / "ack", os.O_RDWR | os.O_CREAT | _OLD, 0o600)


def _locked(path: Path, create: bool) -> int | None:
    """The open, locked file; None if another process holds it, or it is not there and not to be made."""
    try:
        handle = os.open(path, os.O_RDWR | _OLD | (os.O_CREAT if create else 0), 0o600)
    except FileNotFoundError:
        return None
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError:
            pass  # a file system without locks: the folder serves all the same
    return handle


def _replace(path: Path, content: bytes) -> None:
    """Writes ``content`` beside ``path`` and moves it there, so that one or the other is whole at any instant."""
    beside = path.with_name(path.name + ".tmp")
    try:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        with open(os.open(beside, os.O_WRONLY | _NEW, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            _fdatasync(file.fileno())
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
