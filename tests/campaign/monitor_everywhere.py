"""A pytest plugin: adds a Monitor to every ``fit()`` and ``evaluate()`` of any tests, and writes down their outcomes.

Loaded by ``keras_own_tests.py`` into runs of Keras's own tests. The Monitor tells its news to a port at which nobody
listens; what waits for it lies beside the outcomes, and goes with them.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_NOBODY = "http://127.0.0.1:9"  # the port "discard"
_OURS = re.compile(r"(val_)?(.*/)?((recall|precision|f1)/.*|macro_(recall|precision|f1))")
_watched: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("monitor everywhere")
    group.addoption("--outcomes", type=Path, required=True, help="file to which the outcomes are written")
    group.addoption("--plain-history", action="store_true", help="take Monitor's keys out of what fit() returns")
    group.addoption("--monitor", choices=("none", "first", "last"), default="none", help="its place among callbacks")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requires_trainable_backend: every backend here is one")
    if config.getoption("--monitor") != "none":
        spool = config.getoption("--outcomes").absolute().parent / "spool"
        _watch(config.getoption("--monitor"), config.getoption("--plain-history"), spool)


def _watch(place: str, plain_history: bool, spool: Path) -> None:
    import keras

    for name in ("fit", "evaluate"):
        owner = next(each for each in keras.Model.__mro__ if name in vars(each))
        setattr(owner, name, _with_monitor(vars(owner)[name], place, plain_history, spool))


def _with_monitor(original: Callable[..., Any], place: str, plain_history: bool, spool: Path) -> Callable[..., Any]:
    import keras
    from epochscope.keras import Monitor

    signature = inspect.signature(original)

    @functools.wraps(original)
    def run(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        given = bound.arguments.get("callbacks")
        if isinstance(given, keras.callbacks.CallbackList):
            return original(*args, **kwargs)  # validation within a fit, mostly
        _watched[original.__name__] += 1
        others = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
        monitor = Monitor(url=_NOBODY, spool_dir=spool)
        bound.arguments["callbacks"] = [monitor, *others] if place == "first" else [*others, monitor]
        result = original(*bound.args, **bound.kwargs)
        if plain_history and isinstance(result, keras.callbacks.History):
            for key in [key for key in result.history if _OURS.fullmatch(key)]:
                del result.history[key]
        return result

    return run


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """No thread of a run that can't be sent lives on into the next test."""
    from epochscope import endings, flusher
    from epochscope.sender import State

    for run in list(endings._open):
        run.end("interrupted")
    for living in list(flusher._living):
        living._delivery.state = State.GONE
        living.settle(5)


class _Outcomes:
    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self._write(test=report.nodeid, outcome=report.outcome, why=_last_line(report.longreprtext))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome == "failed":
            self._write(test=report.nodeid, outcome="not collected", why=_last_line(report.longreprtext))

    def pytest_sessionfinish(self) -> None:
        self._write(watched=dict(_watched))

    def _write(self, **line: Any) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.pluginmanager.register(_Outcomes(session.config.getoption("--outcomes")))


def _last_line(text: str) -> str:
    said = [line for line in text.splitlines() if line.startswith("E ")] or text.splitlines()
    return said[-1].removeprefix("E").strip()[:200] if said else ""
