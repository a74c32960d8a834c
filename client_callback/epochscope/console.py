"""What the person at the console is told: one line for a change, on stderr, and never more than a log can bear."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

MOST = 10  # lines about one run in an hour
HOUR_S = 3600.0


def say(text: str) -> None:
    """One line for the person at the console, on stderr."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # one that is closed or None is no reason to stop
        sys.stderr.write(f"epochscope: {text}\n")
        sys.stderr.flush()


class News:
    """Lines about one run, at most ten within any hour: a service that comes and goes must not fill a log.

    What is left out is counted. The latest of it is said, with the count, as soon as there is room, so that the last
    line at the console is how things stand.
    """

    def __init__(self, say: Callable[[str], None] = say, clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._said: deque[float] = deque()
        self._held: list[str] = []  # the latest line that was left out, if any
        self._left_out = 0
        self._alone = threading.Lock()  # several threads have something to say

    def __call__(self, text: str) -> None:
        with self._alone:
            self._held = [text]
            self._left_out += 1
            self._tend()

    def tend(self) -> None:
        """Says what was left out, if there is room for it by now."""
        with self._alone:
            self._tend()

    def _tend(self) -> None:
        now = self._clock()
        while self._said and now - self._said[0] >= HOUR_S:
            self._said.popleft()
        if not self._held or len(self._said) >= MOST:
            return
        self._said.append(now)
        text, before = self._held.pop(), self._left_out - 1
        self._left_out = 0
        if before:
            text += f" ({before:,} lines before this one were left out)"
        if len(self._said) == MOST:
            text += f" (that was line {MOST} within an hour; the next comes when the hour is over)"
        self._say(text)
