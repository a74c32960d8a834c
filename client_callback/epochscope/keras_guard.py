"""The guard around every hook: nothing that goes wrong in epochscope may reach a training."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from epochscope.flusher import say

MOST_ERRORS = 10

P = ParamSpec("P")
S = TypeVar("S", bound="Guarded")


class Guarded:
    """Counts internal errors. After ten it switches itself off, with one line; under pytest it raises them."""

    def __init__(self) -> None:
        self._errors = 0
        self.off = False

    def trouble(self, error: Exception) -> None:
        """An internal error has happened."""
        if "PYTEST_CURRENT_TEST" in os.environ:
            raise error
        self._errors += 1
        if self._errors >= MOST_ERRORS and not self.off:
            self.off = True
            say(f"switched itself off after {self._errors} internal errors ({error!r}); training is not affected")
            self.switched_off(error)

    def switched_off(self, error: Exception) -> None:
        """Lets go of everything; called once."""


def guarded(hook: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], None]:
    """A hook that never raises an error of ours, and does nothing once its owner is off."""

    @functools.wraps(hook)
    def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.off:
            return
        try:
            hook(self, *args, **kwargs)
        except Exception as error:
            self.trouble(error)

    return run
