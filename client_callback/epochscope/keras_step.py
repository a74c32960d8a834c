"""What one step of a model shows while it runs or is traced: its own loss and metrics, and how it classified.

The same on every backend. Patches on this one model, put there before the step is compiled and taken away after,
see what passes through its methods; a subclass for each backend brings it out of the step and keeps it until it is
read. Nothing of it is tracked or saved by Keras.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from typing import Any

from keras import ops

from epochscope import keras_patches as patches
from epochscope.arguments import OUTPUT
from epochscope.keras_classify import Rule
from epochscope.keras_metrics import Metrics, Step, scalars_of
from epochscope.keras_outputs import Outputs
from epochscope.keras_rows import Layout, Rows

LEARNING_RATE = "learning_rate"
_UNSEEN = (
    "its {} shows neither labels nor predictions (it would by self.compute_metrics(x, y, y_pred), or by a metric that "
    "is updated with both)"
)
_AT_ODDS = "its {} updates its metrics with different labels and predictions"


class Watch(Metrics):
    """Sees every batch of one model, from its making until ``remove()``.

    Args:
        model: compiled.
        outputs: how its outputs are to be read.
        on_error: told of errors in our own part of the step, which then goes on without it.
    """

    train: Any  # the log of training, for ``room`` and ``read``
    test: Any

    def __init__(self, model: Any, outputs: Outputs, on_error: Callable[[Exception], None]) -> None:
        super().__init__(on_error)
        self.outputs = outputs
        self.layouts: list[Layout] = []
        self._model = weakref.ref(model)
        self._put_all(model)
        patches.forget_compiled_steps(model)

    # -- what a backend brings

    def _put_all(self, model: Any) -> None:
        """Puts the patches on the model."""
        self._put(model, "train_step", Watch._run_train_step)
        self._put(model, "test_step", Watch._run_test_step)
        self._put(model, "compute_metrics", Watch._see_metrics)
        self._put(model, "compute_loss", type(self)._see_loss)
        if model._loss_tracker is not None:
            self._put(model._loss_tracker, "update_state", type(self)._see_loss_value)
        self.tap(model)

    def room(self, log: Any) -> int:
        """How many batches after its last reading ``log`` must be read again."""
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

    def remove(self) -> None:
        """Leaves the model as it was found."""
        self.untap()
        if (model := self._model()) is not None:
            patches.forget_compiled_steps(model)

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
                self.tap(model)
        return original(*args, **kwargs)

    def _see(self, by: int, y: Any, y_pred: Any, weight: Any) -> None:
        if self._step is not None and by >= self._step.seen_by and self._outlives(self._step, (y, y_pred, weight)):
            self._step.seen_by = by
            self._step.seen = (y, y_pred, weight)

    def _see_update(self, metric: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        step = self._step
        if step is None or step.seen_by or not _is_of_pairs(metric):
            return
        given = {**dict(zip(("y_true", "y_pred", "sample_weight"), args, strict=False)), **kwargs}
        y, y_pred = given.get("y_true"), given.get("y_pred")
        if step.seen is None:
            self._see(0, y, y_pred, given.get("sample_weight"))
        else:
            step.at_odds |= step.seen[0] is not y or step.seen[1] is not y_pred

    def _see_loss_value(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        value = args[0] if args else kwargs.get("values")
        if self._step is not None and self._outlives(self._step, value):
            self._step.loss = value
        return original(*args, **kwargs)

    # -- what goes into the log

    def _log(self, result: Any, training: bool, step: Step) -> Any:
        model: Any = self._model()
        named = self.named(model, step)
        returned = self._returned(result)
        own = self._own(step, {name: value for name, value in returned.items() if named.get(name) is None})
        unseen = {name for name, value in named.items() if value is None} - own.keys()
        unseen |= {name for name, value in returned.items() if name not in named and step.is_mean(value)}
        scalars = scalars_of(named) | own
        if step.learning_rate is not None:
            scalars[LEARNING_RATE] = step.learning_rate
        classified: list[tuple[str, int, Any]] = []
        if step.seen is None or (step.at_odds and not step.seen_by):
            what = "train_step" if training else "test_step"
            self.outputs.reasons.setdefault(
                OUTPUT, _UNSEEN.format(what) if step.seen is None else _AT_ODDS.format(what)
            )
        else:
            try:
                for name, rule, y, y_pred, weight in self._classified(model, step):
                    classified.append((name, rule.classes, self._codes(rule, y, y_pred, weight)))
            except Exception as error:
                self.outputs.fail(error, {name for layout in self.layouts for name, _ in layout.outputs})
                self._on_error(error)
        layout = Layout(
            tuple(scalars), tuple((name, classes) for name, classes, _ in classified), tuple(sorted(unseen))
        )
        if layout not in self.layouts:
            self.layouts.append(layout)
        return self._keep(result, training, layout, list(scalars.values()), [codes for _, _, codes in classified])

    def _returned(self, result: Any) -> dict[str, Any]:
        """What the step says of itself, by name."""
        return result if isinstance(result, dict) else {}

    def _own(self, step: Step, returned: dict[str, Any]) -> dict[str, Any]:
        """Of what the step has returned that which no metric said: numbers of the batch itself."""
        return scalars_of(
            {name: value for name, value in returned.items() if not step.is_mean(value) and self._outlives(step, value)}
        )

    def _classified(self, model: Any, step: Step) -> list[tuple[str, Rule, Any, Any, Any]]:
        """Name, rule, labels, predictions and weights of each output that can be read."""
        return self.outputs.read(model, *(step.seen or (None, None, None)))


def _is_of_pairs(metric: Any) -> bool:
    """Whether a metric is updated with labels and predictions; a mean, for one, is not."""
    return {"y_true", "y_pred"} <= inspect.signature(type(metric).update_state).parameters.keys()
