"""A training step of one's own, on each backend: what it returns, what its metrics see, what can't be seen in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from listener import Listener, lines
from sklearn.metrics import confusion_matrix
from small_models import CLASSES, TRAIN_BATCHES, VAL_BATCHES, X, Y, compiled, fit, said

pytestmark = [
    pytest.mark.keras,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, of torch's tensors
]

Console = pytest.CaptureFixture[str]
BACKEND = os.environ["KERAS_BACKEND"]
JAX = pytest.mark.skipif(BACKEND == "jax", reason="there a step has no such form")


@pytest.fixture
def monitor(listener: Listener) -> Callable[..., Any]:
    from epochscope.keras import Monitor

    return lambda **arguments: Monitor(url=listener.url, **arguments)


def own(updates: Callable[[Any, Any, Any, Any], dict[str, Any]]) -> Any:
    """A model that learns nothing, whose steps compute a loss by themselves and return what ``updates`` of the model,
    labels, predictions and loss does; its metrics are its own."""
    import keras

    class Own(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(CLASSES, activation="softmax")
            self.mean = keras.metrics.Mean(name="mean")
            self.right = keras.metrics.SparseCategoricalAccuracy(name="right")

        def call(self, x: Any) -> Any:
            return self.dense(x)

        @property
        def metrics(self) -> list[Any]:
            return [self.mean, self.right]

        def train_step(self, data: Any) -> Any:
            x, y = data
            y_pred = self(x, training=True)
            return updates(self, y, y_pred, keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, y_pred)))

        test_step = train_step

    return compiled(Own(), loss=None, metrics=None)


def by_metrics_of_its_own(model: Any, y: Any, y_pred: Any, loss: Any) -> dict[str, Any]:
    model.mean.update_state(loss)
    model.right.update_state(y, y_pred)
    return {"total": model.mean.result(), "right": model.right.result()}


def with_numbers_of_the_batch(model: Any, y: Any, y_pred: Any, loss: Any) -> dict[str, Any]:
    return {"loss": loss, "largest": y_pred[0, 0]}


def with_two_pairs(model: Any, y: Any, y_pred: Any, loss: Any) -> dict[str, Any]:
    model.right.update_state(y, y_pred)
    model.right.update_state(y * 0, y_pred)
    return {"right": model.right.result()}


def losses(model: Any) -> list[float]:
    import keras

    scores = np.asarray(keras.ops.convert_to_numpy(model(X)))
    each = -np.log(scores[np.arange(len(Y)), Y])
    return [float(each[part].mean()) for part in TRAIN_BATCHES]


@JAX
def test_metrics_of_its_own_show_labels_and_predictions(monitor: Callable[..., Any], listener: Listener) -> None:
    model = own(by_metrics_of_its_own)
    fit(model, Y, monitor(num_classes=CLASSES))
    predicted = said(model, X)
    for split, parts in (("train", TRAIN_BATCHES), ("val", VAL_BATCHES)):
        matrices = listener.matrices(split)
        assert sorted(matrices) == list(range(1, 2 * len(parts) + 1))
        for number, part in enumerate(parts * 2, 1):
            expected = confusion_matrix(Y[part], predicted[part], labels=range(CLASSES))
            np.testing.assert_array_equal(matrices[number], expected)


@JAX
def test_what_its_metrics_say_under_another_name_is_called_a_running_mean(
    monitor: Callable[..., Any], listener: Listener
) -> None:
    model = own(by_metrics_of_its_own)
    fit(model, Y, monitor(), epochs=1)
    each = losses(model)
    assert listener.series("mean")[1] == pytest.approx(each)
    running = np.cumsum(each) / np.arange(1, 5)
    assert listener.series("total (running mean)")[1] == pytest.approx(running.tolist())
    assert listener.keys() == {"mean", "right", "total (running mean)", "learning_rate"}
    assert listener.keys("val") == {"mean", "right", "total (running mean)"}
    assert listener.series("total (running mean)", "val")[0] == [1, 2, 3]


@JAX
@pytest.mark.parametrize(
    "steps", [1, pytest.param(3, marks=pytest.mark.skipif(BACKEND == "torch", reason="not there"))]
)
def test_numbers_that_it_returns_are_those_of_the_batch(
    steps: int, monitor: Callable[..., Any], listener: Listener, capsys: Console
) -> None:
    model = own(with_numbers_of_the_batch)
    model.steps_per_execution = steps
    fit(model, Y, monitor(), epochs=2)
    steps_told, values = listener.series("loss")
    assert steps_told == list(range(1, 9))
    assert values == pytest.approx(losses(model) * 2)
    assert listener.keys() == {"loss", "largest", "learning_rate"}
    assert listener.keys("val") == {"loss", "largest"}
    (line,) = lines(capsys.readouterr().err)
    assert line.startswith("no confusion matrix of this model: its train_step shows neither labels nor predictions")


@JAX
def test_where_its_metrics_are_shown_different_things_nothing_is_counted(
    monitor: Callable[..., Any], listener: Listener, capsys: Console
) -> None:
    fit(own(with_two_pairs), Y, monitor(num_classes=CLASSES), epochs=1)
    assert "its train_step updates its metrics with different labels and predictions" in capsys.readouterr().err
    assert listener.info().outputs == []


def test_values_of_validation_stay_there(monitor: Callable[..., Any], listener: Listener) -> None:
    """A callback puts a number into the logs of validation batches; those of training are not touched."""
    import keras

    class Adds(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            logs["extra"] = float(batch)

        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            logs["extra"] = -1.0

    model = compiled(keras.Sequential([keras.layers.Dense(CLASSES, activation="softmax")]))
    fit(model, Y, monitor(), Adds(), epochs=2)
    assert listener.series("extra") == (list(range(1, 9)), [0.0, 1.0, 2.0, 3.0] * 2)
    assert listener.series("extra", "val") == (list(range(1, 7)), [-1.0] * 6)
