"""What happens inside the compiled step on TensorFlow: each batch leaves a row in a log on the device.

The log is a ring that is read once for many batches, so that all of them are there even with
``steps_per_execution=50``; no reading waits for a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf

from epochscope.keras_classify import Rule, codes, narrowed
from epochscope.keras_outputs import Outputs
from epochscope.keras_patches import forget_compiled_steps
from epochscope.keras_ring import Ring, counted, length_of, packed_row
from epochscope.keras_rows import Layout, Rows, parsed_rows
from epochscope.keras_step import Watch

_LEAST_ENTRIES = 2**17  # 1 MiB: small batches come fast, and each reading costs about the same
_MOST_ENTRIES = 2**22  # 32 MiB
_ROWS = 256
_UNKNOWN_BATCH = 1024
_FEW_SAMPLES = 1024  # to sum up fewer in the step costs it more than their codes cost those who read them


class Capture(Watch):
    """Logs every batch of one model, from ``Capture(...)`` until ``remove()``.

    Args:
        model: compiled, of the TensorFlow backend.
        outputs: how its outputs are to be read.
        batch_size: an idea of it, for the size of the log; None if there is none.
        on_error: told of errors in our own part of the step, which then goes on without it.
    """

    def __init__(
        self, model: Any, outputs: Outputs, batch_size: int | None, on_error: Callable[[Exception], None]
    ) -> None:
        self.train = Ring()
        self.test = Ring()
        self._batch_size = batch_size
        super().__init__(model, outputs, on_error)

    def room(self, ring: Ring) -> int:
        """What half of the log holds, less what the next call of the step may write."""
        model = self._model()
        return 0 if model is None else ring.room() - max(int(model.steps_per_execution), 1)

    def grow(self) -> None:
        """Starts larger logs after rows were lost, in a step that is compiled anew."""
        model = self._model()
        if model is None:
            return
        self._batch_size = 2 * max(self.train.longest, self.test.longest, self._batch_size or 0)
        self.train, self.test = Ring(), Ring()
        forget_compiled_steps(model)

    def read(self, ring: Ring) -> tuple[list[Rows], int]:
        """The batches logged since the last reading, in order, and how many were lost (0, but for a log that
        turned out too small)."""
        entries, lost = ring.read()
        return [_narrowed(rows) for rows in parsed_rows(self.layouts, entries)], lost

    def _codes(self, rule: Rule, y: Any, y_pred: Any, weight: Any) -> Any:
        each = tf.convert_to_tensor(codes(rule, y, y_pred, weight, wide=True))
        return counted(codes(rule, y, y_pred, weight), rule.classes) if self._many(each, rule) else each

    def _many(self, each: Any, rule: Rule) -> bool:
        """Whether a batch has many samples (pixels, mostly), and more than a matrix has cells, even if its size is not
        known."""
        return max(rule.classes**2, _FEW_SAMPLES) < (each.shape[0] or self._samples(unknown=1) * rule.codes)

    def _is_pure(self, metric: Any) -> bool:
        """A variable of TensorFlow itself is written whatever the scope."""
        return not any(isinstance(value, tf.Variable) for value in vars(metric).values())

    def _keep(self, result: Any, training: bool, layout: Layout, scalars: list[Any], codes: list[Any]) -> Any:
        model: Any = self._model()
        per_row = 2 + len(codes) + len(scalars)
        for (name, _), each in zip(layout.outputs, codes, strict=True):
            per_row += length_of(each) or self._samples() * self.outputs.rules[name].codes
        most = 2 * per_row * max(int(model.steps_per_execution), 1)
        row, length = packed_row(self.layouts.index(layout), scalars, codes)
        ring = self.train if training else self.test
        ring.write(row, length, min(max(_ROWS * per_row, most, _LEAST_ENTRIES), _MOST_ENTRIES))
        return result

    def _samples(self, unknown: int = _UNKNOWN_BATCH) -> int:
        """About how many samples a batch has: images may have many of them (a class for each pixel)."""
        step = self._step
        assert step is not None
        assert step.seen is not None
        most = 1
        for tensor in keras.tree.flatten(step.seen[1]):
            within = 1
            for dimension in tensor.shape[1:-1]:
                within *= dimension or min(64, unknown)
            most = max(most, within)
        return most * (self._batch_size or unknown)


def _narrowed(rows: Rows) -> Rows:
    """The codes in ``rows`` as everybody else knows them; counts have them so already."""
    each = zip(rows.layout.outputs, rows.codes, rows.times, strict=True)
    return replace(
        rows, codes=[codes if times is not None else narrowed(codes, classes) for (_, classes), codes, times in each]
    )
