"""Processes that are killed at random: forked from a warm one, so that each takes no longer than its life."""

from __future__ import annotations

import contextlib
import inspect
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

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
    print("born", child, flush=True)
    print("dead", os.waitpid(child, 0)[1], flush=True)
"""


class Nursery:
    """Lives of one function of a module, each with the same arguments, in a process of its own; a context manager.

    The function prints lines; the first one says that it has begun what may be interrupted.
    """

    def __init__(self, life: Callable[..., None], *arguments: object, **environment: str) -> None:
        self._arguments = " ".join(map(str, arguments))
        file = Path(inspect.getfile(life))
        script = _NURSERY.format(folders=[str(TESTS), str(file.parent)], module=file.stem, life=life.__name__)
        self._process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment,
        )  # fmt: skip

    def live(self, seconds: float | None) -> list[str]:
        """The lines of one life that is killed after at most ``seconds``; None: it is left to end by itself."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(self._arguments + "\n")
        process.stdin.flush()
        child = 0
        said: list[str] = []
        for line in process.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "dead":
                assert int(rest) == 0 or (int(rest) == signal.SIGKILL and seconds is not None), said
                return said
            if word == "born":
                child = int(rest)
            else:
                said.append(line.strip())
            if child and said and seconds is not None:
                time.sleep(random.uniform(0, seconds))
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    os.kill(child, signal.SIGKILL)
                child = 0
        raise AssertionError(f"the nursery is dead itself: {process.wait()}")

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
