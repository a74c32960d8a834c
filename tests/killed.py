"""Processes that are killed at random: forked from a warm one, so that each takes no longer than its life."""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue

TESTS = Path(__file__).parent

# Forks once for each line it reads; the child runs `life` and the parent says when it is dead.
_NURSERY = """
import os, sys
sys.path[:0] = {folders!r}
from {module} import {life}
for line in sys.stdin:
    if (child := os.fork()) == 0:
        {life}(*line.split())
        os._exit(0)
    os.write(1, b"born %d\\n" % child)  # whole, also beside what the child says
    os.write(1, b"dead %d\\n" % os.waitpid(child, 0)[1])
"""


class Nursery:
    """Lives of one function of a module, each in a process of its own; a context manager.

    The function takes strings and prints lines; the first one says that it has begun what may be interrupted.
    ``arguments`` come first in every life.
    """

    def __init__(self, life: Callable[..., None], *arguments: object, **environment: str) -> None:
        self._arguments = arguments
        self.killed = False  # whether the last life was cut short
        file = Path(inspect.getfile(life))
        script = _NURSERY.format(folders=[str(TESTS), str(file.parent)], module=file.stem, life=life.__name__)
        self._process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment,
        )  # fmt: skip
        self._lines: Queue[str | None] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def live(self, seconds: float | None, *more: object, chance: random.Random | None = None) -> list[str]:
        """The lines of one life that is killed at most ``seconds`` after it began; None: it is left to end by itself.

        ``more`` are further arguments; a life may kill itself earlier where it is not to end by itself.
        """
        process = self._process
        assert process.stdin is not None
        process.stdin.write(" ".join(map(str, (*self._arguments, *more))) + "\n")
        process.stdin.flush()
        after = None if seconds is None else (chance or random).uniform(0, seconds)
        child, kill_at = 0, math.inf
        said: list[str] = []
        while True:
            try:
                wait = max(kill_at - time.monotonic(), 0.0)
                line = self._lines.get(timeout=None if math.isinf(wait) else wait)
            except Empty:
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    os.kill(child, signal.SIGKILL)
                kill_at = math.inf
                continue
            assert line is not None, f"the nursery is dead itself: {process.wait()}"
            word, _, rest = line.partition(" ")
            if word == "dead":
                self.killed = int(rest) == signal.SIGKILL
                assert int(rest) == 0 or (self.killed and seconds is not None), said
                return said
            if word == "born":
                child = int(rest)
            else:
                said.append(line)
            if child and said and after is not None:
                kill_at, after = time.monotonic() + after, None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.strip())
        self._lines.put(None)

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()
