"""What Monitor puts on a model, and on the progress bar beside it, for one fit, and takes away after."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import keras

from epochscope import keras_frames, keras_step
from epochscope.keras_guest import clear_away
from epochscope.keras_outputs import Outputs
from epochscope.keras_progress import Quiet

_BACKENDS = ("tensorflow", "jax", "torch")
_STRATEGIES = ("MirroredStrategy", "OneDeviceStrategy")
_PRIVATE = ("train_step", "test_step", "compute_metrics", "compute_loss", "_loss_tracker", "_compile_metrics")


class Attachment(Quiet):
    """Sees what ``fit`` and ``evaluate`` do with ``model``, until ``leave()``.

    Args:
        model: compiled.
        outputs: how its outputs are to be read.
        on_error: told of errors in our own part.
        epoch_values: a bound method (held weakly), called where the batches of an epoch or of a validation pass
            are through; what it returns is seen by every callback, whatever the order, and by History.
        on_broken_off: a bound method (held weakly), called when the fit has ended and nobody has said so.
    """

    def __init__(
        self,
        model: Any,
        outputs: Outputs,
        on_error: Callable[[Exception], None],
        epoch_values: Callable[[], dict[str, float]],
        on_broken_off: Callable[[], None],
    ) -> None:
        clear_away(model)
        super().__init__(model, on_error)
        self.batch_size = keras_frames.batch_size(model)
        self._epoch_values = weakref.WeakMethod(epoch_values)
        self._on_broken_off = weakref.WeakMethod(on_broken_off)
        self.why_not = _why_not(model)
        self.capture: Any = None
        if not self.why_not:
            self.capture = _capture(model, outputs, self.batch_size, on_error)
        self.sees_epochs = hasattr(model, "_get_metrics_result_or_logs")
        if self.sees_epochs:
            self.put(model, "_get_metrics_result_or_logs", Attachment._see_epoch)

    def take_along(self, model: Any) -> None:
        if self.capture is not None:
            self.capture.remove()

    def broken_off(self) -> None:
        tell = self._on_broken_off()
        if tell is not None:
            tell()
        self.leave()

    def is_visited(self, model: Any) -> bool:
        """Whether some callback of the fit that we watch evaluates ``model`` with a list of callbacks of its own."""
        return self._model() is model and not self.is_of(keras_frames.callback_list()) and not self.is_over()

    def class_names(self) -> list[tuple[str, ...]]:
        """The names of the classes of each output that is counted, in the order of their indices."""
        outputs = self.capture.outputs if self.capture is not None else None
        return [outputs.names_of(name) for name in outputs.rules] if outputs is not None else []

    def _see_epoch(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        callbacks = keras_frames.list_of(self._model())
        if callbacks is not None and not self.is_of(callbacks):
            return result  # an evaluate() of someone else
        collect = self._epoch_values()
        values = collect() if collect is not None else {}
        return {**result, **values} if isinstance(result, dict) and values else result


def _capture(
    model: Any, outputs: Outputs, batch_size: int | None, on_error: Callable[[Exception], None]
) -> keras_step.Watch:
    """The one of the backend at work; the others are not even imported."""
    if keras.config.backend() == "jax":
        from epochscope import keras_capture_jax

        return keras_capture_jax.Capture(model, outputs, on_error)
    if keras.config.backend() == "torch":
        from epochscope import keras_capture_torch

        return keras_capture_torch.Capture(model, outputs, on_error)
    if getattr(model, "_distribute_strategy", None) is not None:
        from epochscope import keras_capture_replicas

        return keras_capture_replicas.Capture(model, outputs, batch_size, on_error)
    from epochscope import keras_capture

    return keras_capture.Capture(model, outputs, batch_size, on_error)


def _why_not(model: Any) -> str:
    """Why the inside of the compiled step can't be seen; "" if it can."""
    backend = keras.config.backend()
    if backend not in _BACKENDS:
        return f"the inside of a step is seen on TensorFlow, JAX and torch, this is {backend}"
    for private in (*_PRIVATE, *(["_make_function"] if backend == "jax" else [])):
        if not hasattr(model, private):
            return f"Keras {keras.__version__} has no Model.{private}"
    if backend == "tensorflow" and (strategy := getattr(model, "_distribute_strategy", None)) is not None:
        if type(strategy).__name__ not in _STRATEGIES:
            return "the model is trained under a tf.distribute strategy other than MirroredStrategy"
        if strategy.num_replicas_in_sync > 1 and model.jit_compile:
            return "the model is trained on several devices and compiled by XLA (jit_compile=True)"
    if backend == "torch" and model.jit_compile:
        return "the model is compiled by torch.compile (jit_compile=True)"
    if backend == "jax" and keras.config.is_nnx_enabled():
        return "Keras is in its NNX mode"
    if backend == "jax" and keras.distribution.distribution() is not None:
        return "the model is trained under a keras.distribution"
    return ""
