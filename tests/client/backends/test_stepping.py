"""Monitor on the ways of stepping and validating that Keras has on every backend, held against scikit-learn.

Runs with TensorFlow beside the other tests, with JAX and torch by ``make backends``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from listener import Listener, lines
from sklearn.metrics import confusion_matrix
from small_models import (
    BATCH,
    CLASSES,
    SAMPLES,
    TRAIN_BATCHES,
    VAL_BATCH,
    VAL_BATCHES,
    X,
    Y,
    alone,
    batches,
    compiled,
    fit,
    functional,
    said,
)

BACKEND = os.environ["KERAS_BACKEND"]
pytest.importorskip(BACKEND)
pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, of torch's tensors
]
SPLIT = 35  # of the 50 samples, where 0.3 of them are for validation


def monitor(listener: Listener, **arguments: Any) -> Any:
    from epochscope.keras import Monitor

    return Monitor(url=listener.url, **arguments)


def assert_counted(listener: Listener, guesses: Any, parts: list[Any], split: str = "train", **which: Any) -> None:
    matrices = listener.matrices(split, **which)
    assert sorted(matrices) == list(range(1, len(parts) + 1))
    for number, part in enumerate(parts, 1):
        expected = confusion_matrix(Y[part], guesses[part], labels=range(CLASSES))
        np.testing.assert_array_equal(matrices[number], expected, err_msg=f"{split} step {number}")


def accumulating() -> Any:
    import keras

    return functional(optimizer=keras.optimizers.SGD(0.0, gradient_accumulation_steps=3))


def of_half_precision(policy: str) -> Any:
    """The scores themselves are of full precision, so that a batch's largest is the same however it is computed."""
    import keras

    keras.utils.set_random_seed(5)
    inputs = keras.Input((X.shape[1],))
    outputs = keras.layers.Activation("softmax", dtype="float32")(keras.layers.Dense(CLASSES, dtype=policy)(inputs))
    optimizer: Any = keras.optimizers.SGD(0.0)
    if policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return compiled(keras.Model(inputs, outputs), optimizer=optimizer)


