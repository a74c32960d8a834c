"""What happens in each step on torch: it runs eagerly, so what it computed is put aside and converted when read.

Nothing waits for the device in the step, and nothing of it is part of what torch differentiates.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from epochscope.keras_classify import Rule, codes
from epochscope.keras_outputs import Outputs
from epochscope.keras_rows import Layout, Rows
from epochscope.keras_step import Watch
from epochscope.keras_waiting import Waiting


class Capture(Watch):
    """Logs every batch of one model of the torch backend, from ``Capture(...)`` until ``remove()``.

    Args:
        model: compiled.
        outputs: how its outputs are to be read.
        on_error: told of errors in our own part of the step, which then goes on without it.
    """

    def __init__(self, model: Any, outputs: Outputs, on_error: Callable[[Exception], None]) -> None:
        self.train = Waiting()
        self.test = Waiting()
        super().__init__(model, outputs, on_error)

    def room(self, log: Waiting) -> int:
        """How many rows may wait before they hold much memory."""
        return log.room()

    def read(self, log: Waiting) -> tuple[list[Rows], int]:
        """The batches logged since the last reading, in order; none is ever lost."""
        rows: list[Rows] = []
        for layout, some in itertools.groupby(log.take(), key=lambda row: row[0]):
            group = list(some)
            scalars = torch.stack([values for _, values, _ in group]).cpu().numpy().astype(np.float64)
            lengths, found = [], []
            for output in range(len(layout.outputs)):
                each = [codes[output] for _, _, codes in group]
                lengths.append(np.array([len(one) for one in each], np.int64))
                found.append(torch.cat(each).cpu().numpy())
            rows.append(Rows(layout, scalars, lengths, found))
        return rows, 0

    def _unobserved(self) -> Any:
        return torch.no_grad()

    def _codes(self, rule: Rule, y: Any, y_pred: Any, weight: Any) -> Any:
        return codes(rule, y, y_pred, weight)

    def _is_pure(self, metric: Any) -> bool:
        """A tensor of torch itself may be written in place."""
        return not any(isinstance(value, torch.Tensor) for value in vars(metric).values())

    def _keep(self, result: Any, training: bool, layout: Layout, scalars: list[Any], codes: list[Any]) -> Any:
        # Copied: Keras writes its variables (the learning rate is one) in place.
        values = torch.stack([value.to(torch.float32) for value in scalars]) if scalars else torch.zeros(0)
        log = self.train if training else self.test
        log.append((layout, values, codes), len(scalars) + sum(len(each) for each in codes))
        return result
