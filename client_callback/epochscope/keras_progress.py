"""Who puts keys of its own into the logs of epochs, and keeps them off the progress bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from epochscope import keras_frames
from epochscope.keras_guest import Guest


class Quiet(Guest):
    """A guest on the progress bar, too, which does not print the keys in ``published``: it would grow by three numbers
    a class."""

    def __init__(self, model: Any, on_error: Callable[[Exception], None]) -> None:
        super().__init__(model, on_error)
        self.published: set[str] = set()  # our keys in the logs of epochs
        for callback in getattr(keras_frames.callback_list(), "callbacks", ()):
            if isinstance(callback, keras.callbacks.ProgbarLogger):
                self.put(callback, "on_epoch_end", Quiet._see_progress)

    def _see_progress(self, original: Any, epoch: int, logs: Any = None) -> Any:
        """The progress bar's last line of an epoch, without our keys."""
        if isinstance(logs, dict):
            logs = {name: value for name, value in logs.items() if name not in self.published}
        return original(epoch, logs)
