"""Monitor: attach to ``model.fit()`` in one line and watch every class learn.

::

    model.fit(x, y, validation_data=(x_val, y_val), callbacks=[Monitor(class_names=names)])

It records, of every batch of training, validation and test: the batch's own loss and compiled metrics, and how
each sample was classified; in training the learning rate, too. It never raises into the training, never waits for
the network in it, and leaves the model as it found it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import keras

from epochscope import arguments, keras_resuming, processes, wire
from epochscope.flusher import say
from epochscope.keras_attachment import Attachment
from epochscope.keras_confusion import ConfusionMatrix
from epochscope.keras_guard import Guarded, guarded
from epochscope.keras_passes import Pass
from epochscope.keras_telling import Telling
from epochscope.keras_weights import ClassWeights
from epochscope.sender import DEFAULT_URL, Connection

__all__ = ["ClassWeights", "ConfusionMatrix", "Monitor"]

READ_S = 0.25  # how often, at most, the log of batches is read, unless it fills up
RUNNING_MEAN = "{} (running mean)"
_LIVE = frozenset(
    {
        "params", "_model", "_errors", "off", "_status", "_telling", "_passes", "_now", "_attachment", "_place",
        "_fitting", "_goes_on", "_epoch", "_read_at", "_calls_since",
    }
)  # fmt: skip


class Monitor(Guarded, keras.callbacks.Callback):  # type: ignore[misc]
    """A Keras callback that tells an epochscope service, batch by batch, how a training goes.

    Works in any place in the list of callbacks. At epoch ends History and other callbacks find, as plain floats,
    ``recall/<class>``, ``precision/<class>``, ``f1/<class>``, ``macro_recall``, ``macro_precision``, ``macro_f1``
    and the same with ``val_`` in front; with several classified outputs ``<output>/f1/<class>`` and so on. The
    value of a class that was not seen is NaN. The progress bar does not show them. Where a sample may have several
    labels (sigmoids), ``<class>`` is a label, and the values are of saying yes to it.

    Args:
        project: what runs are listed under.
        name: what to call the run; without one, a readable name. Two calls of ``fit`` are two runs.
        class_names: in the order of the class indices; or a mapping of output names to such lists.
        num_classes: where there are no names ("0", "1", ... then), and to say that outputs are classes at all
            where loss and last layer don't tell.
        params: hyperparameters of your own; optimizer, batch size and the like are found by themselves.
        tags, notes, group: to find the run again, and to hold several together.
        url: of the service; else ``$EPOCHSCOPE_URL``, else ``http://127.0.0.1:7010``.
        token: else ``$EPOCHSCOPE_TOKEN``.
        spool_dir: where updates wait that can't be sent yet; else ``$EPOCHSCOPE_SPOOL_DIR``, else the user's
            state folder.
        resume: id of a run to go on with, in all fits of this Monitor. Steps go on from where this Monitor was. In a
            new process they go on from the epoch that ``fit`` begins with (``initial_epoch``, or what
            ``BackupAndRestore`` has found), and what was recorded of that epoch and of later ones is replaced.

    Raises:
        ValueError, TypeError: an argument can't be used. Later, nothing is raised.
    """

    def __init__(
        self,
        project: str = "default",
        name: str | None = None,
        *,
        class_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        num_classes: int | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        notes: str = "",
        url: str | None = None,
        token: str | None = None,
        spool_dir: str | os.PathLike[str] | None = None,
        group: str | None = None,
        resume: str | None = None,
    ) -> None:
        Guarded.__init__(self)
        keras.callbacks.Callback.__init__(self)
        if isinstance(tags, str):
            raise TypeError(f"tags must be a list of strings, not the string {tags!r}")
        if resume is not None:
            wire.check_id("resume", resume)
        Connection(url or os.environ.get("EPOCHSCOPE_URL") or DEFAULT_URL, None)  # a bad address is told here
        arguments.class_outputs(class_names, num_classes)
        self._class_names = dict(arguments.class_outputs(class_names, None))
        self._num_classes = num_classes
        self._told = (
            name,
            params or {},
            {
                "project": project,
                "class_names": self._class_names or None,
                "tags": list(tags),
                "notes": notes,
                "group": group,
                "url": url,
                "token": token,
                "spool_dir": spool_dir,
            },
        )
        self._resume = resume
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Nothing has been recorded yet."""
        self._telling = Telling(*self._told)
        self._passes = {split: Pass(split) for split in get_args(wire.Split)}
        self._now: Pass | None = None  # whose batches run
        self._attachment: Attachment | None = None
        self._place: processes.Place | None = None  # among several processes
        self._fitting = False
        self._goes_on = False  # a run of another process, in this fit
        self._epoch = 0
        self._read_at = 0.0
        self._calls_since = 0

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of, here or in another process: what this one was given, and nothing that it has done.

        The model and the run stay with this one; a fit of the copy is a run of its own.
        """
        return {name: value for name, value in self.__dict__.items() if name not in _LIVE}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Guarded.__init__(self)
        keras.callbacks.Callback.__init__(self)
        self.__dict__.update(state)
        self._begin_anew()

    @property
    def run_id(self) -> str | None:
        """Id of the run being recorded, else of the last one."""
        return self._telling.last_id or self._resume

    def log(self, name: str, value: float, *, by: str | None = None) -> None:
        """Records a number of your own: by batch while batches run, by epoch in ``on_epoch_end`` and between
        epochs, once for the whole run outside of a training; or as ``by`` says ("batch", "epoch", "run").

        Raises nothing: what is no number is left out.
        """
        self._log(name, value, by)

    @guarded
    def _log(self, name: str, value: float, by: str | None) -> None:
        now = self._now
        by = by or ("batch" if now is not None else "epoch" if self._fitting and self._epoch else "run")
        if by == "batch":
            one = now or self._passes["train"]
            self._telling.value(name, value, one.split, by, max(one.step_now, 1))
        else:
            self._telling.value(name, value, "train", by, self._epoch if by == "epoch" else 0)

    # -- the model

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self._attach(model)

    @guarded
    def _attach(self, model: Any) -> None:
        self._let_go("interrupted", "fit() ended before its time")
        place = processes.place(keras.config.backend(), getattr(model, "_distribute_strategy", None), os.environ)
        if place is not None and place != self._place:
            say(place.line())
        self._place = place
        if place is not None and place.index:
            self.off = True
            return
        self._attachment = Attachment(model, self._class_names, self._num_classes, self.trouble, self._epoch_values)
        for one in self._passes.values():
            one.attach(self._attachment.capture)

    def _let_go(self, status: str, reason: str, going_on: bool = False) -> None:
        """Ends what is still going on: the last fit has raised, or we are switched off in the middle of one."""
        if self._attachment is not None:
            self._attachment.detach(going_on)
            self._attachment = None
        self._telling.abandon(status, reason)
        self._fitting = False
        self._now = None

    def switched_off(self, error: Exception) -> None:
        self._let_go("interrupted", f"epochscope switched itself off: {error!r}", going_on=self._now is not None)

    def _epoch_values(self) -> dict[str, float]:
        """Per-class values of the pass that is through; Keras itself puts ``val_`` in front."""
        values: dict[str, float] = {}
        self._collect(values)
        return values

    @guarded
    def _collect(self, values: dict[str, float]) -> None:
        if self._now is None or not self._fitting:
            return  # a standalone evaluate() returns what it always returned
        self._read(self._now)
        values |= self._publish(self._now)

    def _publish(self, one: Pass) -> dict[str, float]:
        each, macro = one.values()
        before = "val_" if one.split == "val" else ""
        self._telling.left_out |= {before + name for name in each}
        if self._attachment is not None:
            self._attachment.published |= {before + name for name in (*each, *macro)}
        return {**each, **macro}

    # -- what Keras calls

    @guarded
    def on_train_begin(self, logs: Any = None) -> None:
        self._fitting = True
        self._epoch = 0
        if self._resume is None:
            for one in self._passes.values():
                one.steps = 0
        if self._attachment is not None:
            self._attachment.begin()
        self._goes_on = self._resume is not None and not self._passes["train"].steps
        if not self._goes_on:  # else the first step is known when the first epoch begins
            self._begin(self._resume, self.params or {})

    @guarded
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._telling.late()
        self._epoch = epoch + 1
        if self._attachment is not None:
            self._attachment.foreign = False
        if self._goes_on:
            self._go_on(epoch)
        self._start(self._passes["train"])

    @guarded
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._after_batch(self._passes["train"], batch, logs)

    @guarded
    def on_test_begin(self, logs: Any = None) -> None:
        one = self._passes["val" if self._fitting else "test"]
        if self._fitting:
            self._finish(self._passes["train"])
        else:
            anew: dict[wire.Split, int] = {"test": 1} if self._resume is not None and not one.steps else {}
            self._begin(self._telling.last_id or self._resume, {}, anew)
        if self._attachment is not None:
            self._attachment.foreign = False
        one.drop_unread()
        self._start(one)

    @guarded
    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._now is not None:
            self._after_batch(self._now, batch, logs)

    @guarded
    def on_test_end(self, logs: Any = None) -> None:
        if self._now is None:
            return
        self._finish(self._now)
        if not self._fitting:
            self._telling.logs(logs or {}, "test", "epoch", max(self._epoch, 1))
            self._end(self._status)
        self._now = None

    @guarded
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        train = self._passes["train"]
        self._finish(train)
        self._now = None
        self._telling.built(self.model)
        if not isinstance(logs, dict):
            return
        if self._attachment is not None and not self._attachment.sees_epochs and train.counted:
            # Without Keras's private method, the callbacks after us and History can still have them.
            logs.update(self._publish(train))
            val = self._passes["val"]
            if val.counted:
                logs.update({f"val_{name}": value for name, value in self._publish(val).items()})
        self._telling.logs(logs, "train", "epoch", self._epoch)
        self._telling.expect_more(logs, set(logs), "epoch", self._epoch)

    @guarded
    def on_train_end(self, logs: Any = None) -> None:
        self._telling.late()
        self._fitting = False
        self._end("finished")

    # -- runs, passes, batches

    def _begin(
        self, run_id: str | None, fit: dict[str, Any], resumed_at: Mapping[wire.Split, int] | None = None
    ) -> None:
        run, attachment = self._telling.run, self._attachment
        self._status = run.status if run is not None and run.id == run_id else "finished"
        batch_size = attachment.batch_size if attachment is not None else None
        self._telling.begin(self, self.model, run_id, fit, batch_size, resumed_at)
        if attachment is not None:
            attachment.begin()
            if attachment.why_not:
                self._telling.running_means_only(attachment.why_not)

    def _go_on(self, epoch: int) -> None:
        """Begins where a run that another process has begun is to go on; what that told of later steps is replaced."""
        self._goes_on = False
        fit = self.params or {}
        before = keras_resuming.batches_before(self.model, epoch, fit.get("steps"))
        for split, batches in before.items():
            self._passes[split].steps = batches or 0
        if None in before.values():
            say(
                "how many batches a validation pass has is not known beforehand, so validation is recorded anew from "
                f"epoch {epoch + 1} on; what was recorded of earlier epochs is replaced"
            )
        self._begin(self._resume, fit, {split: (batches or 0) + 1 for split, batches in before.items()})

    def _end(self, status: str) -> None:
        if self._attachment is not None:
            self._attachment.detach()
            self._attachment = None
        self._telling.end(status)

    def _start(self, one: Pass) -> None:
        one.begin()
        self._now = one
        self._calls_since = 0
        if self._telling.run is not None and one.split != "test":
            self._telling.run.span(one.split, self._epoch, one.steps + 1)
        if self._telling.run is not None and one.split == "train":
            self._telling.run.pace.begin()

    def _keep_pace(self, one: Pass, batches: int, step: int) -> None:
        if one.split == "train" and batches and self._telling.run is not None:
            size = self._attachment.batch_size if self._attachment is not None else None
            self._telling.run.pace.add(step, batches * (size or 0))

    def _finish(self, one: Pass) -> None:
        """Reads the rest of a pass and says which steps it covered; a second call changes nothing."""
        self._telling.late()
        if not one.running or self._telling.run is None:
            return
        self._read(one)
        one.running = False
        if one.split != "test" and one.steps > one.start:
            self._telling.run.span(one.split, self._epoch, one.start + 1, one.steps + 1)

    def _after_batch(self, one: Pass, batch: int, logs: Any) -> None:
        self._telling.late()
        self._now = one
        one.step_now = one.start + batch + 1
        if self._attachment is None or self._attachment.capture is None:
            self._keep_pace(one, one.step_now - one.steps, one.step_now)
            one.steps = one.step_now
            for name, value in (logs or {}).items():
                self._telling.value(RUNNING_MEAN.format(name), value, one.split, "batch", one.steps)
            return
        self._calls_since += 1
        if time.monotonic() - self._read_at >= READ_S or one.nearly_full(self._calls_since):
            self._read(one)
        if isinstance(logs, dict) and one.names:
            for name in one.unseen:
                if name in logs:
                    self._telling.value(RUNNING_MEAN.format(name), logs[name], one.split, "batch", one.step_now)
            self._telling.expect_more(logs, one.names, "batch", one.step_now)

    def _read(self, one: Pass) -> None:
        """Brings what the device has logged to the run."""
        self._read_at = time.monotonic()
        self._calls_since = 0
        run, attachment = self._telling.run, self._attachment
        if run is None or attachment is None or attachment.capture is None:
            return
        steps = one.steps
        lost = one.read(run)
        self._keep_pace(one, one.steps - steps, one.steps)
        if lost:
            say(f"{lost} batches were larger than expected and not recorded; there is more room for the next")
            attachment.capture.grow()
        self._telling.capture(attachment.capture.outputs)
