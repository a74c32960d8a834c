"""What lies in the frames of ``fit()``, ``evaluate()`` or a loop further up the stack, of which callbacks are not told.

Where something is not found there, it is left out.
"""

from __future__ import annotations

import sys
import weakref
from types import FrameType
from typing import Any

import keras

_NEAR = 25  # frames, within which the call that we are a part of must be
_ALL = sys.maxsize


def callback_list() -> Any:
    """The list of callbacks that is calling us; None if there is none."""
    return next((owner for frame in _frames() if _is_list(owner := frame.f_locals.get("self"))), None)


def made_by_keras() -> bool:
    """Whether ``callback_list()`` is being made by ``fit``, ``evaluate`` or ``predict``, not by a loop of someone's."""
    inside = False
    for frame in _frames():
        owned = _is_list(frame.f_locals.get("self"))
        if inside and not owned:
            return str(frame.f_globals.get("__name__", "")).startswith("keras.")
        inside = owned
    return False


def list_of(model: Any) -> Any:
    """The list of callbacks of the ``fit`` or ``evaluate`` of ``model`` that is nearest; None if there is none."""
    for frame in _frames():
        if frame.f_code.co_name in ("fit", "evaluate") and frame.f_locals.get("self") is model:
            callbacks = frame.f_locals.get("callbacks")
            return callbacks if _is_list(callbacks) else None
    return None


def in_fit(model: Any) -> bool:
    """Whether a ``fit`` of ``model`` is running, or about to."""
    return any(frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model for frame in _frames(_ALL))


def in_stack(reference: weakref.ref[Any]) -> bool:
    """Whether some call further up this stack holds what ``reference`` refers to."""
    value = reference()
    return value is not None and any(value is local for frame in _frames(_ALL) for local in frame.f_locals.values())


def batch_size(model: Any) -> int | None:
    """The batch size of the ``fit`` or ``evaluate`` of ``model``, if it can be told."""
    for frame in _frames():
        if frame.f_locals.get("self") is model and "epoch_iterator" in frame.f_locals:
            iterator = frame.f_locals["epoch_iterator"]
            adapter = getattr(iterator, "data_adapter", None)
            sizes = (getattr(adapter, "batch_size", None), frame.f_locals.get("batch_size"), _dimension(iterator))
            return next((size for size in sizes if isinstance(size, int) and size > 0), None)
    return None


def fit_argument(model: Any, name: str, missing: Any) -> Any:
    """What the ``fit`` of ``model`` was given; ``missing`` if that can't be told."""
    for frame in _frames():
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model and name in frame.f_locals:
            return frame.f_locals[name]
    return missing


def _is_list(owner: Any) -> bool:
    return isinstance(owner, keras.callbacks.CallbackList)


def _dimension(iterator: Any) -> Any:
    """The leading dimension of a ``tf.data`` pipeline, where it is fixed."""
    try:
        return keras.tree.flatten(iterator._distributed_dataset.element_spec)[0].shape[0]
    except (AttributeError, IndexError, ValueError):
        return None


def _frames(most: int = _NEAR) -> list[FrameType]:
    """Those of the calls above the function of this file that asks, the nearest first."""
    frames: list[FrameType] = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and len(frames) < most:
        frames.append(frame)
        frame = frame.f_back
    return frames
