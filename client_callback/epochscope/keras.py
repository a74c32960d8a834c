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
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras

from epochscope import arguments, keras_facts, wire
from epochscope import keras_patches as patches
from epochscope.flusher import say
from epochscope.keras_guard import Guarded, guarded
from epochscope.keras_passes import Pass, open_capture
from epochscope.run import Run
from epochscope.sender import DEFAULT_URL, Connection
from epochscope.spool import new_id

READ_S = 0.25  # how often the log of batches is read
RUNNING_MEAN = "{} (running mean)"


class Monitor(Guarded, keras.callbacks.Callback):  # type: ignore[misc]
    """A Keras callback that tells an epochscope service, batch by batch, how a training goes.

    Works in any place in the list of callbacks. At epoch ends History and other callbacks find, as plain floats,
    ``recall/<class>``, ``precision/<class>``, ``f1/<class>``, ``macro_recall``, ``macro_precision``, ``macro_f1``
    and the same with ``val_`` in front; with several classified outputs ``<output>/f1/<class>`` and so on. The
    value of a class that was not seen is NaN. The progress bar does not show them.

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
        resume: id of a run to go on with, in all fits of this Monitor. Steps go on from where this Monitor was;
            in a new process from ``initial_epoch`` times the batches of an epoch, where these are known.

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
        self._class_names = dict(arguments.class_outputs(class_names, None))
        if num_classes is not None:
            arguments.class_outputs(class_names, num_classes)
        self._num_classes = num_classes
        self._name = name
        self._params = dict(params or {})
        self._told = {
            "project": project,
            "tags": list(tags),
            "notes": notes,
            "group": group,
            "url": url,
            "token": token,
            "spool_dir": spool_dir,
        }
        self._resume = resume
        self._run: Run | None = None
        self._run_name = ""
        self._last_id = resume
        self._passes = {split: Pass(split) for split in ("train", "val", "test")}
        self._now: Pass | None = None  # whose batches run
        self._capture: Any = None  # keras_capture.Capture
        self._patched: list[object] = []
        self._owner = patches.Owner()
        self._published: set[str] = set()
        self._foreign = False  # an evaluate() that is not ours is running
        self._fitting = False
        self._epoch = 0
        self._read_at = 0.0
        self._batches_since = 0
        self._late: tuple[dict[str, Any], set[str], str, int] | None = None
        self._kept: list[tuple[str, float]] = []
        self._batch_size: int | None = None
        self._capture_told = ""

    @property
    def run_id(self) -> str | None:
        """Id of the run being recorded, or of the last one."""
        return self._last_id

    # -- attaching

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self._attach(model)

    @guarded
    def _attach(self, model: Any) -> None:
        for left in patches.owners(model):
            if left.begun:
                left.live = False  # of a fit that ended by an exception: Keras told nobody
        patches.sweep(model)
        self._abandon()
        self._batch_size = keras_facts.batch_size(model)
        self._owner = patches.Owner()
        self._capture, why_not = open_capture(
            model, self._class_names, self._num_classes, self._batch_size, self.trouble
        )
        self._why_not = why_not
        for each in self._passes.values():
            each.attach(self._capture)
        self._put(model, "make_test_function", self._see_test_function)
        if hasattr(model, "_get_metrics_result_or_logs"):
            self._put(model, "_get_metrics_result_or_logs", self._see_epoch_result)
        self._published.clear()
        for callback in getattr(keras_facts.callback_list(), "callbacks", ()):
            if isinstance(callback, keras.callbacks.ProgbarLogger):
                self._put(callback, "on_epoch_end", self._see_progress)

    def _put(self, target: Any, name: str, seen: Any) -> None:
        method = weakref.WeakMethod(seen)

        def replacement(_: patches.Owner, original: Any, *args: Any, **kwargs: Any) -> Any:
            bound = method()
            return original(*args, **kwargs) if bound is None else bound(original, *args, **kwargs)

        patches.put(self._owner, target, name, replacement)
        self._patched.append(target)

    def _detach(self) -> None:
        self._owner.live = False
        for target in self._patched:
            patches.sweep(target)
        self._patched.clear()
        if self._capture is not None:
            self._capture.remove()
            self._capture = None

    def _abandon(self) -> None:
        """Ends what an earlier fit that raised has left open."""
        self._detach()
        if self._run is not None and not self._run.over:
            self._run.end("interrupted", "fit() ended before its time")
        self._run = None
        self._fitting = False

    def switched_off(self, error: Exception) -> None:
        self._detach()
        if self._run is not None and not self._run.over:
            self._run.describe(capture=f"switched off after internal errors: {error!r}")
            self._run.end("interrupted", f"epochscope switched itself off: {error!r}")

    # -- what Keras does, seen on its way

    def _see_test_function(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        self._foreign = True  # until on_test_begin says that it is ours
        return original(*args, **kwargs)

    def _see_epoch_result(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        """Called when the batches of an epoch or of a validation pass are through: the place where per-class
        values reach every callback, whatever the order, and where Keras itself puts ``val_`` in front."""
        result = original(*args, **kwargs)
        if self._foreign:
            self._foreign = False
            return result
        values: dict[str, float] = {}
        self._collect_epoch_values(values)
        return {**result, **values} if isinstance(result, dict) and values else result

    @guarded
    def _collect_epoch_values(self, into: dict[str, float]) -> None:
        if self._now is None or not self._fitting:
            return
        self._read(self._now)
        into |= self._publish(self._now)

    def _see_progress(self, original: Any, epoch: int, logs: Any = None) -> Any:
        """The progress bar's last line of an epoch, without our keys."""
        if isinstance(logs, dict):
            logs = {name: value for name, value in logs.items() if name not in self._published}
        return original(epoch, logs)

    def _publish(self, one: Pass) -> dict[str, float]:
        each, macro = one.values()
        values = {**each, **macro}
        before = "val_" if one.split == "val" else ""
        self._published |= {before + name for name in values}
        one.not_series = {before + name for name in each}
        return values

    # -- hooks

    @guarded
    def on_train_begin(self, logs: Any = None) -> None:
        self._fitting = True
        self._mark_begun()
        if self._resume is None:
            for split in ("train", "val"):
                self._passes[split].steps = 0
        self._begin_run(self._resume)

    @guarded
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._record_late()
        self._foreign = False
        self._epoch = epoch + 1
        train = self._passes["train"]
        steps = self.params.get("steps") if self.params else None
        if self._resume is not None and not train.steps and steps:
            train.steps = epoch * int(steps)
        self._start_pass(train)

    @guarded
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        train = self._passes["train"]
        self._now = train
        self._after_batch(train, batch, logs)

    @guarded
    def on_test_begin(self, logs: Any = None) -> None:
        self._foreign = False
        if self._fitting:
            one = self._passes["val"]
            self._finish_pass(self._passes["train"])
            if self._resume is not None and not one.steps:
                iterator = getattr(self.model, "_eval_epoch_iterator", None)
                one.steps = (self._epoch - 1) * int(getattr(iterator, "num_batches", None) or 0)
        else:
            one = self._passes["test"]
            self._mark_begun()
            self._begin_run(self._last_id)
        one.drop_unread()
        self._start_pass(one)

    @guarded
    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._now is not None:
            self._after_batch(self._now, batch, logs)

    @guarded
    def on_test_end(self, logs: Any = None) -> None:
        one = self._now
        if one is None:
            return
        self._finish_pass(one)
        if self._fitting:
            self._now = self._passes["train"]
        else:
            self._record_values(logs or {}, "test", "epoch", max(self._epoch, 1))
            self._now = None
            self._end_run("finished")

    @guarded
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        train = self._passes["train"]
        self._finish_pass(train)
        self._now = None
        if isinstance(logs, dict):
            if not self._published and train.counted:
                # Keras has lost the method that we go by: the callbacks after us can still have them.
                logs.update(self._publish(train))
            known = set(logs)
            self._record_values(logs, "train", "epoch", self._epoch)
            self._late = (logs, known, "epoch", self._epoch)

    @guarded
    def on_train_end(self, logs: Any = None) -> None:
        self._record_late()
        self._fitting = False
        self._end_run("finished")

    def log(self, name: str, value: float, *, by: str | None = None) -> None:
        """Records a number of your own: by batch while batches run, by epoch between them (in ``on_epoch_end``,
        say), once for the whole run outside of a training; or as ``by`` says ("batch", "epoch", "run").

        Raises nothing: what can't be recorded is left out.
        """
        self._log(name, value, by)

    @guarded
    def _log(self, name: str, value: float, by: str | None) -> None:
        number = arguments.number(name, value)
        if self._run is None or self._run.over:
            self._kept.append((name, number))
            return
        train = self._passes["train"]
        by = by or ("batch" if self._now is not None else "epoch" if self._epoch else "run")
        step = {"batch": train.step_now, "epoch": self._epoch}.get(by, 0)
        split = self._now.split if self._now is not None and by == "batch" else "train"
        if by == "batch" and self._now is not None:
            step = self._now.step_now
        self._run.log(max(step, 1) if by != "run" else 0, split=split, by=by, **{name: number})

    # -- a run

    def _mark_begun(self) -> None:
        self._owner.begun = True
        if self._capture is not None:
            self._capture.begun = True

    def _begin_run(self, run_id: str | None) -> None:
        run_id = run_id or new_id()
        if run_id != self._last_id or not self._run_name:
            own = self._name or (f"{self.model.name}-{run_id[:4]}" if keras_facts.has_own_name(self.model) else None)
            self._run_name = own or arguments.readable_name(run_id)
        params = self.params or {}
        epochs, steps = (params.get("epochs"), params.get("steps")) if self._fitting else (None, None)
        inferred = keras_facts.parameters(self.model, epochs, steps, self._batch_size)
        self._capture_told = ""
        self._run = Run(
            name=self._run_name,
            class_names=self._class_names or None,
            params={**inferred, **self._params},
            environment=keras_facts.environment(),
            epochs=epochs,
            batches_per_epoch=steps,
            capture=f"running means only: {self._why_not}" if self._why_not else "",
            run_id=run_id,
            **self._told,
        )
        self._last_id = self._run.id
        self._forsaken = weakref.finalize(self, _forsake, self._run)
        self._forsaken.atexit = False
        for name, number in self._kept:
            self._run.log(0, by="run", **{name: number})
        self._kept.clear()
        if self._why_not:
            say(f"only running means of loss and metrics are recorded, no batch's own values: {self._why_not}")

    def _end_run(self, status: str) -> None:
        self._detach()
        if self._run is not None:
            self._forsaken.detach()
            self._run.finish(status)

    # -- batches

    def _start_pass(self, one: Pass) -> None:
        one.begin()
        self._now = one
        self._batches_since = 0
        if self._run is not None and one.split != "test":
            self._run.span(one.split, self._epoch, one.steps + 1)

    def _finish_pass(self, one: Pass) -> None:
        """Reads the rest of a pass and says which steps it covered; a second call changes nothing."""
        if not one.running or self._run is None:
            return
        self._record_late()
        self._read(one)
        one.running = False
        if one.split != "test" and one.steps > one.start:
            self._run.span(one.split, self._epoch, one.start + 1, one.steps + 1)

    def _after_batch(self, one: Pass, batch: int, logs: Any) -> None:
        self._record_late()
        one.step_now = one.start + batch + 1
        if self._run is None:
            return
        if self._capture is None:
            one.steps = one.step_now
            for name, value in (logs or {}).items():
                self._run.log(one.steps, split=one.split, **{RUNNING_MEAN.format(name): value})
        else:
            self._batches_since += 1
            if time.monotonic() - self._read_at >= READ_S or one.nearly_full(self._batches_since):
                self._read(one)
        if isinstance(logs, dict):
            self._late = (logs, set(logs) if not one.names else one.names, "batch", one.step_now)

    def _read(self, one: Pass) -> None:
        """Brings what the device has logged to the run."""
        self._read_at = time.monotonic()
        self._batches_since = 0
        if self._run is None or self._capture is None:
            return
        lost = one.read(self._run)
        if lost:
            say(f"{lost} batches were not recorded: larger than expected; more room is made for the next ones")
            self._capture.grow()
        told = self._capture.outputs
        if told.rules or told.reasons:
            self._tell_capture()

    def _tell_capture(self) -> None:
        """Says once what is captured of this model, and why no more."""
        outputs = self._capture.outputs
        missing = "; ".join(
            f"{name}: {why}" if len(outputs.reasons) > 1 else why for name, why in outputs.reasons.items()
        )
        text = f"loss and metrics of every batch, no confusion matrix: {missing}" if missing else "everything"
        if text == self._capture_told or self._run is None:
            return
        self._capture_told = text
        if missing:
            say(f"no confusion matrix of this model: {missing}; loss and metrics are recorded")
        for note in outputs.notes:
            say(note)
        self._run.describe(capture=text, outputs={name: outputs.names_of(name) for name in outputs.rules})

    # -- logs

    def _record_late(self) -> None:
        """What other callbacks have put into the last ``logs`` since we saw them."""
        if self._late is None or self._run is None:
            return
        (logs, known, by, at), self._late = self._late, None
        if len(logs) != len(known):
            late = {name: value for name, value in logs.items() if name not in known}
            self._record_values(late, "train", by, at)

    def _record_values(self, logs: Mapping[str, Any], split: str, by: str, at: int) -> None:
        left_out = set().union(*(one.not_series for one in self._passes.values()))
        for name, value in logs.items():
            if self._run is None or name in left_out:
                continue
            try:
                number = float(value)
            except (TypeError, ValueError):
                continue
            if split == "train" and name.startswith("val_"):
                self._run.log(at, split="val", by=by, **{name.removeprefix("val_"): number})
            else:
                self._run.log(at, split=split, by=by, **{name: number})


def _forsake(run: Run) -> None:
    if not run.over:
        run.end("interrupted", "fit() ended before its time")
