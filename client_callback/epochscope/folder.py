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
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Self

from epochscope import ack, files, segments
from epochscope.segment_file import Appended, Segment

SEGMENT_BYTES = 8 * 1024**2
_WORTHWHILE = 50  # a segment that thinning makes less than a 50th smaller holds nothing to thin


class Folder:
    """The updates of one stream on disk. Numbers only rise; what is up to ``acked`` counts as gone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.acked = 0
        self.damaged = 0  # updates that were lost to damage
        self._salt = segments.salt_of(path.name)
        self._segments: list[Segment] = []
        self._lock = -1
        self._ack: ack.AckFile | None = None
        self._last: Appended | None = None  # the last segment, while it may be appended to
        self._named = 0  # the number in the name of the last segment

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new, empty folder.

        Raises:
            OSError: it can't be made.
        """
        made = cls(path)
        try:
            made._make()
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
        lock = files.locked(path / "lock", create=(path / "meta.json").exists() or any(path.glob("*.seg")))
        if lock is None:
            return None
        found = cls(path)
        found._lock = lock
        try:
            found._recover()
        except OSError:
            found.close(remove=False)
            if not path.exists():  # another sync was quicker
                return None
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
                return seq, one.read(place, self._salt)
            except segments.DamagedError:
                pass
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.EIO):
                    raise
            self.damaged += 1
            self.acknowledge(seq)

    @property
    def removed(self) -> bool:
        """Whether somebody has removed the folder, or the file that is appended to: what is written would be gone."""
        if self._ack is None:  # and it could not be made again yet
            return True
        return not (self._last.segment.path if self._last is not None else self.path).exists()

    # -- writing

    def make_again(self) -> None:
        """After it was removed. What lay in it is found to be gone, and counted, when its turn comes.

        Raises:
            OSError: it can't be made.
        """
        self._end_segment()
        self.let_go()
        for one in self._segments:
            if not one.path.exists():
                one.size, one.thinnable = 0, False
        self._make()

    def append(self, seq: int, body: bytes) -> None:
        """Writes one update, whole or not at all.

        Raises:
            OSError: it can't be written.
        """
        frame = segments.frame(seq, body, self._salt)
        fresh = self._last is None or self._last.segment.size + len(frame) > SEGMENT_BYTES
        try:
            self._write(seq, frame, self._begin_segment() if fresh or self._last is None else self._last)
        except OSError:
            if fresh:
                raise
            self._write(seq, frame, self._begin_segment())  # the file may have met a limit of its own

    def sync(self) -> None:
        """Makes what was written safe from a power cut.

        Raises:
            OSError: it is not known to be.
        """
        if self._last is None:
            return
        try:
            self._last.sync()
        except OSError:
            self._end_segment()  # asked again, this file would say that all is well
            raise

    def acknowledge(self, seq: int) -> None:
        """Everything up to ``seq`` is stored at the service: saves that, then removes what nobody needs any more."""
        self.acked = max(self.acked, seq)
        if self._ack is None:
            return
        try:
            self._ack.write(self.acked)
            over = [one for one in self._segments[: -1 if self._last is not None else None] if self._over(one)]
            if over:
                self._ack.sync()
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
        active = self._last.segment if self._last is not None else None
        one = min(candidates, key=lambda one: (one is active, one.passes), default=None)
        if one is None:
            return None
        if one is active:
            self._end_segment()
        one.passes += 1
        try:
            thinner, content = one.changed(change, spare, self._salt)
        except segments.DamagedError:
            one.thinnable = False  # what is still good in it is left where it lies
            return 0
        gained = one.size - thinner.size
        if gained < one.size // _WORTHWHILE:
            one.thinnable = False
            return 0
        files.replace(one.path, content)
        self._segments[self._segments.index(one)] = thinner
        return gained

    def write_meta(self, text: bytes) -> None:
        """Replaces ``meta.json``.

        Raises:
            OSError: it can't be written; the one before is still there.
        """
        files.replace(self.path / "meta.json", text)

    def set_aside(self, seq: int, body: bytes, reason: str) -> None:
        """Keeps an update that the service will never take."""
        rejected = self.path / "rejected"
        rejected.mkdir(mode=0o700, exist_ok=True)
        files.replace(rejected / f"{seq:012d}.flush", body)
        files.replace(rejected / f"{seq:012d}.txt", (reason + "\n").encode())

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
        if self._last is not None:
            self._last.let_go()
        if self._ack is not None:
            self._ack.close()
        files.close(self._lock)
        self._last, self._ack, self._lock = None, None, -1

    # -- files

    def _make(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700, exist_ok=True)
        lock = files.locked(self.path / "lock", create=True)
        if lock is None:
            raise OSError(errno.EBUSY, "another process writes there")
        self._lock = lock
        self._ack = ack.AckFile(self.path / "ack")
        for _ in range(2):
            self._ack.write(self.acked)

    def _begin_segment(self) -> Appended:
        self._end_segment()
        begun = Appended(self.path / f"{self._named + 1:06d}.seg")
        self._last = begun
        self._named += 1
        self._segments.append(begun.segment)
        return begun

    def _end_segment(self) -> None:
        """Nothing is appended to the last segment any more."""
        if self._last is None:
            return
        last, self._last = self._last, None
        last.close()
        if not last.segment.seqs:
            with contextlib.suppress(OSError):
                self._segments.pop().path.unlink()

    def _write(self, seq: int, frame: bytes, last: Appended) -> None:
        try:
            last.write(seq, frame)
        except OSError:
            self._end_segment()
            raise

    def _over(self, one: Segment) -> bool:
        return not one.seqs or one.seqs[-1] <= self.acked

    def _recover(self) -> None:
        """Finds what is there."""
        acked = ack.saved_in(self.path / "ack")
        for path in sorted(self.path.glob("*.flush")):
            if path.stem.isdigit():
                self._segments.append(Segment.of_one_flush(path))
        last = max((one.seqs[-1] for one in self._segments), default=0)
        top = last
        for path in sorted(self.path.glob("*.seg")):
            segment, damaged = Segment.found(path, self._salt, after=last)
            self._segments.append(segment)
            last = segment.seqs[-1] if segment.seqs else last
            top = max(top, last, *damaged)
            self._named = max(self._named, int(path.stem) if path.stem.isdigit() else 0)
        first = next((one.seqs[0] for one in self._segments if one.seqs), top + 1)
        self.acked = first - 1 if acked is None else acked
        self.damaged = max(top - self.acked, 0) - len(self)
        self._ack = ack.AckFile(self.path / "ack")
