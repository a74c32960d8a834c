"""Small classifiers and their data, the same on every backend of Keras, for the tests of Monitor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES, VAL, FEATURES, CLASSES, BATCH, VAL_BATCH = 50, 23, 5, 3, 16, 10
RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=(SAMPLES + VAL, FEATURES)).astype("float32")
Y = RANDOM.integers(0, CLASSES, SAMPLES + VAL)
YES = RANDOM.integers(0, 2, SAMPLES + VAL)
ONE_HOT = np.eye(CLASSES, dtype="float32")[Y]


def batches(start: int, stop: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, stop)) for first in range(start, stop, size)]


TRAIN_BATCHES = batches(0, SAMPLES, BATCH)
VAL_BATCHES = batches(SAMPLES, SAMPLES + VAL, VAL_BATCH)


def compiled(model: Any, **arguments: Any) -> Any:
    """Learns nothing unless told otherwise, so that what it predicted in a batch can be asked again afterwards."""
    import keras

    keras.utils.set_random_seed(3)
    model.compile(
        **{
            "optimizer": keras.optimizers.SGD(0.0),
            "loss": "sparse_categorical_crossentropy",
            "metrics": ["accuracy"],
            **arguments,
        }
    )
    return model


def sequential(units: int = CLASSES, activation: str | None = "softmax", **arguments: Any) -> Any:
    import keras

    keras.utils.set_random_seed(5)
    return compiled(keras.Sequential([keras.layers.Dense(units, activation=activation)]), **arguments)  # not built


def functional(**arguments: Any) -> Any:
    import keras

    keras.utils.set_random_seed(5)
    inputs = keras.Input((FEATURES,))
    outputs = keras.layers.Dense(CLASSES, activation="softmax")(inputs)
    return compiled(keras.Model(inputs, outputs), **arguments)


def subclassed(**arguments: Any) -> Any:
    import keras

    class Small(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(CLASSES)

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    return compiled(Small(), **{"loss": loss("SparseCategoricalCrossentropy", from_logits=True), **arguments})


def loss(name: str, **arguments: Any) -> Any:
    import keras

    return getattr(keras.losses, name)(**arguments)


def fit(model: Any, y: Any, *callbacks: Any, **more: Any) -> Any:
    train = {"x": X[:SAMPLES], "y": y[:SAMPLES], "batch_size": BATCH}
    val = {"validation_data": (X[SAMPLES:], y[SAMPLES:]), "validation_batch_size": VAL_BATCH}
    plain = {**train, **val, "epochs": 2, "shuffle": False, "verbose": 0}
    return model.fit(**{**plain, **more}, callbacks=list(callbacks)).history


def scores(model: Any, x: Any) -> NDArray[np.float64]:
    import keras

    found: NDArray[np.float64] = np.asarray(keras.ops.convert_to_numpy(keras.ops.stop_gradient(model(x))), np.float64)
    return found


def said(model: Any, x: Any) -> NDArray[np.int64]:
    found: NDArray[np.int64] = scores(model, x).argmax(axis=-1)
    return found


def alone(model: Any, *batch: Any) -> dict[str, float]:
    """What Keras says of one batch and nothing else."""
    model.run_eagerly, model.jit_compile = True, False
    model.test_function = None  # eager: quicker for once than compiling it
    return {name: float(value) for name, value in model.test_on_batch(*batch, return_dict=True).items()}
