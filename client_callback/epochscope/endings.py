"""How runs end that nobody ends: by an exception, by Ctrl-C, by SIGTERM, or with the process.

A run that is still open when an exception leaves the program has failed (or was interrupted); one that is still
open when the interpreter exits was interrupted. Chained into ``sys.excepthook``, so that other hooks still run; SIGTERM
is only listened to where nobody else does, while a run is open, and still ends the process.

At a prompt, in IPython and in a notebook an exception ends what was called, not the program: there a ``fit`` that
raised is over, and a run of one's own goes on.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

TERM_WAIT_S = 1.5  # for acknowledgements, when the process is told to end


class Ends(Protocol):
    """What can be ended: a run."""

    def end(self, status: str, reason: str = "") -> None: ...


at_term: list[Callable[[float], None]] = []  # called with the time there is, once the runs have been ended

_open: set[Ends] = set()
_of_call: dict[Ends, int] = {}  # runs of one call, and the thread that made it
_hooked = False
_terminating = False


def watch(run: Ends) -> None:
    """From now on ``run`` is ended with the process, if nothing ends it before."""
    global _hooked, _next_hook
    _open.add(run)
    if not _hooked:
        _hooked = True
        _next_hook = sys.excepthook
        sys.excepthook = _on_exception
        atexit.register(_at_exit)  # now, not on import: what is registered last runs first, before the flusher's
        if (shell := _shell()) is not None:
            shell.events.register("post_run_cell", _after_cell)
    _listen(signal.SIG_DFL, _on_term)


def bind(run: Ends) -> None:
    """``run`` is that of a call in this thread, a ``fit``: it is over when the call has raised."""
    _of_call[run] = threading.get_ident()


def forget(run: Ends) -> None:
    """The run has ended in its own way."""
    _open.discard(run)
    _of_call.pop(run, None)
    if not _open:
        _listen(_on_term, signal.SIG_DFL)


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
    if hasattr(sys, "ps1"):  # a prompt comes back
        _end_call(error)
    else:
        _end_all(*judged(error))
    _next_hook(kind, error, traceback)


def _after_cell(result: Any) -> None:
    if (error := getattr(result, "error_in_exec", None)) is not None:
        _end_call(error)


def _shell() -> Any:
    """The running IPython; None if there is none."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def _at_exit() -> None:
    _end_all("interrupted", "the process ended before the run did")


def _end_all(status: str, reason: str) -> None:
    for run in list(_open):
        run.end(status, reason)


def _end_call(error: BaseException) -> None:
    """Ends the runs of calls in this thread that ``error`` has left."""
    for run, thread in list(_of_call.items()):
        if thread == threading.get_ident():
            run.end(*judged(error))


def _listen(instead_of: Any, handler: Any) -> None:
    """Puts ``handler`` in the place of SIGTERM's, if that is ``instead_of``; only the main thread can."""
    with contextlib.suppress(ValueError):
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == instead_of:
            signal.signal(signal.SIGTERM, handler)


def _on_term(number: int, frame: object) -> None:
    """Ends the runs, then the process as SIGTERM would have. A second one does not wait."""
    global _terminating
    if not _terminating:
        _terminating = True
        # In another thread: the main one may hold any lock just now, and then this would wait for ever.
        done = _thread.allocate_lock()
        done.acquire()
        with contextlib.suppress(RuntimeError):  # no thread can be started any more
            _thread.start_new_thread(_part, (done,))
            done.acquire(timeout=TERM_WAIT_S + 0.3)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _part(done: _thread.LockType) -> None:
    try:
        _end_all("terminated", "SIGTERM")
        for each in at_term:
            each(TERM_WAIT_S)
    finally:
        done.release()


def _in_child() -> None:
    """Nothing is ended in a forked child: the runs are the parent's, and signals are what they would be without us."""
    _open.clear()
    _of_call.clear()
    _listen(_on_term, signal.SIG_DFL)


_next_hook = sys.excepthook
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
