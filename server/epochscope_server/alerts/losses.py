"""Where a loss was no finite number: stretches of steps, followed as its values come in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.nonfinite import said

CALM = 100  # finite values in a row end a stretch; a loss that is NaN now and then is one cause and not many


@dataclass(frozen=True)
class Stretch:
    """From step ``start`` to ``last``; ``value`` is the first not finite, ``back`` the step at which it was over."""

    start: int
    last: int
    value: str
    back: int | None


class Losses:
    """Give it the values of a series in order of steps, each once."""

    def __init__(self) -> None:
        self.over: list[Stretch] = []
        self.on: Stretch | None = None
        self.following = 1  # the first step that it has not taken in

    def update(self, steps: Whole, values: Numbers) -> None:
        """Take in ``values`` float64 [n] of ``steps`` int64 [n], ascending."""
        if not len(steps):
            return
        self.following = int(steps[-1]) + 1
        wrong = np.flatnonzero(~np.isfinite(values))
        last = self.on.last if self.on else None
        begin = 0  # of the values that came since the last that was not finite
        for at in wrong.tolist():
            step = int(steps[at])
            if self.on is not None and last is not None:
                self._end(steps[begin:at])
            if self.on is None:
                self.on = Stretch(step, step, str(said(float(values[at]))), None)
                self._calm = 0
            self.on = Stretch(self.on.start, step, self.on.value, None)
            self._calm, last, begin = 0, step, at + 1
        if self.on is not None:
            self._end(steps[begin:])

    _calm = 0  # finite values since the last that was not

    def _end(self, finite: Whole) -> None:
        """Finite values came; when they are enough, the stretch is over."""
        assert self.on is not None
        if self._calm + len(finite) >= CALM:
            back = int(finite[CALM - self._calm - 1])
            self.over.append(Stretch(self.on.start, self.on.last, self.on.value, back))
            self.on = None
        else:
            self._calm += len(finite)

    @property
    def all(self) -> list[Stretch]:
        return [*self.over, *([self.on] if self.on else [])]
