"""What Keras calls while it trains and evaluates, in its order: from this a run is begun, told and ended.

Also where Keras leaves something out: an exception ends a fit without a word, and a callback of that fit may evaluate
the model in the midst of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import keras

from epochscope import keras_resuming, processes, wire
from epochscope.flusher import say
from epochscope.keras_attachment import Attachment
from epochscope.keras_guard import Guarded, guarded
from epochscope.keras_outputs import Outputs
from epochscope.keras_passes import Pass
from epochscope.keras_reading import Reading
from epochscope.keras_telling import Telling


class Following(Guarded, keras.callbacks.Callback):  # type: ignore[misc]
    """Follows one fit, evaluation or loop after another.

    Args:
        told: arguments of ``Telling``: what runs are to be called and to say.
        outputs: arguments of ``Outputs``: how the outputs of each model are to be read.
        resume: id of the run that all fits go on with, or None.
    """

    def __init__(self, told: tuple[Any, ...], outputs: Mapping[str, Any], resume: str | None) -> None:
        self._told = told
        self._outputs = outputs
        self._resume = resume
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Nothing has been seen yet."""
        given = set(vars(self))
        Guarded.__init__(self)
        keras.callbacks.Callback.__init__(self)
        self._telling = Telling(*self._told)
        self._reading = Reading(self._telling)
        self._place: processes.Place | None = None  # among several processes
        self._fitting = False
        self._closed = False  # by the person; what Keras still calls is of no interest
        self._goes_on = False  # a run of another process, in this fit
        self._visited: tuple[Pass | None] | None = None  # what ran when a callback of our fit began an evaluation
        self._status = ""  # of the run that an evaluation goes on with
        self._epoch = 0
        self._own = {"_own", *vars(self)} - given

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of, here or in another process: what this one was given, and nothing that it has done.

        The model and the run stay with this one; a fit of the copy is a run of its own.
        """
        return {name: value for name, value in vars(self).items() if name not in self._own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin_anew()

    # -- the model

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self._attach(model)

    @guarded
    def _attach(self, model: Any) -> None:
        if self._fitting and self._is_visited():
            return
        self._break_off()
        self._closed = False
        place = processes.place(keras.config.backend(), getattr(model, "_distribute_strategy", None), os.environ)
        if place is not None and place != self._place:
            say(place.line())
        self._place = place
        if place is not None and place.index:
            self.off = True
            return
        outputs = Outputs(**self._outputs)
        self._reading.attach(Attachment(model, outputs, self.trouble, self._epoch_values, self._break_off))

    def _is_visited(self) -> bool:
        """Whether a callback of our own fit evaluates its model, and tells us so."""
        attachment = self._reading.attachment
        return attachment is not None and attachment.is_visited(self.model)

    def _break_off(self) -> None:
        """Ends what is still going on: nobody has told us that it is over."""
        evaluated = "" if self._fitting else self._status
        self._let_go()
        if evaluated:
            self._telling.abandon(evaluated, "")
        else:
            self._telling.abandon("interrupted", "fit() ended before its time")

    def _let_go(self) -> None:
        if self._reading.now is not None:
            self._reading.read(self._reading.now)
        attachment = self._reading.attachment
        self._reading.attach(None)
        self._fitting = False
        self._visited = None
        if attachment is not None:
            attachment.leave()

    @guarded
    def _close(self, status: str, reason: str) -> None:
        self._closed = True
        self._let_go()
        if self._telling.open:
            self._telling.end(status, reason)

    def switched_off(self, error: Exception) -> None:
        attachment = self._reading.attachment
        self._reading.attach(None)
        if attachment is not None:
            attachment.leave()
        self._telling.abandon("interrupted", f"epochscope switched itself off: {error!r}")

    def _epoch_values(self) -> dict[str, float]:
        """Per-class values of the pass that is through; Keras itself puts ``val_`` in front."""
        values: dict[str, float] = {}
        self._collect(values)
        return values

    @guarded
    def _collect(self, values: dict[str, float]) -> None:
        one = self._reading.now
        if one is None or one.split == "test" or not self._fitting:
            return  # a standalone evaluate() returns what it always returned
        self._reading.read(one)
        values |= self._reading.publish(one)

    # -- what Keras calls

    @guarded
    def on_train_begin(self, logs: Any = None) -> None:
        if self._fitting or self._reading.attachment is None:  # this list of callbacks was used before
            self._fitting = False
            self._attach(self.model)
        self._fitting = True
        self._epoch = 0
        if self._resume is None:
            for one in self._reading.passes.values():
                one.steps = 0
        if self._reading.attachment is not None:
            self._reading.attachment.begun = True
        self._goes_on = self._resume is not None and not self._reading.passes["train"].steps
        if not self._goes_on:  # else the first step is known when the first epoch begins
            self._begin(self._resume, self.params or {})

    @guarded
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._telling.late()
        self._epoch = epoch + 1
        if self._goes_on:
            self._go_on(epoch)
        if self._telling.open:
            self._reading.start(self._reading.passes["train"], self._epoch)

    @guarded
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._reading.after_batch(self._reading.passes["train"], batch, logs)

    @guarded
    def on_test_begin(self, logs: Any = None) -> None:
        if self._closed:
            return
        reading = self._reading
        one = reading.passes["val" if self._fitting else "test"]
        if self._fitting and self._is_visited():
            one = reading.passes["test"]
            if reading.now is not None:
                reading.read(reading.now)
            self._visited = (reading.now,)
        elif self._fitting:
            reading.finish(reading.passes["train"], self._epoch)
        else:
            if reading.attachment is None:
                self._attach(self.model)
            anew: dict[wire.Split, int] = {"test": 1} if self._resume is not None and not one.steps else {}
            self._begin(self._telling.last_id or self._resume, {}, anew)
        one.drop_unread()
        reading.start(one, self._epoch)

    @guarded
    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._reading.now is not None:
            self._reading.after_batch(self._reading.now, batch, logs)

    @guarded
    def on_test_end(self, logs: Any = None) -> None:
        one = self._reading.now
        if one is None:
            return
        self._reading.finish(one, self._epoch)
        if one.split == "test":
            self._telling.logs(logs or {}, "test", "epoch", max(self._epoch, 1))
        if not self._fitting:
            self._end(self._status or "finished")
        self._reading.now = self._visited[0] if self._visited is not None else None
        self._visited = None

    @guarded
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        reading, attachment = self._reading, self._reading.attachment
        train, val = reading.passes["train"], reading.passes["val"]
        reading.finish(train, self._epoch)
        reading.now = None
        self._telling.built(self.model)
        if not isinstance(logs, dict) or not self._telling.open:
            return
        if attachment is not None and not attachment.sees_epochs and train.counted:
            # Without Keras's private method, the callbacks after us and History can still have them.
            logs.update(reading.publish(train))
            if val.counted:
                logs.update({f"val_{name}": value for name, value in reading.publish(val).items()})
        self._telling.logs(logs, "train", "epoch", self._epoch)
        self._telling.expect_more(logs, set(logs), "train", "epoch", self._epoch)

    @guarded
    def on_train_end(self, logs: Any = None) -> None:
        self._telling.late()
        self._end("finished")

    # -- runs

    def _begin(
        self, run_id: str | None, fit: dict[str, Any], resumed_at: Mapping[wire.Split, int] | None = None
    ) -> None:
        run, attachment = self._telling.run, self._reading.attachment
        self._status = run.status if run is not None and run.id == run_id else ""
        batch_size = attachment.batch_size if attachment is not None else None
        try:
            self._telling.begin(self, self.model, run_id, fit, batch_size, resumed_at)
        except Exception as error:
            say(f"nothing of this training is recorded: {error}")
            raise
        if attachment is not None:
            attachment.begun = True
            if attachment.why_not:
                self._telling.running_means_only(attachment.why_not)

    def _go_on(self, epoch: int) -> None:
        """Begins where a run that another process has begun is to go on; what that told of later steps is replaced."""
        self._goes_on = False
        fit = self.params or {}
        before = keras_resuming.batches_before(self.model, epoch, fit.get("steps"))
        for split, batches in before.items():
            self._reading.passes[split].steps = batches or 0
        if None in before.values():
            say(
                "how many batches a validation pass has is not known beforehand, so validation is recorded anew from "
                f"epoch {epoch + 1} on; what was recorded of earlier epochs is replaced"
            )
        self._begin(self._resume, fit, {split: (batches or 0) + 1 for split, batches in before.items()})

    def _end(self, status: str) -> None:
        self._let_go()
        self._telling.end(status)
