"""What one step of a model shows while it runs or is traced: its own loss and metrics, and how it classified.

The same on every backend. Patches on this one model, put there before the step is compiled and taken away after,
see what passes through its methods; a subclass for each backend brings it out of the step and keeps it until it is
read. Nothing of it is tracked or saved by Keras.
"""

from __future__ import annotations

import contextlib
import copy
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops

from epochscope import keras_patches as patches
from epochscope.keras_classify import Rule
from epochscope.keras_outputs import Outputs
from epochscope.keras_rows import Layout, Rows

LEARNING_RATE = "learning_rate"


@dataclass
class Step:
    """What one step lets us see while it runs or is traced."""

    given: tuple[Any, ...] = ()  # its arguments
    learning_rate: Any = None
    loss: Any = None
    results: dict[int, Any] = field(default_factory=dict)  # id of a metric -> its value of this batch
    seen: tuple[Any, Any, Any] | None = None  # labels, predictions, weights
    seen_by: int = 0  # 3 compute_metrics, 2 the compiled metrics, 1 compute_loss


class Watch(patches.Owner):
    """Sees every batch of one model, from its making until ``remove()``.

    Args:
        model: compiled.
        outputs: how its outputs are to be read.
        on_error: told of errors in our own part of the step, which then goes on without it.
    """

    train: Any  # the log of training, for ``nearly_full`` and ``read``
    test: Any

    def __init__(self, model: Any, outputs: Outputs, on_error: Callable[[Exception], None]) -> None:
        self.outputs = outputs
        self.layouts: list[Layout] = []
        self._on_error = on_error
        self._model = weakref.ref(model)
        self._step: Step | None = None
        self._tapped: list[Any] = []
        self._patched: list[object] = []
        self._put(model, "train_step", Watch._run_train_step)
        self._put(model, "test_step", Watch._run_test_step)
        self._put(model, "compute_metrics", Watch._see_metrics)
        self._put(model, "compute_loss", type(self)._see_loss)
        if model._loss_tracker is not None:
            self._put(model._loss_tracker, "update_state", type(self)._see_loss_value)
        self._tap_metrics(model)
        forget_compiled_steps(model)

    # -- what a backend brings

    def nearly_full(self, log: Any, calls: int) -> bool:
        """Whether ``log`` must be read, so many calls of the step after its last reading."""
        raise NotImplementedError

    def read(self, log: Any) -> tuple[list[Rows], int]:
        """The batches logged since the last reading, in order, and how many were lost."""
        raise NotImplementedError

    def grow(self) -> None:
        """Starts larger logs after rows were lost; a log that loses none has nothing to do."""

    def _codes(self, rule: Rule, y: Any, y_pred: Any, weight: Any) -> Any:
        """``keras_classify.codes`` in the whole numbers of the backend."""
        raise NotImplementedError

    def _keep(self, result: Any, training: bool, layout: Layout, scalars: list[Any], codes: list[Any]) -> Any:
        """Keeps a row of the batch; returns what the step is to return in the place of ``result``."""
        raise NotImplementedError

    def _learning_rate(self, *args: Any) -> Any:
        """Of this step; ``args`` are those of ``train_step``."""
        model = self._model()
        rate = getattr(getattr(model, "optimizer", None), "learning_rate", None)  # one of several optimizers has none
        return None if rate is None else ops.cast(ops.convert_to_tensor(rate), "float32")

    def _aside(self, metric: Any) -> Any:
        """A context in which ``metric`` can be updated without a trace."""
        return keras.StatelessScope()

    def _value_of(self, metric: Any) -> Any:
        """The value of ``metric``, or what it is to be had from when the step ends."""
        return metric.result()

    def _is_pure(self, metric: Any) -> bool:
        """Whether nothing of its state is hidden from Keras in a way that ``_aside`` can't undo."""
        return True

    def _outlives(self, step: Step, values: Any) -> bool:
        """Whether what the step shows here can still be used at its end."""
        return True

    def _unobserved(self) -> Any:
        """A context for all that we compute in the step."""
        return contextlib.nullcontext()

    # -- on and off

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

    def _put(self, target: Any, name: str, replacement: Callable[..., Any]) -> None:
        patches.put(self, target, name, replacement)
        self._patched.append(target)

    # -- what the step shows us

    def _run_train_step(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        return self._run_step(True, original, *args, **kwargs)

    def _run_test_step(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        return self._run_step(False, original, *args, **kwargs)

    def _run_step(self, training: bool, original: Any, *args: Any, **kwargs: Any) -> Any:
        step = self._step = Step(args)
        try:
            if training:
                with self._safely(), self._unobserved():
                    step.learning_rate = self._learning_rate(*args)  # before the update counts this step
            result = original(*args, **kwargs)
            with self._safely(), self._unobserved():
                result = self._log(result, training, step)
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
        if self._step is not None and by >= self._step.seen_by and self._outlives(self._step, (y, y_pred, weight)):
            self._step.seen_by = by
            self._step.seen = (y, y_pred, weight)

    def _see_loss_value(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        value = args[0] if args else kwargs.get("values")
        if self._step is not None and self._outlives(self._step, value):
            self._step.loss = value
        return original(*args, **kwargs)

    def _tap_metrics(self, model: Any) -> None:
        """Sees to it that each metric's update also shows its value of the batch alone."""
        for metric in model.metrics:
            if metric is model._loss_tracker or any(metric is known for known in self._tapped):
                continue
            if metric is model._compile_metrics:
                if not self._tapped_compiled(metric):
                    self._put(metric, "update_state", Watch._see_compiled_metrics)
                for part in metric.metrics:
                    if not any(part is known for known in self._tapped):
                        self._tap(part)
            else:
                self._tap(metric)

    def _tapped_compiled(self, metric: Any) -> bool:
        return any(metric is target for target in self._patched)

    def _tap(self, metric: Any) -> None:
        self._tapped.append(metric)
        if not self._is_pure(metric):
            return

        def updated(owner: Watch, original: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            step = owner._step
            if step is not None:
                with owner._safely(), owner._unobserved(), owner._aside(metric), _state_kept(metric):
                    metric.reset_state()
                    original(*args, **kwargs)
                    value = owner._value_of(metric)
                    if owner._outlives(step, value):
                        step.results[id(metric)] = value
            return result

        self._put(metric, "update_state", updated)

    # -- what goes into the log

    def _log(self, result: Any, training: bool, step: Step) -> Any:
        model: Any = self._model()
        named = self._named(model, step)
        unseen = tuple(name for name, value in named.items() if value is None)
        scalars = _scalars(named)
        if step.learning_rate is not None:
            scalars[LEARNING_RATE] = step.learning_rate
        classified: list[tuple[str, int, Any]] = []
        if step.seen is not None:
            with self._safely():
                for name, rule, y, y_pred, weight in self._classified(model, step):
                    classified.append((name, rule.classes, self._codes(rule, y, y_pred, weight)))
        layout = Layout(tuple(scalars), tuple((name, classes) for name, classes, _ in classified), unseen)
        if layout not in self.layouts:
            self.layouts.append(layout)
        return self._keep(result, training, layout, list(scalars.values()), [codes for _, _, codes in classified])

    def _classified(self, model: Any, step: Step) -> list[tuple[str, Rule, Any, Any, Any]]:
        """Name, rule, labels, predictions and weights of each output that can be read."""
        return self.outputs.read(model, *(step.seen or (None, None, None)))

    def _named(self, model: Any, step: Step) -> dict[str, Any]:
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


@contextlib.contextmanager
def _state_kept(metric: Any) -> Iterator[None]:
    """What ``metric`` keeps in attributes of its own, and not in Keras's variables, is afterwards as it was."""
    own = vars(metric)
    before = dict(own)
    for name, value in before.items():
        if name not in _OF_KERAS and isinstance(value, list | dict | set | np.ndarray):
            own[name] = copy.copy(value)
    try:
        yield
    finally:
        own.clear()
        own.update(before)


_OF_KERAS = frozenset(vars(keras.metrics.Metric(name="any"))) | {"_fn_kwargs"}


def _scalars(named: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, value in named.items():
        if value is None:
            continue
        value = ops.convert_to_tensor(value)
        rank = value.shape.rank if hasattr(value.shape, "rank") else len(value.shape)
        kind = keras.backend.standardize_dtype(value.dtype)
        if rank == 0 and kind.startswith(("float", "bfloat", "int", "uint", "bool")):
            kept[name] = value
    return kept
