"""What can be known of a training without being told: model, optimizer, batch size, what it runs on.

Some of it lies only in the frames of ``fit()`` above us while it sets up its callbacks; where it is not found
there, it is left out.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from types import FrameType
from typing import Any

import keras
import numpy as np

from epochscope.keras_classify import loss_name
from epochscope.keras_outputs import compiled_loss


def environment() -> dict[str, str]:
    """Versions of Keras and of what it computes with."""
    backend = str(keras.config.backend())
    found = {"keras": keras.__version__, "backend": backend}
    module = sys.modules.get(backend)
    version = getattr(module, "__version__", None)
    if version is None:
        try:
            version = importlib.metadata.version(backend)
        except importlib.metadata.PackageNotFoundError:
            return found
    return {**found, backend: str(version)}


def parameters(model: Any, epochs: int | None, steps: int | None, batch_size: int | None) -> dict[str, Any]:
    """Hyperparameters that the compiled model and ``fit`` tell of themselves."""
    optimizer = getattr(model, "optimizer", None)
    found: dict[str, Any] = {
        "model": model.name,
        "optimizer": type(optimizer).__name__ if optimizer is not None else None,
        "learning_rate": _learning_rate(optimizer),
        "loss": _loss(compiled_loss(model)),
        "batch_size": batch_size,
        "epochs": epochs,
        "steps_per_epoch": steps,
        "parameters": model.count_params() if model.built else None,
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


def has_own_name(model: Any) -> bool:
    """Whether the model's name says more than what kind of model it is."""
    return re.fullmatch(r"(sequential|functional|model)(_\d+)?", str(model.name)) is None


def callback_list() -> Any:
    """The list of callbacks that is being given its model further up this stack; None if there is none."""
    for frame in _frames():
        owner = frame.f_locals.get("self")
        if isinstance(owner, keras.callbacks.CallbackList):
            return owner
    return None


def batch_size(model: Any) -> int | None:
    """The batch size of the ``fit`` or ``evaluate`` further up this stack, if it can be told."""
    for frame in _frames():
        if frame.f_locals.get("self") is model and "epoch_iterator" in frame.f_locals:
            iterator = frame.f_locals["epoch_iterator"]
            adapter = getattr(iterator, "data_adapter", None)
            sizes = (getattr(adapter, "batch_size", None), frame.f_locals.get("batch_size"), _dimension(iterator))
            return next((size for size in sizes if isinstance(size, int) and size > 0), None)
    return None


def fit_argument(model: Any, name: str, missing: Any) -> Any:
    """What the ``fit`` of ``model`` further up this stack was given; ``missing`` if that can't be told."""
    for frame in _frames():
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model and name in frame.f_locals:
            return frame.f_locals[name]
    return missing


def in_stack(value: object) -> bool:
    """Whether some call further up this stack holds ``value``."""
    return any(value is local for frame in _frames()[1:] for local in frame.f_locals.values())


def _dimension(iterator: Any) -> Any:
    """The leading dimension of a ``tf.data`` pipeline, where it is fixed."""
    try:
        return keras.tree.flatten(iterator._distributed_dataset.element_spec)[0].shape[0]
    except (AttributeError, IndexError, ValueError):
        return None


def _frames() -> list[FrameType]:
    frames: list[FrameType] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and len(frames) < 25:
        frames.append(frame)
        frame = frame.f_back
    return frames


def _learning_rate(optimizer: Any) -> Any:
    rate = getattr(optimizer, "_learning_rate", None)
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return type(rate).__name__
    try:
        rate = float(optimizer.learning_rate)
    except (AttributeError, TypeError, ValueError):  # no optimizer, or one that is spread over devices
        return None
    return float(str(np.float32(rate)))  # the shortest decimals of this float32: 0.01, not 0.009999999776


def _loss(loss: Any) -> str:
    if isinstance(loss, dict):
        return ", ".join(f"{name}: {loss_name(one)}" for name, one in loss.items())
    if isinstance(loss, list | tuple):
        return ", ".join(loss_name(one) for one in loss)
    return loss_name(loss)
