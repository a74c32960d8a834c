"""What wakes a thread of ours: an Event that training may set anywhere, in a signal handler too.

An ``Event`` has a lock. Where SIGTERM comes while training holds it for an instant, our thread would wait for it until
the process is gone, and what is recorded would go with it.
"""

from __future__ import annotations

import contextlib
import queue


class Bell:
    """Rung from any thread, heard by one. ``SimpleQueue.put`` may be called where it was itself interrupted."""

    def __init__(self) -> None:
        self._rung: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        if self._rung.empty():
            self._rung.put(None)

    def clear(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._rung.get_nowait()

    def is_set(self) -> bool:
        return not self._rung.empty()

    def wait(self, timeout: float) -> bool:
        """Until it is rung, at most ``timeout`` seconds; whether it was. It stays rung until it is cleared."""
        try:
            self._rung.get(timeout=timeout)
        except queue.Empty:
            return False
        self._rung.put(None)
        return True