MODELS: dict[str, Callable[[], Any]] = {
    "gradient accumulation": accumulating,
    "mixed_float16": lambda: of_half_precision("mixed_float16"),
    "mixed_bfloat16": lambda: of_half_precision("mixed_bfloat16"),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_step_of_every_backend_is_a_batch(name: str, listener: Listener) -> None:
    model = MODELS[name]()
    fit(model, Y, monitor(listener))
    guesses = said(model, X)
    assert_counted(listener, guesses, TRAIN_BATCHES * 2)
    assert_counted(listener, guesses, VAL_BATCHES * 2, "val")
    own = [alone(model, X[part], Y[part]) for part in TRAIN_BATCHES]
    for metric in ("loss", "accuracy"):
        steps, values = listener.series(metric)
        assert steps == list(range(1, 9))
        assert values == pytest.approx([each[metric] for each in own] * 2, abs=3e-6)
    assert listener.info().capture == "everything"


Told = tuple[dict[str, Any], list[slice], list[slice], list[int]]  # fit's arguments, batches of both splits, epochs
WAYS: dict[str, Told] = {
    "validation_split": (
        {"validation_data": None, "validation_split": 0.3},
        batches(0, SPLIT, BATCH),
        batches(SPLIT, SAMPLES, VAL_BATCH),
        [1, 2, 3],
    ),
    "validation_freq": ({"validation_freq": 2}, TRAIN_BATCHES, VAL_BATCHES, [2]),
    "validation_freq as a list": ({"validation_freq": [1, 3]}, TRAIN_BATCHES, VAL_BATCHES, [1, 3]),
    "validation_steps": ({"validation_steps": 2}, TRAIN_BATCHES, VAL_BATCHES[:2], [1, 2, 3]),
    "initial_epoch": ({"initial_epoch": 1}, TRAIN_BATCHES, VAL_BATCHES, [2, 3]),
}


@pytest.mark.parametrize("name", WAYS)
def test_every_way_of_validating_is_counted_batch_by_batch(name: str, listener: Listener) -> None:
    arguments, train, val, validated = WAYS[name]
    model = functional()
    fit(model, Y, monitor(listener), epochs=3, **arguments)
    epochs = list(range(arguments.get("initial_epoch", 0) + 1, 4))
    for split, parts, numbers in (("train", train, epochs), ("val", val, validated)):
        assert_counted(listener, said(model, X), parts * len(numbers), split)
        starts = [place * len(parts) + 1 for place in range(len(numbers))]
        spans = [(epoch, start, start + len(parts)) for epoch, start in zip(numbers, starts, strict=True)]
        assert listener.spans(split) == spans


@pytest.mark.parametrize("kind", ["class_weight", "sample_weight"])
def test_weights_of_any_kind_leave_the_counts_as_they_are(kind: str, listener: Listener) -> None:
    model = functional()
    weights = {0: 0.1, 1: 5.0, 2: 2.0} if kind == "class_weight" else np.linspace(0.5, 3, SAMPLES).astype("float32")
    fit(model, Y, monitor(listener), **{kind: weights})
    assert_counted(listener, said(model, X), TRAIN_BATCHES * 2)


def test_positions_of_a_sequence_that_weigh_nothing_are_not_counted(listener: Listener) -> None:
    import keras

    random = np.random.default_rng(6)
    x = random.normal(size=(SAMPLES, 6, X.shape[1])).astype("float32")
    tags = random.integers(0, CLASSES, (SAMPLES, 6))
    weight = random.choice([0.0, 0.5, 2.0], tags.shape).astype("float32")
    keras.utils.set_random_seed(5)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax")(inputs))
    compiled(model, metrics=None)
    model.fit(x, tags, BATCH, epochs=2, sample_weight=weight, shuffle=False, verbose=0, callbacks=[monitor(listener)])
    matrices = listener.matrices()
    assert sorted(matrices) == list(range(1, 9))
    for number, part in enumerate(TRAIN_BATCHES * 2, 1):
        kept = weight[part] > 0
        expected = confusion_matrix(tags[part][kept], said(model, x)[part][kept], labels=range(CLASSES))
        np.testing.assert_array_equal(matrices[number], expected, err_msg=f"step {number}")


def test_a_fit_and_a_prediction_inside_a_fit_disturb_nothing(listener: Listener) -> None:
    import keras

    outer, inner = functional(), functional()
    around, within = monitor(listener), monitor(listener)

    class Teacher(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if not epoch:
                fit(inner, Y, within, epochs=1)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            inner.predict(X[:2], verbose=0)

    fit(outer, Y, Teacher(), around)
    assert_counted(listener, said(outer, X), TRAIN_BATCHES * 2, run=around.run_id)
    assert_counted(listener, said(inner, X), TRAIN_BATCHES, run=within.run_id)
    assert [listener.ends(run)[-1].status for run in listener.runs] == ["finished", "finished"]


def test_a_loop_over_train_on_batch_is_counted(listener: Listener) -> None:
    import keras

    model = functional()
    callbacks = keras.callbacks.CallbackList([monitor(listener)], model=model, epochs=2, steps=len(TRAIN_BATCHES))
    callbacks.on_train_begin()
    for epoch in range(2):
        callbacks.on_epoch_begin(epoch)
        for number, part in enumerate(TRAIN_BATCHES):
            callbacks.on_train_batch_begin(number)
            callbacks.on_train_batch_end(number, model.train_on_batch(X[part], Y[part], return_dict=True))
        callbacks.on_test_begin()
        for number, part in enumerate(VAL_BATCHES):
            callbacks.on_test_batch_begin(number)
            callbacks.on_test_batch_end(number, model.test_on_batch(X[part], Y[part], return_dict=True))
        callbacks.on_test_end()
        callbacks.on_epoch_end(epoch)
    callbacks.on_train_end()
    assert_counted(listener, said(model, X), TRAIN_BATCHES * 2)
    assert_counted(listener, said(model, X), VAL_BATCHES * 2, "val")


def test_a_regression_is_told_in_one_line_and_its_numbers_go_on(
    listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    model = functional(loss="mse", metrics=["mae"])
    targets = X[:, :CLASSES]
    fit(model, targets, monitor(listener))
    (line,) = lines(capsys.readouterr().err)
    assert line.startswith("no confusion matrix of this model: mse is a loss of regression")
    own = [alone(model, X[part], targets[part]) for part in TRAIN_BATCHES]
    for metric in ("loss", "mae"):
        assert listener.series(metric)[1] == pytest.approx([each[metric] for each in own] * 2, abs=3e-6)
