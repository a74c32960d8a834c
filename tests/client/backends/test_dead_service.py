"""A training whose service is dead is the training without Monitor, to the last bit, on every backend.

Runs with TensorFlow beside the other tests, with JAX and torch by ``make backends``.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from listener import Listener, free_port, lines
from small_models import CLASSES, FEATURES, X, Y, compiled, fit

BACKEND = os.environ["KERAS_BACKEND"]
pytest.importorskip(BACKEND)
pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, of torch's tensors
]
Console = pytest.CaptureFixture[str]


def noise() -> Any:
    """A layer that draws from TensorFlow's own stream, which depends on all that is drawn in a step before."""
    import keras
    import tensorflow as tf

    class Noise(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any, training: bool = False) -> Any:
            return inputs + 0.1 * tf.random.normal(tf.shape(inputs)) if training else inputs

    return Noise()


def learner(*more: Any) -> Any:
    """With a state and a randomness of its own: whatever we drew or updated once too often would show."""
    import keras

    keras.utils.set_random_seed(5)
    layers = keras.layers
    body = [layers.Dense(16, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.3)]
    model = keras.Sequential([keras.Input((FEATURES,)), *body, *more, layers.Dense(CLASSES, activation="softmax")])
    return compiled(model, optimizer=keras.optimizers.Adam(0.05), jit_compile=False)


def drawn() -> list[float]:
    """What comes next at random, where a training draws from: had we drawn a number, it would be another."""
    import keras

    numbers = [random.random(), float(np.random.random()), float(keras.random.uniform(()))]
    if BACKEND == "tensorflow":
        import tensorflow as tf

        numbers.append(float(tf.random.uniform(())))
    if BACKEND == "torch":
        import torch

        numbers.append(float(torch.rand(())))
    return numbers


def trained(*callbacks: Any) -> tuple[Any, list[Any]]:
    import keras

    model = learner(*([noise()] if BACKEND == "tensorflow" else []))
    keras.utils.set_random_seed(7)
    first = drawn()
    history = fit(model, Y, *callbacks, shuffle=True, epochs=3)
    history["then"] = model.evaluate(X, Y, verbose=0)
    history["drawn"] = [first, drawn()]
    state = [*model.get_weights(), *(keras.ops.convert_to_numpy(each) for each in model.optimizer.variables)]
    return history, state


@pytest.fixture
def silent() -> Iterator[str]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(params=["alive", "refused", "silent"])
def url(request: pytest.FixtureRequest, silent: str, listener: Listener) -> str:
    return {"alive": listener.url, "refused": f"http://127.0.0.1:{free_port()}", "silent": silent}[request.param]


def test_weights_optimizer_and_history_are_the_same_to_the_last_bit_whatever_became_of_the_service(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: Console
) -> None:
    from epochscope.keras import Monitor

    monkeypatch.setattr("epochscope.run.END_WAIT_S", 0.2)
    plain, expected = trained()
    watched, found = trained(Monitor(url=url))
    assert {name: watched[name] for name in plain} == plain
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(watched["val_macro_f1"]) == 3
    assert len(lines(capsys.readouterr().err)) <= 1


def test_a_second_fit_is_the_same_to_the_last_bit_as_well(listener: Listener) -> None:
    from epochscope.keras import Monitor

    found = []
    for callbacks in ([], [Monitor(url=listener.url)]):
        model = learner()
        history = [fit(model, Y, *callbacks, shuffle=True) for _ in range(2)]
        found.append(([each["val_loss"] for each in history], model.get_weights()))
    (plain, expected), (watched, weights) = found
    assert watched == plain
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(one, other)
