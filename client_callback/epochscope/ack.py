"""The ack file of a stream: up to which update the service has everything. One of its slots is whole at any instant."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from epochscope import files, segments


class AckFile:
    """Open until it is closed; the slots are written in turn."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where it can't be opened or made."""
        self.handle = files.opened(path, os.O_RDWR | os.O_CREAT | files.OLD)
        self._slot = 0

    def write(self, acked: int) -> None:
        """Everything up to ``acked`` is stored at the service.

        Raises:
            OSError: it can't be written; the slot before still says what it said.
        """
        self._slot = 1 - self._slot
        slot = segments.slot(acked)
        os.lseek(self.handle, self._slot * segments.SLOT_BYTES, os.SEEK_SET)
        if os.write(self.handle, slot) != len(slot):
            raise OSError(errno.ENOSPC, "the ack could not be written")

    def sync(self) -> None:
        """Makes what was written safe from a power cut.

        Raises:
            OSError: it is not known to be.
        """
        files.sync(self.handle)

    def close(self) -> None:
        files.close(self.handle)


def saved_in(path: Path) -> int | None:
    """What the ack file at ``path`` says; None if it is lost: then everything is sent again, and the service knows it.

    Raises:
        OSError: it is there, but can't be read.
    """
    with contextlib.suppress(FileNotFoundError):
        return segments.acked_in(path.read_bytes())
    return None
