"""How runs end that nobody ends: by an exception, by Ctrl-C, or with the process.

A run that is still open when an exception leaves the program has failed (or was interrupted); one that is still
open when the interpreter exits was interrupted. Chained into ``sys.excepthook``, so that other hooks still run.
"""

from __future__ import annotations

import atexit
import sys
from types import TracebackType
from typing import Protocol


class Ends(Protocol):
    """What can be ended: a run."""

    def end(self, status: str, reason: str = "") -> None: ...


_open: set[Ends] = set()
_hooked = False


def watch(run: Ends) -> None:
    """From now on ``run`` is ended with the process, if nothing ends it before."""
    global _hooked, _next_hook
    _open.add(run)
    if not _hooked:
        _hooked = True
        _next_hook = sys.excepthook
        sys.excepthook = _on_exception
        atexit.register(_at_exit)  # now, not on import: what is registered last runs first, before the flusher's


def forget(run: Ends) -> None:
    """The run has ended in its own way."""
    _open.discard(run)


def judged(error: BaseException | None) -> tuple[str, str]:
    """The status and the reason that ``error`` gives a run which it ends."""
    if error is None:
        return "finished", ""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "KeyboardInterrupt"
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return "finished", ""
    text = str(error)
    return "failed", f"{type(error).__name__}: {text}" if text else type(error).__name__


def _on_exception(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    _end_all(*judged(error))
    _next_hook(kind, error, traceback)


def _at_exit() -> None:
    _end_all("interrupted", "the process ended before the run did")


def _end_all(status: str, reason: str) -> None:
    for run in list(_open):
        run.end(status, reason)


_next_hook = sys.excepthook
