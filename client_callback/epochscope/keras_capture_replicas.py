"""What happens inside the compiled step of TensorFlow's MirroredStrategy, where several replicas share each batch.

Each replica sees a part of the batch. At the end of the step what they have seen is brought together, and leaves one
row in the log, as if there were one device. TensorFlow traces the replicas in threads that take turns, so what a step
shows is kept apart by thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from epochscope import keras_capture
from epochscope.keras_metrics import Step
from epochscope.keras_ring import Counted
from epochscope.keras_rows import Layout


@dataclass(frozen=True)
class _State:
    """What the variables of a metric hold after one replica's part of a batch."""

    metric: Any
    values: tuple[Any, ...]


class Capture(keras_capture.Capture):
    """As ``keras_capture.Capture``, of a model that is trained under a MirroredStrategy in one process."""

    def __init__(self, *arguments: Any) -> None:
        self._of_thread = threading.local()
        super().__init__(*arguments)

    @property
    def _step(self) -> Step | None:
        return getattr(self._of_thread, "step", None)

    @_step.setter
    def _step(self, step: Step | None) -> None:
        self._of_thread.step = step

    def _see_loss_value(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        step, model = self._step, self._model()
        if step is not None and model is not None:
            tracker = model._loss_tracker
            with self._safely(), self._aside(tracker):
                tracker.reset_state()
                original(*args, **kwargs)
                step.loss = self._value_of(tracker)
        return original(*args, **kwargs)

    def _value_of(self, metric: Any) -> _State | None:
        """None where it is not known how Keras itself would bring the replicas together."""
        if not metric.variables or any(each.aggregation != "sum" or each.dtype == "bool" for each in metric.variables):
            return None
        return _State(metric, tuple(tf.convert_to_tensor(each) for each in metric.variables))

    def named(self, model: Any, step: Step) -> dict[str, Any]:
        """The values of the whole batch, the same on every replica."""
        states = {key: each for key, each in step.results.items() if isinstance(each, _State)}
        if isinstance(step.loss, _State):
            states[id(step.loss.metric)] = step.loss
        sums = iter(_together(_sums, [value for state in states.values() for value in state.values]))
        for key, state in states.items():
            mapping = [(variable, next(sums)) for variable in state.metric.variables]
            with keras.StatelessScope(state_mapping=mapping):
                value = state.metric.result()
            if state is step.loss:
                step.loss = value
            else:
                step.results[key] = value
        return super().named(model, step)

    def _own(self, step: Step, returned: dict[str, Any]) -> dict[str, Any]:
        """None: each replica speaks of its part of the batch, and nobody knows how these would go together."""
        return {}

    def _keep(self, result: Any, training: bool, layout: Layout, scalars: list[Any], codes: list[Any]) -> Any:
        step = self._step
        counts = [isinstance(each, Counted) for each in codes]

        def keep(replicas: list[Sequence[Any]]) -> None:
            self._step = step  # this runs once for all replicas, in a thread that is none of theirs
            try:
                with self._safely():
                    values = [same[0] for same in replicas[: len(scalars)]]
                    whole = [
                        Counted(tf.add_n(parts)) if counted else tf.concat(parts, 0)
                        for counted, parts in zip(counts, replicas[len(scalars) :], strict=True)
                    ]
                    super(Capture, self)._keep(result, training, layout, values, whole)
            finally:
                self._step = None

        _together(keep, [*scalars, *(each.counts if isinstance(each, Counted) else each for each in codes)])
        return result


def _sums(replicas: list[Sequence[Any]]) -> list[Any]:
    return [tf.add_n(values) for values in replicas]


def _together(merge: Callable[[list[Sequence[Any]]], Any], values: list[Any]) -> Any:
    """``merge`` once for all replicas: it gets, for each of ``values``, what each of the replicas has."""

    def once(strategy: Any, *each: Any) -> Any:
        return merge([strategy.experimental_local_results(one) for one in each])

    return tf.distribute.get_replica_context().merge_call(once, args=tuple(values))
