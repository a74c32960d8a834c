"""The batches of a training as they come in: the device's log is read now and then, what it says goes to the run."""

from __future__ import annotations

import time
from typing import Any, get_args

from epochscope import wire
from epochscope.flusher import say
from epochscope.keras_attachment import Attachment
from epochscope.keras_passes import Pass
from epochscope.keras_telling import Telling

READ_S = 0.25  # how often, at most, the log of batches is read, unless it fills up
RUNNING_MEAN = "{} (running mean)"


class Reading:
    """The passes over data of one Monitor, by split, and the one whose batches run now.

    Args:
        telling: the run they are told to.
    """

    def __init__(self, telling: Telling) -> None:
        self.passes = {split: Pass(split) for split in get_args(wire.Split)}
        self.now: Pass | None = None  # whose batches run
        self.attachment: Attachment | None = None  # to the model they run through
        self._telling = telling
        self._read_at = 0.0

    def attach(self, attachment: Attachment | None) -> None:
        """From now on batches run through another model, or none."""
        self.attachment = attachment
        if attachment is None:
            self.now = None
            return
        for one in self.passes.values():
            one.attach(attachment.capture)

    def start(self, one: Pass, epoch: int) -> None:
        """The batches of a pass begin."""
        one.begin()
        self.now = one
        run = self._telling.run
        if run is not None and one.split != "test":
            run.span(one.split, epoch, one.steps + 1)
        if run is not None and one.split == "train":
            run.pace.begin()

    def after_batch(self, one: Pass, batch: int, logs: Any) -> None:
        """``batch`` of the pass is done, the last one of several if they were executed at once."""
        self._telling.late()
        self.now = one
        one.step_now = one.start + batch + 1
        if self.attachment is None or self.attachment.capture is None:
            self._tell_running_means(one, logs)
            return
        if one.names is None or one.step_now >= one.full_at or time.monotonic() - self._read_at >= READ_S:
            self.read(one)
        if isinstance(logs, dict) and one.names is not None:
            for name in one.unseen:
                if name in logs:
                    self._telling.value(RUNNING_MEAN.format(name), logs[name], one.split, "batch", one.step_now)
            self._telling.expect_more(logs, one.names, one.split, "batch", one.step_now)

    def read(self, one: Pass) -> None:
        """Brings what the device has logged to the run."""
        self._read_at = time.monotonic()
        run, attachment = self._telling.run, self.attachment
        if run is None or attachment is None or attachment.capture is None:
            return
        steps = one.steps
        lost = one.read(run)
        self._keep_pace(one, one.steps - steps, one.steps)
        if lost:
            say(f"{lost} batches were larger than expected and not recorded; there is more room for the next")
            attachment.capture.grow()
        self._telling.capture(attachment.capture.outputs)

    def finish(self, one: Pass, epoch: int) -> None:
        """Reads the rest of a pass and says which steps it covered; a second call changes nothing."""
        self._telling.late()
        if not one.running or self._telling.run is None:
            return
        self.read(one)
        one.running = False
        if one.split != "test" and one.steps > one.start:
            self._telling.run.span(one.split, epoch, one.start + 1, one.steps + 1)

    def publish(self, one: Pass) -> dict[str, float]:
        """The values of each class and their means, as History and other callbacks are to have them, without ``val_``
        in front."""
        each, macro = one.values()
        before = "val_" if one.split == "val" else ""
        self._telling.left_out |= {before + name for name in each}
        if self.attachment is not None:
            self.attachment.published |= {before + name for name in (*each, *macro)}
        return {**each, **macro}

    def _tell_running_means(self, one: Pass, logs: Any) -> None:
        """All there is where nobody can look into the step."""
        if not self._telling.open:
            return
        self._keep_pace(one, one.step_now - one.steps, one.step_now)
        one.steps = one.step_now
        for name, value in (logs or {}).items():
            self._telling.value(RUNNING_MEAN.format(name), value, one.split, "batch", one.steps)

    def _keep_pace(self, one: Pass, batches: int, step: int) -> None:
        if one.split == "train" and batches and self._telling.run is not None:
            size = self.attachment.batch_size if self.attachment is not None else None
            self._telling.run.pace.add(step, batches * (size or 0))
