"""What happens inside the compiled step on JAX: it returns one array more, which is taken out before anyone sees it.

JAX runs ahead: what the step returns can be kept without being waited for, and is no part of the state that the next
step takes over. Steps that are executed several at once are so many calls of the compiled step, each with its own.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax import lax

from epochscope.keras_classify import Rule, codes
from epochscope.keras_metrics import Step
from epochscope.keras_outputs import Outputs
from epochscope.keras_rows import Layout, Rows, parsed_rows
from epochscope.keras_step import Watch
from epochscope.keras_waiting import Waiting

_MOST_CLASSES = 46_340  # whose pairs int32 can number: JAX has no more unless told otherwise
_numbers = itertools.count(1)


class Capture(Watch):
    """Logs every batch of one model of the JAX backend, from ``Capture(...)`` until ``remove()``.

    Args:
        model: compiled.
        outputs: how its outputs are to be read.
        on_error: told of errors in our own part of the step, which then goes on without it.
    """

    def __init__(self, model: Any, outputs: Outputs, on_error: Callable[[Exception], None]) -> None:
        self.train = Waiting()
        self.test = Waiting()
        self._keys = {True: f"epochscope train {(number := next(_numbers))}", False: f"epochscope test {number}"}
        super().__init__(model, outputs, on_error)

    def _put_all(self, model: Any) -> None:
        super()._put_all(model)
        self._put(model, "_make_function", Capture._run_function)

    def room(self, log: Waiting) -> int:
        """How many rows may wait before they hold much memory."""
        return log.room()

    def read(self, log: Waiting) -> tuple[list[Rows], int]:
        """The batches logged since the last reading, in order; none is ever lost."""
        parts: list[Any] = []
        for row in jax.device_get(log.take()):
            parts += [np.array([len(row) + 1]), row]
        entries = np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)
        return parsed_rows(self.layouts, entries), 0

    def take_out(self, logs: dict[str, Any]) -> None:
        """Moves our entries from what a step has returned into the log."""
        for training, key in self._keys.items():
            row = logs.pop(key, None)
            if row is not None:
                (self.train if training else self.test).append(row, row.size)

    def _run_function(self, original: Any, step: Any, *args: Any, **kwargs: Any) -> Any:
        return original(_Popping(self, tuple(self._keys.values()), step), *args, **kwargs)

    def _see_loss(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        # JAX is differentiating here: nothing seen would be of use at the end of the step.
        return original(*args, **kwargs)

    def _classified(self, model: Any, step: Step) -> list[tuple[str, Rule, Any, Any, Any]]:
        found = super()._classified(model, step)
        for name, rule, _, y_pred, _ in found:
            if len(y_pred.shape) > 2 and _masks(model):
                self._give_up(name, "on JAX Keras loses the mask of its predictions, so padding can't be told apart")
            elif rule.classes > _MOST_CLASSES:
                self._give_up(name, f"on JAX at most {_MOST_CLASSES} classes can be counted")
        return [each for each in found if each[0] in self.outputs.rules]

    def _give_up(self, name: str, reason: str) -> None:
        del self.outputs.rules[name]
        self.outputs.reasons[name] = reason

    def _learning_rate(self, *args: Any) -> Any:
        model: Any = self._model()
        if model.optimizer is None:
            return None
        variables = model.optimizer.variables
        with keras.StatelessScope(state_mapping=list(zip(variables, args[0][2], strict=True))):
            return super()._learning_rate()

    def _aside(self, metric: Any) -> Any:
        # Without a value of its own a variable would answer with one that the step before has consumed.
        return keras.StatelessScope(state_mapping=[(each, each.value) for each in metric.variables])

    def _outlives(self, step: Step, values: Any) -> bool:
        """What is seen while JAX differentiates is void outside of it."""
        known = {id(getattr(each, "_trace", None)) for each in keras.tree.flatten(step.given)}
        traces = [getattr(each, "_trace", None) for each in keras.tree.flatten(values)]
        return all(trace is None or id(trace) in known for trace in traces)

    def _returned(self, result: Any) -> dict[str, Any]:
        return super()._returned(result[0])

    def _codes(self, rule: Rule, y: Any, y_pred: Any, weight: Any) -> Any:
        return codes(rule, y, y_pred, weight, "int32")

    def _keep(self, result: Any, training: bool, layout: Layout, scalars: list[Any], codes: list[Any]) -> Any:
        logs, state = result
        head = jnp.array([self.layouts.index(layout), *(each.size for each in codes)], jnp.int32)
        values = [lax.bitcast_convert_type(jnp.asarray(value, jnp.float32), jnp.int32)[None] for value in scalars]
        return {**logs, self._keys[training]: jnp.concatenate([head, *values, *codes])}, state


def _masks(model: Any) -> bool:
    """Whether some of its layers mask positions."""
    return any(
        getattr(each, "mask_zero", False) or type(each).__name__ == "Masking" for each in model._flatten_layers()
    )


class _Popping:
    """A step that keeps to itself what ``owner`` has put into its logs; it outlives its owner, and then drops it."""

    def __init__(self, owner: Capture, keys: tuple[str, ...], step: Callable[..., Any]) -> None:
        self._owner = weakref.ref(owner)
        self._keys = keys
        self._step = step

    def __call__(self, state: Any, data: Any) -> Any:
        result = self._step(state, data)
        logs = result[0]
        if isinstance(logs, dict):
            owner = self._owner()
            if owner is not None and owner.live:
                owner.take_out(logs)
            for key in self._keys:
                logs.pop(key, None)
        return result
