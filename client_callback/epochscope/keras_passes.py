"""Passes over data: the batches of one split, numbered from 1 for the whole run, on their way from the device
log to the run, and the totals of the pass that is going on."""

from __future__ import annotations

from typing import Any

import numpy as np

from epochscope import wire
from epochscope.flusher import say
from epochscope.keras_classify import OUT_OF_RANGE
from epochscope.keras_results import Totals
from epochscope.run import Run


class Pass:
    """One split's batches. ``steps`` of them were recorded in this run; the pass at hand began after ``start``."""

    def __init__(self, split: wire.Split) -> None:
        self.split = split
        self.steps = 0
        self.start = 0
        self.step_now = 0  # the batch that Keras has just told of
        self.full_at = 0  # the batch after which the log must be read
        self.running = False
        self.names: set[str] | None = None  # of the scalars that the model itself puts into logs, once they are known
        self.unseen: tuple[str, ...] = ()  # those of them that have no value of the batch alone
        self._capture: Any = None
        self._totals: dict[str, Totals] = {}
        self._told_range = False

    def attach(self, capture: Any) -> None:
        self._capture = capture
        self._totals.clear()
        self.names = None
        self.unseen = ()
        self.running = False

    @property
    def _ring(self) -> Any:
        return self._capture.train if self.split == "train" else self._capture.test

    @property
    def counted(self) -> bool:
        """Whether any sample of this pass was classified."""
        return any(len(totals) for totals in self._totals.values())

    def begin(self) -> None:
        self.start = self.step_now = self.steps
        self._see_room()
        self.running = True
        for totals in self._totals.values():
            totals.clear()

    def _see_room(self) -> None:
        """Where the log, which is empty now, will have to be read at the latest."""
        if self._capture is not None:
            self.full_at = self.step_now + self._capture.room(self._ring)

    def drop_unread(self) -> None:
        """Forgets batches that belong to no pass of ours (an ``evaluate`` inside another callback)."""
        if self._capture is not None:
            self._capture.read(self._ring)

    def read(self, run: Run) -> int:
        """Brings the batches logged since the last reading to ``run``; how many were lost is returned."""
        found, lost = self._capture.read(self._ring)
        self._see_room()
        self.steps += lost
        for rows in found:
            steps = np.arange(self.steps + 1, self.steps + 1 + len(rows))
            self.steps += len(rows)
            self.unseen = rows.layout.unseen
            self.names = set(rows.layout.scalars) - {"learning_rate"} | set(self.unseen)
            for number, name in enumerate(rows.layout.scalars):
                run.recording.values(wire.clean_name(name), self.split, "batch", steps, rows.scalars[:, number])
            times = rows.times or [None] * len(rows.codes)
            outputs = zip(rows.layout.outputs, rows.lengths, rows.codes, times, strict=True)
            for (name, classes), *counts in outputs:
                self._read_codes(run, name, classes, steps, *counts)
        return int(lost)

    def values(self) -> tuple[dict[str, float], dict[str, float]]:
        """Per-class and macro values of the pass so far, over all classified outputs."""
        each: dict[str, float] = {}
        macro: dict[str, float] = {}
        for name, totals in self._totals.items():
            prefix = f"{name}/" if len(self._totals) > 1 else ""
            some, means = totals.values(self._capture.outputs.names_of(name), prefix)
            each |= some
            macro |= means
        return each, macro

    def _read_codes(self, run: Run, name: str, classes: int, steps: Any, lengths: Any, codes: Any, times: Any) -> None:
        kept = codes >= 0
        if not kept.all():
            wrong = int((codes == OUT_OF_RANGE).sum())
            if wrong and not self._told_range:
                self._told_range = True
                say(f"some labels are none of the classes 0 to {classes - 1}; these samples are not counted")
            batch = np.repeat(np.arange(len(lengths)), lengths)
            lengths = np.bincount(batch[kept], minlength=len(lengths))
            codes = codes[kept]
            times = None if times is None else times[kept]
        if name not in self._totals:
            self._totals[name] = Totals(classes)
        self._totals[name].add(codes, times)
        run.recording.codes(wire.clean_name(name), self.split, classes, steps, lengths, codes, times)
