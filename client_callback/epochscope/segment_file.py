"""One segment on disk: which updates lie where in it; appended to, read, rewritten smaller, found after a death."""

from __future__ import annotations

import contextlib
import errno
import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from epochscope import files, segments


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

    @classmethod
    def of_one_flush(cls, path: Path) -> Self:
        """A file that is one flush, by its name; as they were before there were segments.

        Raises:
            OSError: it can't be read.
        """
        bare = cls(path, path.stat().st_size, bare=True, thinnable=False)
        bare.add(int(path.stem), 0, bare.size)
        return bare

    @classmethod
    def found(cls, path: Path, salt: int, after: int) -> tuple[Self, list[int]]:
        """What a writer has left, whole frames of numbers above ``after`` alone; and the numbers of damaged ones.

        Raises:
            OSError: it can't be read.
        """
        data = path.read_bytes()
        recovered = segments.recover(data, salt)
        segment = cls(path, len(data), thinnable=False)
        for record in recovered.records:
            if record.seq > after:
                segment.add(record.seq, record.start, record.stop)
                after = record.seq
        return segment, recovered.damaged

    def add(self, seq: int, start: int, stop: int) -> None:
        self.seqs.append(seq)
        self.starts.append(start)
        self.stops.append(stop)

    def read(self, place: int, salt: int) -> bytes:
        """The update at ``place``.

        Raises:
            DamagedError: it is not what was written.
            OSError: it can't be read at present.
        """
        with open(self.path, "rb") as file:
            if self.bare:
                return file.read()
            file.seek(self.starts[place])
            data = file.read(self.stops[place] - self.starts[place])
        return segments.unframe(data, self.seqs[place], salt)

    def changed(self, change: Callable[[bytes], bytes], spare: int, salt: int) -> tuple[Segment, bytes]:
        """What the file would be with ``change`` done to each update after ``spare``, and its bytes.

        Raises:
            DamagedError, OSError: as ``read``.
        """
        thinner = Segment(self.path, passes=self.passes)
        frames: list[bytes] = []
        for place, seq in enumerate(self.seqs):
            body = self.read(place, salt)
            frames.append(segments.frame(seq, change(body) if seq > spare else body, salt))
            thinner.add(seq, thinner.size, thinner.size + len(frames[-1]))
            thinner.size += len(frames[-1])
        return thinner, b"".join(frames)


class Appended:
    """The file of a new segment, open until nothing more may be appended behind what is in it."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where it can't be made."""
        self.segment = Segment(path)
        self._file = files.opened(path, os.O_WRONLY | files.NEW)
        self._unsynced = False

    def write(self, seq: int, frame: bytes) -> None:
        """Appends one frame, whole or not at all; then the file must be closed.

        Raises:
            OSError: it can't be written.
        """
        segment = self.segment
        try:
            written = os.write(self._file, frame)
            if written != len(frame):
                raise OSError(errno.ENOSPC, f"only {written} of {len(frame)} bytes could be written")
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, segment.size)
            raise
        segment.add(seq, segment.size, segment.size + len(frame))
        segment.size += len(frame)
        self._unsynced = True

    def sync(self) -> None:
        """Makes what was written safe from a power cut; once it has failed the file must be closed.

        Raises:
            OSError: it is not known to be.
        """
        if self._unsynced:
            self._unsynced = False
            files.sync(self._file)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sync()
        self.let_go()

    def let_go(self) -> None:
        """Closes the file and writes nothing."""
        files.close(self._file)
