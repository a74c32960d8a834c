"""How far a long work is, for the person who waits for it: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

REDRAW_S = 0.1
LINE_S = 5.0  # between lines, where no bar can be drawn
_BAR = 24


class Progress:
    """``done`` of ``total`` updates, their bytes, the rate and the time that is left; on stderr.

    Nothing is shown of what is over in less than a second.
    """

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic, columns: int | None = None
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._columns = columns or shutil.get_terminal_size().columns
        self._bar = self._stream.isatty()
        self._shown = False
        self.begin("", 0)

    def begin(self, name: str, total: int) -> None:
        """Work on ``name`` begins, of ``total`` updates."""
        self.end()
        self._name, self._total = name, total
        self._done = self._bytes = 0
        self._began = self._clock()
        self._due = self._began + 1.0

    def add(self, size: int) -> None:
        """One more update, of ``size`` bytes, is done."""
        self._done += 1
        self._bytes += size
        now = self._clock()
        if now < self._due:
            return
        self._due = now + (REDRAW_S if self._bar else LINE_S)
        text = self._text(now)
        self._stream.write(f"\r{text[: self._columns - 1]}\x1b[K" if self._bar else f"epochscope: {text}\n")
        self._stream.flush()
        self._shown = self._bar

    def end(self) -> None:
        """Takes the bar away."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False

    def _text(self, now: float) -> str:
        rate = self._done / max(now - self._began, 1e-9)
        left = (self._total - self._done) / rate
        numbers = (
            f"{self._done:,} of {self._total:,} updates, {self._bytes / 1e6:,.1f} MB, {rate:,.0f} updates/s, "
            f"{_time(left)} left"
        )
        if not self._bar:
            return f"{self._name}: {numbers}"
        full = _BAR * self._done // max(self._total, 1)
        return f"{self._name} [{'#' * full}{'.' * (_BAR - full)}] {numbers}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
