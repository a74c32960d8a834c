"""Class weights inside the compiled step: a variable that every training step reads and anyone may change meanwhile.

Put on one model for one fit, by patches of its methods. Nothing of it is saved with the model, and changing the
weights compiles nothing anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from epochscope import keras_patches as patches
from epochscope.flusher import say
from epochscope.keras_outputs import Outputs
from epochscope.keras_progress import Quiet
from epochscope.keras_rules import Rule

NAME = "class_weights"


class _Held(keras.metrics.Metric):  # type: ignore[misc]
    """Carries the weights into a step of JAX, which sees no variables but those of the model and of its metrics."""

    def __init__(self, classes: int) -> None:
        super().__init__(name=NAME)
        self.weights_of_classes = self.add_variable((classes,), initializer="ones", dtype="float32", name=NAME)

    def update_state(self, *args: Any, **kwargs: Any) -> None: ...

    def reset_state(self) -> None: ...

    def result(self) -> dict[str, Any]:
        return {}


class Weighting(Quiet):
    """Multiplies the sample weights of training, not of evaluation, by the weight of each sample's class.

    Args:
        model: compiled.
        output: the name of the classified output that is meant; None for the only one.
        classes: how many there are; None if it is not known yet. The step is then compiled once more when it is.
        on_error: told of errors in our own part of the step, which then goes on without weights.
    """

    def __init__(
        self, model: Any, output: str | None, classes: int | None, on_error: Callable[[Exception], None]
    ) -> None:
        super().__init__(model, on_error)
        self.begun = True
        self._output = output
        self._outputs = Outputs({}, classes)
        self._variable: Any = None
        self._held: _Held | None = None
        self._evaluating = False
        self._told: set[str] = set()
        self.useless = False  # this model's steps can't be weighted; why is said
        if classes is not None:
            self.use(np.ones(classes, np.float32))

    def use(self, weights: NDArray[np.float32]) -> None:
        """From the next batch on these are the weights, float32 [classes]; not to be called within a step."""
        if self._variable is None and (model := self._model()) is not None:
            if not self._make_variable(model, len(weights)):
                return
            self.put(model, "compute_loss", Weighting._weigh)
            self.put(model, "test_step", Weighting._see_test_step)
            patches.forget_compiled_steps(model)
        if self._variable is not None:
            self._variable.assign(weights)

    def take_along(self, model: Any) -> None:
        if self._variable is None:
            return
        if self._held is not None:
            model._metrics[:] = [metric for metric in model._metrics if metric is not self._held]
        patches.forget_compiled_steps(model)

    def _make_variable(self, model: Any, classes: int) -> bool:
        if keras.config.backend() != "jax":
            strategy = getattr(model, "distribute_strategy", None)
            with strategy.scope() if strategy is not None else contextlib.nullcontext():
                self._variable = keras.Variable(np.ones(classes, np.float32), trainable=False, name=NAME)
            return True
        held = _Held(classes)
        model._metrics.append(held)
        if not any(metric is held for metric in model.metrics):
            model._metrics.remove(held)
            self._say("this model's own `metrics` keep the weights out of JAX's compiled step")
            return False
        self._held, self._variable = held, held.weights_of_classes
        return True

    # -- inside the step

    def _see_test_step(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        self._evaluating = True
        try:
            return original(*args, **kwargs)
        finally:
            self._evaluating = False

    def _weigh(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        given = {**dict(zip(("x", "y", "y_pred", "sample_weight", "training"), args, strict=False)), **kwargs}
        if not given.get("training", True) or self._evaluating:
            return original(*args, **kwargs)
        before = given.get("sample_weight")
        try:
            weight = self._sample_weight(given.get("y"), given.get("y_pred"), before)
        except Exception as error:
            self._on_error(error)
            weight = before
        if weight is before:
            return original(*args, **kwargs)
        if len(args) > 3:
            return original(*args[:3], weight, *args[4:], **kwargs)
        return original(*args, **{**kwargs, "sample_weight": weight})

    def _sample_weight(self, y: Any, y_pred: Any, before: Any) -> Any:
        """``before``, in the form in which Keras takes it, times the weights of the classes."""
        found = self._outputs.read(self._model(), y, y_pred, None)
        found = [each for each in found if self._output in (None, each[0])]
        if len(found) != 1:
            self._say(self._why_not(len(found)))
            return before
        _, rule, truth, scores, _ = found[0]
        classes = int(self._variable.shape[0])
        if rule.labels == "several":
            self._say("its units answer yes or no each on their own (several labels a sample)")
            return before
        if rule.classes != classes:
            self._say(f"there are {classes} of them, but the model has {rule.classes} classes")
            return before
        index = _class_indices(rule, truth, scores)
        inside = ops.logical_and(index >= 0, index < classes)
        weight = ops.where(inside, ops.take(self._variable, ops.clip(index, 0, classes - 1)), 1.0)
        flat = keras.tree.flatten(y_pred)
        if not keras.tree.is_nested(y_pred):
            one = keras.tree.flatten(before)[0] if before is not None else None
            return _times(weight, one)
        nested = before is not None and keras.tree.is_nested(before)
        each = keras.tree.flatten(before) if nested else [before] * len(flat)
        if len(each) != len(flat):
            self._say(f"there are sample weights for {len(each)} of {len(flat)} outputs")
            return before
        (place,) = [number for number, one in enumerate(flat) if one is scores]
        each[place] = _times(weight, each[place])
        return keras.tree.pack_sequence_as(before if nested else y_pred, each)

    def _why_not(self, found: int) -> str:
        if found:
            return f"the model has {found} classified outputs; say which one is meant by output="
        reasons = {name: why for name, why in self._outputs.reasons.items() if self._output in (None, name)}
        if self._output is not None and not reasons:
            return f"the model has no classified output {self._output!r}"
        return "; ".join(reasons.values())

    def _say(self, why: str) -> None:
        self.useless = True
        if why not in self._told:
            self._told.add(why)
            say(f"class weights are not used: {why}")


def _class_indices(rule: Rule, truth: Any, scores: Any) -> Any:
    """The class of each sample, int32, in the shape of the losses: that of the scores without their last axis."""
    shape = ops.shape(scores)[:-1] if len(scores.shape) > 1 else ops.shape(scores)
    if rule.labels == "one-hot":
        return ops.cast(ops.argmax(truth, axis=-1), "int32")
    truth = ops.reshape(truth, shape)
    return ops.cast(ops.cast(truth, "float32") > 0.5 if rule.labels == "binary" else truth, "int32")


def _times(weight: Any, before: Any) -> Any:
    """The product of class weights and sample weights, where one may have axes that the other lacks."""
    if before is None:
        return weight
    before = ops.cast(before, weight.dtype)
    if len(before.shape) == len(weight.shape) + 1 and before.shape[-1] == 1:
        before = ops.squeeze(before, -1)
    while len(before.shape) < len(weight.shape):
        before = ops.expand_dims(before, -1)
    while len(weight.shape) < len(before.shape):
        weight = ops.expand_dims(weight, -1)
    return weight * before
