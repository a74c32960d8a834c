"""What happens inside the compiled step (TensorFlow): each batch leaves a row in a log on the device.

A row holds the batch's own loss and metrics (not the running means that Keras gives to callbacks), the learning
rate it was trained with, and how each sample was classified. The log is a ring that is read once for many
batches, so that all of them are there even with ``steps_per_execution=50``. It is written by patches on this one
model, put there before the step is traced and taken away after; nothing of it is tracked or saved by Keras.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from epochscope import keras_patches as patches
from epochscope.keras_classify import Rule, codes
from epochscope.keras_outputs import Outputs
from epochscope.keras_ring import Layout, Ring, Rows, packed_row, parsed_rows

LEARNING_RATE = "learning_rate"
_LEAST_ENTRIES = 2**14
_MOST_ENTRIES = 2**22  # 32 MiB
_ROWS = 256
_UNKNOWN_BATCH = 1024


@dataclass
class _Step:
    """What one step lets us see while it is traced."""

    learning_rate: Any = None
    loss: Any = None
    results: dict[int, Any] = field(default_factory=dict)  # id of a metric -> its value of this batch
    seen: tuple[Any, Any, Any] | None = None  # labels, predictions, weights
    seen_by: int = 0  # 3 compute_metrics, 2 the compiled metrics, 1 compute_loss


class Capture(patches.Owner):
    """Logs every batch of one model, from ``Capture(...)`` until ``remove()``.

    Args:
        model: compiled, of the TensorFlow backend.
        outputs: how its outputs are to be read.
        batch_size: an idea of it, for the size of the log; None if there is none.
        on_error: told of errors in our own part of the step, which then goes on without it.
    """

    def __init__(
        self, model: Any, outputs: Outputs, batch_size: int | None, on_error: Callable[[Exception], None]
    ) -> None:
        self.outputs = outputs
        self.layouts: list[Layout] = []
        self.train = Ring()
        self.test = Ring()
        self._batch_size = batch_size
        self._on_error = on_error
        self._model = weakref.ref(model)
        self._step: _Step | None = None
        self._tapped: list[Any] = []
        self._patched: list[object] = []
        self._put(model, "train_step", Capture._run_train_step)
        self._put(model, "test_step", Capture._run_test_step)
        self._put(model, "compute_metrics", Capture._see_metrics)
        self._put(model, "compute_loss", Capture._see_loss)
        if model._loss_tracker is not None:
            self._put(model._loss_tracker, "update_state", Capture._see_loss_value)
        self._tap_metrics(model)
        forget_compiled_steps(model)

    def remove(self, going_on: bool = False) -> None:
        """Leaves the model as it was found; ``going_on``: in the middle of a fit, which needs its steps."""
        self.live = False
        for target in self._patched:
            patches.sweep(target)
        if (model := self._model()) is None:
            return
        if going_on:
            compile_steps_anew(model)
        else:
            forget_compiled_steps(model)

    def nearly_full(self, ring: Ring, calls: int) -> bool:
        """Whether so many calls of the step since the last reading may have filled half of the log."""
        model = self._model()
        return model is None or ring.nearly_full((calls + 1) * max(int(model.steps_per_execution), 1))

    def grow(self) -> None:
        """Starts larger logs after rows were lost, in a step that is compiled anew."""
        model = self._model()
        if model is None:
            return
        self._batch_size = 2 * max(self.train.longest, self.test.longest, self._batch_size or 0)
        self.train, self.test = Ring(), Ring()
        compile_steps_anew(model)

    def read(self, ring: Ring) -> tuple[list[Rows], int]:
        """The batches logged since the last reading, in order, and how many were lost (0, but for a log that
        turned out too small)."""
        entries, lost = ring.read()
        return parsed_rows(self.layouts, entries), lost

    def _put(self, target: Any, name: str, replacement: Callable[..., Any]) -> None:
        patches.put(self, target, name, replacement)
        self._patched.append(target)

    # -- what the step shows us

    def _run_train_step(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        return self._run_step(True, original, *args, **kwargs)

    def _run_test_step(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        return self._run_step(False, original, *args, **kwargs)

    def _run_step(self, training: bool, original: Any, *args: Any, **kwargs: Any) -> Any:
        step = self._step = _Step()
        try:
            if training:
                with self._safely():
                    step.learning_rate = self._learning_rate()  # before the update counts this step
            result = original(*args, **kwargs)
            with self._safely():
                self._log(self.train if training else self.test, step)
            return result
        finally:
            self._step = None

    def _see_metrics(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        given = {**dict(zip(("x", "y", "y_pred", "sample_weight"), args, strict=False)), **kwargs}
        self._see(3, given.get("y"), given.get("y_pred"), given.get("sample_weight"))
        return original(*args, **kwargs)

    def _see_loss(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        given = {**dict(zip(("x", "y", "y_pred", "sample_weight"), args, strict=False)), **kwargs}
        self._see(1, given.get("y"), given.get("y_pred"), given.get("sample_weight"))
        return original(*args, **kwargs)

    def _see_compiled_metrics(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        given = {**dict(zip(("y_true", "y_pred", "sample_weight"), args, strict=False)), **kwargs}
        self._see(2, given.get("y_true"), given.get("y_pred"), given.get("sample_weight"))
        if self._step is not None:
            with self._safely():
                model: Any = self._model()
                if not model._compile_metrics.built:  # its update_state would build it, too late for us
                    model._compile_metrics.build(given.get("y_true"), given.get("y_pred"))
                self._tap_metrics(model)
        return original(*args, **kwargs)

    def _see(self, by: int, y: Any, y_pred: Any, weight: Any) -> None:
        if self._step is not None and by >= self._step.seen_by:
            self._step.seen_by = by
            self._step.seen = (y, y_pred, weight)

    def _see_loss_value(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        if self._step is not None:
            self._step.loss = args[0] if args else kwargs.get("values")
        return original(*args, **kwargs)

    def _tap_metrics(self, model: Any) -> None:
        """Sees to it that each metric's update also shows its value of the batch alone."""
        for metric in model.metrics:
            if metric is model._loss_tracker or any(metric is known for known in self._tapped):
                continue
            if metric is model._compile_metrics:
                if not self._tapped_compiled(metric):
                    self._put(metric, "update_state", Capture._see_compiled_metrics)
                for part in metric.metrics:
                    if not any(part is known for known in self._tapped):
                        self._tap(part)
            else:
                self._tap(metric)

    def _tapped_compiled(self, metric: Any) -> bool:
        return any(metric is target for target in self._patched)

    def _tap(self, metric: Any) -> None:
        self._tapped.append(metric)
        if not _is_pure(metric):
            return

        def updated(owner: Capture, original: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            step = owner._step
            if step is not None:
                with owner._safely(), keras.StatelessScope():
                    metric.reset_state()
                    original(*args, **kwargs)
                    step.results[id(metric)] = metric.result()
            return result

        self._put(metric, "update_state", updated)

    # -- what goes into the log

    def _learning_rate(self) -> Any:
        model = self._model()
        optimizer = getattr(model, "optimizer", None)
        return None if optimizer is None else tf.cast(tf.convert_to_tensor(optimizer.learning_rate), tf.float32)

    def _log(self, ring: Ring, step: _Step) -> None:
        model: Any = self._model()
        scalars = _scalars(self._named(model, step))
        if step.learning_rate is not None:
            scalars[LEARNING_RATE] = step.learning_rate
        classified: list[tuple[str, int, Any]] = []
        if step.seen is not None:
            with self._safely():
                for name, rule, y, y_pred, weight in self.outputs.read(model, *step.seen):
                    classified.append((name, rule.classes, _entries(rule, y, y_pred, weight)))
        layout = Layout(tuple(scalars), tuple((name, classes) for name, classes, _ in classified))
        if layout not in self.layouts:
            self.layouts.append(layout)
        per_row = 2 + len(classified) + len(scalars)
        for _, _, entries in classified:
            per_row += entries.shape[0] or self._samples(step)
        most = 2 * per_row * max(int(model.steps_per_execution), 1)
        row = packed_row(self.layouts.index(layout), list(scalars.values()), [codes for _, _, codes in classified])
        ring.write(row, min(max(_ROWS * per_row, most, _LEAST_ENTRIES), _MOST_ENTRIES))

    def _samples(self, step: _Step) -> int:
        """About how many samples a batch has: images may have many of them (a class for each pixel)."""
        assert step.seen is not None
        most = 1
        for tensor in keras.tree.flatten(step.seen[1]):
            within = 1
            for dimension in tensor.shape[1:-1]:
                within *= dimension or 64
            most = max(most, within)
        return most * (self._batch_size or _UNKNOWN_BATCH)

    def _named(self, model: Any, step: _Step) -> dict[str, Any]:
        """The batch's own values under the names that Keras itself gives its metrics."""
        with contextlib.ExitStack() as undo:
            metrics = [*self._tapped, *([model._loss_tracker] if model._loss_tracker is not None else [])]
            for metric in metrics:
                value = step.loss if metric is model._loss_tracker else step.results.get(id(metric))
                undo.enter_context(_answering(metric, value))
            named: dict[str, Any] = model.get_metrics_result()
        return named

    @contextlib.contextmanager
    def _safely(self) -> Iterator[None]:
        """Our part of the step may fail; the training may not."""
        try:
            yield
        except Exception as error:
            self._on_error(error)


def forget_compiled_steps(model: Any) -> None:
    """The next step is traced anew, with or without us."""
    model.train_function = None
    model.test_function = None


def compile_steps_anew(model: Any) -> None:
    """As ``forget_compiled_steps``, in the middle of a fit: it goes on with the new ones at once."""
    model.make_train_function(force=True)
    model.make_test_function(force=True)


@contextlib.contextmanager
def _answering(metric: Any, value: Any) -> Iterator[None]:
    """While this lasts, ``metric.result()`` is ``value``."""
    own = vars(metric)
    before = own.get("result")
    own["result"] = lambda: value
    try:
        yield
    finally:
        if before is None:
            del own["result"]
        else:
            own["result"] = before


def _is_pure(metric: Any) -> bool:
    """Whether all its state is Keras's, so that it can be evaluated on the side without disturbing it."""
    return not any(isinstance(value, tf.Variable) for value in vars(metric).values())


def _scalars(named: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, value in named.items():
        if value is None:
            continue
        value = tf.convert_to_tensor(value)
        if value.shape.rank == 0 and (value.dtype.is_floating or value.dtype.is_integer or value.dtype.is_bool):
            kept[name] = value
    return kept


def _entries(rule: Rule, y: Any, y_pred: Any, weight: Any) -> Any:
    return tf.convert_to_tensor(codes(rule, y, y_pred, weight))
