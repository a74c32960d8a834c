"""What each metric of a model says of the batch at hand alone, under the name that Keras itself gives it.

Keras's metrics sum up since the epoch began. Beside each of their updates the same metric is updated once more from
nothing, aside, where it leaves no trace.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops

from epochscope import keras_patches as patches


@dataclass
class Step:
    """What one step lets us see while it runs or is traced."""

    given: tuple[Any, ...] = ()  # its arguments
    learning_rate: Any = None
    loss: Any = None
    results: dict[int, Any] = field(default_factory=dict)  # id of a metric -> its value of this batch
    means: list[Any] = field(default_factory=list)  # what metrics said of themselves: since the epoch began
    seen: tuple[Any, Any, Any] | None = None  # labels, predictions, weights
    seen_by: int = 0  # 3 compute_metrics, 2 the compiled metrics, 1 compute_loss, 0 a metric
    at_odds: bool = False  # metrics were shown other labels or predictions than the first of them

    def is_mean(self, value: Any) -> bool:
        """Whether a metric has given this very value."""
        return any(value is mean for mean in self.means)


class Metrics(patches.Owner):
    """Sees every update of the metrics of one model, from ``tap`` until ``untap``.

    Args:
        on_error: told of errors in our own part of an update, which then goes on without it.
    """

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        self._on_error = on_error
        self._step: Step | None = None
        self._tapped: list[Any] = []
        self._asked: list[Any] = []
        self._patched: list[object] = []

    # -- what a backend brings

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

    def tap(self, model: Any) -> None:
        """Sees to it that each metric's update also shows its value of the batch alone; those that are new, too."""
        for metric in model.metrics:
            if metric is model._loss_tracker and not any(metric is known for known in self._asked):
                self._ask(metric)
            if metric is model._loss_tracker or any(metric is known for known in self._tapped):
                continue
            if metric is model._compile_metrics:
                if not any(metric is target for target in self._patched):
                    self._put(metric, "update_state", type(self)._see_compiled_metrics)
                for part in metric.metrics:
                    if not any(part is known for known in self._tapped):
                        self._tap(part)
            else:
                self._tap(metric)

    def untap(self) -> None:
        """Takes all patches away."""
        self.live = False
        for target in self._patched:
            patches.sweep(target)

    def named(self, model: Any, step: Step) -> dict[str, Any]:
        """The batch's own values under the names that Keras itself gives its metrics."""
        with contextlib.ExitStack() as undo:
            metrics = [*self._tapped, *([model._loss_tracker] if model._loss_tracker is not None else [])]
            for metric in metrics:
                value = step.loss if metric is model._loss_tracker else step.results.get(id(metric))
                undo.enter_context(_answering(metric, value))
            named: dict[str, Any] = model.get_metrics_result()
        return named

    def _put(self, target: Any, name: str, replacement: Callable[..., Any]) -> None:
        patches.put(self, target, name, replacement)
        self._patched.append(target)

    def _see_compiled_metrics(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        """All the metrics given to ``compile`` are about to be updated."""
        return original(*args, **kwargs)

    def _see_update(self, metric: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """``metric`` has been updated with these arguments."""

    def _ask(self, metric: Any) -> None:
        """Remembers what the metric says of itself within a step."""
        self._asked.append(metric)

        def told(owner: Metrics, original: Any) -> Any:
            value = original()
            if owner._step is not None:
                owner._step.means.append(value)
            return value

        self._put(metric, "result", told)

    def _tap(self, metric: Any) -> None:
        self._tapped.append(metric)
        self._ask(metric)
        if not self._is_pure(metric):
            return

        def updated(owner: Metrics, original: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            step = owner._step
            if step is not None:
                owner._see_update(metric, args, kwargs)
                with owner._safely(), owner._unobserved(), owner._aside(metric), _state_kept(metric):
                    metric.reset_state()
                    original(*args, **kwargs)
                    value = owner._value_of(metric)
                    if owner._outlives(step, value):
                        step.results[id(metric)] = value
            return result

        self._put(metric, "update_state", updated)

    @contextlib.contextmanager
    def _safely(self) -> Iterator[None]:
        """Our part of the step may fail; the training may not."""
        try:
            yield
        except Exception as error:
            self._on_error(error)


def scalars_of(named: dict[str, Any]) -> dict[str, Any]:
    """Those of the values that are one number, as tensors."""
    kept = {}
    for name, value in named.items():
        if value is None:
            continue
        if not isinstance(value, int | float) and not hasattr(value, "dtype"):
            continue
        value = ops.convert_to_tensor(value)
        rank = value.shape.rank if hasattr(value.shape, "rank") else len(value.shape)
        kind = keras.backend.standardize_dtype(value.dtype)
        if rank == 0 and kind.startswith(("float", "bfloat", "int", "uint", "bool")):
            kept[name] = value
    return kept


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
