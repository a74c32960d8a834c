"""Who stays on a model for one fit, evaluation or loop, and leaves with it, even where that ends by an exception.

Of an exception Keras tells no callback. What tells is its list of callbacks: it vanishes with the frame of ``fit``,
mostly while the exception is still on its way. Where someone keeps that frame (a notebook, a debugger), it is noticed
when the model is next trained or evaluated: the list is then not among the calls that lead there.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable
from typing import Any

from epochscope import keras_frames
from epochscope import keras_patches as patches


class Guest(patches.Owner):
    """Patches that are put on a model and what belongs to it, and taken away together.

    To be made where a callback is given its model, or in ``on_train_begin``.

    Args:
        model: the host.
        on_error: told of errors in our own part of what the host does.
    """

    def __init__(self, model: Any, on_error: Callable[[Exception], None]) -> None:
        self.begun = False  # the fit, evaluation or loop runs
        self._thread = threading.get_ident()
        self._model = weakref.ref(model)
        self._on_error = on_error
        self._patched: list[object] = []
        self._by_keras = keras_frames.made_by_keras()
        callbacks = keras_frames.callback_list()
        self._callbacks = weakref.ref(callbacks) if callbacks is not None else None
        if callbacks is not None:
            weakref.finalize(callbacks, _list_vanished, weakref.ref(self), self._model).atexit = False
        for name in ("make_train_function", "make_test_function"):
            if hasattr(model, name):
                self.put(model, name, Guest._see_new_steps)

    def put(self, target: Any, name: str, replacement: Callable[..., Any]) -> None:
        """As ``keras_patches.put``, until ``leave()``."""
        patches.put(self, target, name, replacement)
        self._patched.append(target)

    def leave(self) -> None:
        """Leaves the model as it was found. A second call changes nothing."""
        if self.live:
            self.live = False
            for target in self._patched:
                patches.sweep(target)
            if (model := self._model()) is not None:
                self.take_along(model)

    def take_along(self, model: Any) -> None:
        """Takes from the model what is no patch."""

    def broken_off(self) -> None:
        """Its fit, evaluation or loop has ended, and nobody has said so."""
        self.leave()

    def is_over(self) -> bool:
        """Whether its fit or evaluation has ended, and nobody has said so. A loop of someone's own, whose list may lie
        anywhere, is over when that vanishes or a fit begins."""
        if self._callbacks is not None and self._callbacks() is None:
            return True
        if self._thread != threading.get_ident():
            return False  # whose calls can't be seen from here
        model = self._model()
        if model is None or (not self._by_keras and not keras_frames.in_fit(model)):
            return False
        return self._callbacks is None or not keras_frames.in_stack(self._callbacks)

    def is_of(self, callbacks: Any) -> bool:
        """Whether this is the list of callbacks it came with."""
        return (self._callbacks() if self._callbacks is not None else None) is callbacks

    def is_calling(self) -> bool:
        """Whether its fit, evaluation or loop is among the calls that lead here, as far as can be told."""
        return self._callbacks is not None and keras_frames.in_stack(self._callbacks)

    def _see_new_steps(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        """Keras asks for its compiled steps at the start of each fit and evaluation."""
        try:
            if self.is_over():
                self.broken_off()
        except Exception as error:
            self._on_error(error)
        return original(*args, **kwargs)


def clear_away(model: Any) -> None:
    """Sends away whom a fit that ended by an exception has left on ``model``, and who was there for an earlier loop."""
    by_keras = keras_frames.made_by_keras()
    callbacks = keras_frames.callback_list()
    targets = _places(model)
    for guest in {owner for target in targets for owner in patches.owners(target) if isinstance(owner, Guest)}:
        earlier = guest.begun and not by_keras and not guest.is_of(callbacks) and not guest.is_calling()
        if guest.is_over() or earlier:
            guest.broken_off()
    _sweep(model)


def _list_vanished(guest: weakref.ref[Guest], model: weakref.ref[Any]) -> None:
    if (there := guest()) is not None:
        try:
            if there.live:
                there.broken_off()
        except Exception as error:
            there._on_error(error)
    elif (host := model()) is not None:  # they have vanished together
        with contextlib.suppress(Exception):  # its metrics may be a model's own
            _sweep(host)


def _sweep(model: Any) -> None:
    """Takes away the patches of those who live no longer, and the steps that were compiled with them."""
    swept = [patches.sweep(target) for target in _places(model)]
    if any(swept):
        patches.forget_compiled_steps(model)


def _places(model: Any) -> list[Any]:
    """Where on a model patches may lie."""
    return [model, *model.metrics, *getattr(getattr(model, "_compile_metrics", None), "metrics", ())]
