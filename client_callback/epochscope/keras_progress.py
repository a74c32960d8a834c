"""Who puts keys of its own into the logs of epochs, and keeps them off the progress bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from epochscope import keras_facts
from epochscope import keras_patches as patches


class Quiet(patches.Owner):
    """Patches of one fit, taken away together. The progress bar does not print the keys in ``published``: it would
    grow by three numbers a class."""

    def __init__(self) -> None:
        self.published: set[str] = set()  # our keys in the logs of epochs
        self._patched: list[object] = []

    def put(self, target: Any, name: str, replacement: Callable[..., Any]) -> None:
        """As ``keras_patches.put``, until ``sweep()``."""
        patches.put(self, target, name, replacement)
        self._patched.append(target)

    def sweep(self) -> None:
        """Takes all of it away."""
        self.live = False
        for target in self._patched:
            patches.sweep(target)

    def hide_published(self) -> None:
        """To be called by a callback that is being given its model, or its ``on_train_begin``."""
        for callback in getattr(keras_facts.callback_list(), "callbacks", ()):
            if isinstance(callback, keras.callbacks.ProgbarLogger):
                self.put(callback, "on_epoch_end", Quiet._see_progress)

    def _see_progress(self, original: Any, epoch: int, logs: Any = None) -> Any:
        """The progress bar's last line of an epoch, without our keys."""
        if isinstance(logs, dict):
            logs = {name: value for name, value in logs.items() if name not in self.published}
        return original(epoch, logs)
