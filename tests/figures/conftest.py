"""Figures read back as Plotly reads them: validated by plotly.graph_objects, their typed arrays as numpy arrays."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from epochscope_server.analysis.confusion import Confusion
from epochscope_server.analysis.curves import ClassCurves
from numpy.typing import NDArray

Whole = NDArray[np.int64]


@pytest.fixture
def validated() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Hold a figure against Plotly's own validator and against JSON; answer it as the browser gets it."""
    import plotly.graph_objects as go

    def check(figure: dict[str, Any]) -> dict[str, Any]:
        go.Figure(figure)
        answer: dict[str, Any] = json.loads(json.dumps(figure, allow_nan=False))
        return answer

    return check


@pytest.fixture
def decoded() -> Callable[[Any], NDArray[Any]]:
    """A typed array of a figure as numpy has it."""

    def decode(column: Any) -> NDArray[Any]:
        array: NDArray[Any] = np.frombuffer(base64.b64decode(column["bdata"]), column["dtype"])
        return array.reshape([int(size) for size in column["shape"].split(",")]) if "shape" in column else array

    return decode


@pytest.fixture
def predictions() -> tuple[Whole, Whole]:
    """True and predicted classes of 40 steps of 16 samples, four classes; class 3 occurs only from step 21 on."""
    rng = np.random.default_rng(3)
    true = rng.integers(0, 3, (40, 16))
    true[20:, :4] = 3
    predicted = np.where(rng.random(true.shape) < 0.75, true, rng.integers(0, 4, true.shape))
    predicted[:20] = np.where(predicted[:20] == 3, 0, predicted[:20])
    return true, predicted


@pytest.fixture
def curves_of() -> Callable[..., ClassCurves]:
    """Curves of predictions [steps, batch] in windows of ``width`` steps, or epochs of so many."""

    def make(true: Whole, predicted: Whole, names: tuple[str, ...], width: int, epochs: bool = False) -> ClassCurves:
        start = np.arange(1, len(true) + 1, width)
        stop = np.minimum(start + width, len(true) + 1)
        epoch = np.arange(1, len(start) + 1) if epochs else None

        def counted(chosen: NDArray[np.bool_], classes: Whole) -> Whole:
            windows = [slice(lo - 1, hi - 1) for lo, hi in zip(start, stop, strict=True)]
            return np.array(
                [[np.sum(chosen[w] & (classes[w] == index)) for w in windows] for index in range(len(names))]
            )

        hit = true == predicted
        return ClassCurves(
            "train", names, start, stop, epoch,
            tp=counted(hit, true), fp=counted(~hit, predicted), fn=counted(~hit, true),
        )  # fmt: skip

    return make


@pytest.fixture
def confusion_of() -> Callable[..., Confusion]:
    def make(counts: Any, names: tuple[str, ...], epoch: int | None = None) -> Confusion:
        return Confusion("val", names, 11, 31, np.asarray(counts, dtype=np.int64), epoch)

    return make
