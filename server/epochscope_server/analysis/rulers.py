"""Where a training step stands on another axis: in epochs, in samples seen, in seconds of training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from epochscope_server.analysis.rates import Numbers

UNITS = ("step", "epoch", "samples", "time")


@dataclass(frozen=True)
class Ruler:
    """Known places of the ends of steps, both ascending [K]; between them it goes straight, beyond them nothing is.

    ``unit`` is one of ``UNITS``; places are steps, epochs (2.5: half of the third is over), samples or seconds.
    ``ends``: the last training step of each epoch.
    """

    unit: str
    steps: Numbers = field(default_factory=lambda: np.zeros(0))
    places: Numbers = field(default_factory=lambda: np.zeros(0))
    ends: Mapping[int, int] = field(default_factory=dict)

    def at(self, steps: ArrayLike) -> Numbers:
        """The places of ``steps`` [P], float64 [P]; NaN where nobody knows."""
        asked = np.asarray(steps, np.float64)
        if self.unit == "step":
            return asked
        if not len(self.steps):
            return np.full(asked.shape, np.nan)
        return np.interp(asked, self.steps, self.places, left=np.nan, right=np.nan)

    def after(self, epochs: ArrayLike) -> Numbers:
        """The places at which ``epochs`` [P] end, float64 [P]; NaN where nobody knows."""
        if self.unit == "epoch":
            return np.asarray(epochs, np.float64)
        return self.at([self.ends.get(int(epoch), np.nan) for epoch in np.asarray(epochs)])


def by_step(spans: Iterable[Mapping[str, Any]]) -> Ruler:
    """Steps themselves. ``spans``: the epochs of training, each with "epoch", "from" and "to"."""
    return Ruler("step", ends=_ends(spans))


def by_epoch(spans: Iterable[Mapping[str, Any]], batches: int | None) -> Ruler:
    """Epochs. ``batches``: how many an epoch is to have, for the last one, which may have ended early or go on."""
    told = sorted(spans, key=lambda span: int(span["from"]))
    steps: list[float] = []
    places: list[float] = []
    for number, span in enumerate(told):
        length = span["to"] - span["from"]
        whole = max(length, batches or 0) if number == len(told) - 1 else length
        if length <= 0:
            continue
        steps += [span["from"] - 1, span["to"] - 1]
        places += [span["epoch"] - 1, span["epoch"] - 1 + length / whole]
    return Ruler("epoch", np.array(steps, np.float64), np.array(places, np.float64), _ends(told))


def by_samples(spans: Iterable[Mapping[str, Any]], stops: ArrayLike, samples: ArrayLike) -> Ruler:
    """Samples counted in consecutive windows [W] that end before ``stops``."""
    steps = np.concatenate([[0.0], np.asarray(stops, np.float64) - 1])
    return Ruler("samples", steps, np.concatenate([[0.0], np.cumsum(samples, dtype=np.float64)]), _ends(spans))


def by_time(spans: Iterable[Mapping[str, Any]], steps: ArrayLike, seconds: ArrayLike) -> Ruler:
    """Seconds of training told now and then; where a training goes on after a break, the break is left out."""
    told, clock = np.asarray(steps, np.float64), np.asarray(seconds, np.float64)
    gone = np.diff(clock, prepend=0.0)
    gone = np.where(gone < 0, clock, gone)  # a process that goes on starts its clock anew
    return Ruler("time", np.concatenate([[0.0], told]), np.concatenate([[0.0], np.cumsum(gone)]), _ends(spans))


def _ends(spans: Iterable[Mapping[str, Any]]) -> dict[int, int]:
    return {int(span["epoch"]): int(span["to"]) - 1 for span in spans}
