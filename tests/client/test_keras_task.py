"""What a model does: one line says how its outputs are read; where that is wrong or can not be seen it can be told."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from listener import Listener
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix
from small_models import (
    BATCH,
    CLASSES,
    FEATURES,
    ONE_HOT,
    RANDOM,
    SAMPLES,
    TRAIN_BATCHES,
    YES,
    X,
    Y,
    compiled,
    fit,
    loss,
)

pytestmark = pytest.mark.keras

HAS = (RANDOM.uniform(size=(len(X), 4)) > 0.6).astype("float32")
Console = pytest.CaptureFixture[str]


def model(units: int = CLASSES, activation: str | None = "softmax", **how: Any) -> Any:
    import keras

    keras.utils.set_random_seed(5)
    inputs = keras.Input((FEATURES,))
    scores = keras.layers.Dense(units, activation=activation)(inputs)
    return compiled(keras.Model(inputs, scores), **{"run_eagerly": True, "metrics": None, **how})


def monitor(listener: Listener, **arguments: Any) -> Any:
    from epochscope.keras import Monitor

    return Monitor(url=listener.url, name="brisk", **arguments)


def own(y: Any, y_pred: Any) -> Any:
    """A loss that tells nothing by its name."""
    import keras

    return keras.ops.mean((keras.ops.cast(y, y_pred.dtype) - y_pred) ** 2, axis=-1)


def binary_of_logits(y: Any, y_pred: Any) -> Any:
    return loss_function("binary_crossentropy")(y, y_pred, from_logits=True)


def loss_function(name: str) -> Any:
    import keras

    return getattr(keras.losses, name)


LOGITS = {"from_logits": True, "ignore_class": 0}


def two_heads() -> Any:
    import keras

    inputs = keras.Input((FEATURES,))
    kind = keras.layers.Dense(CLASSES, activation="softmax", name="kind")(inputs)
    size = keras.layers.Dense(1, name="size")(inputs)
    losses = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
    return compiled(keras.Model(inputs, {"kind": kind, "size": size}), loss=losses, metrics=None, run_eagerly=True)


READ: dict[str, tuple[Callable[[], Any], Any, str]] = {
    "indices": (model, Y, "3 classes (labels are indices, the highest score counts)"),
    "ignoring": (
        lambda: model(loss=loss("SparseCategoricalCrossentropy", ignore_class=0)),
        Y,
        "3 classes (labels are indices, the highest score counts, without the label 0)",
    ),
    "one-hot": (
        lambda: model(loss="categorical_crossentropy"),
        ONE_HOT,
        "3 classes (labels are one-hot, the highest score counts)",
    ),
    "dice": (lambda: model(loss="dice"), ONE_HOT, "3 classes (labels are one-hot, the highest score counts)"),
    "sigmoid": (
        lambda: model(1, "sigmoid", loss="binary_crossentropy"),
        YES,
        "2 classes (class 1 is a score above 0.5)",
    ),
    "logit": (
        lambda: model(1, None, loss=loss("BinaryCrossentropy", from_logits=True)),
        YES,
        "2 classes (class 1 is a score above 0)",
    ),
    "labels": (
        lambda: model(4, "sigmoid", loss="binary_crossentropy"),
        HAS,
        "4 labels, each yes or no (yes is a score above 0.5)",
    ),
    "classes by sigmoids": (
        lambda: model(activation="sigmoid", loss="categorical_crossentropy"),
        ONE_HOT,
        "3 classes (labels are one-hot, the highest score counts)",
    ),
    "a loss with its arguments": (
        lambda: model(
            activation=None, loss=functools.partial(loss_function("sparse_categorical_crossentropy"), **LOGITS)
        ),
        Y,
        "3 classes (labels are indices, the highest score counts, without the label 0)",
    ),
    "a logit under a loss of one's own": (
        lambda: model(1, None, loss=binary_of_logits),
        YES[:, None],
        "2 classes (class 1 is a score above 0)",
    ),
    "one of two outputs": (
        two_heads,
        {"kind": Y, "size": X[:, :1]},
        "kind: 3 classes (labels are indices, the highest score counts)",
    ),
}


@pytest.mark.parametrize("name", READ)
def test_one_line_says_how_the_outputs_are_read(name: str, listener: Listener, capsys: Console) -> None:
    build, y, words = READ[name]
    if isinstance(y, dict):
        build().fit(X, y, verbose=0, callbacks=[monitor(listener)])
    else:
        fit(build(), y, monitor(listener))
    said = [line for line in capsys.readouterr().err.splitlines() if " counts " in line]
    assert said == [f"epochscope: run brisk counts {words}"]


TOLD: dict[str, tuple[Callable[[], Any], Any, Any, str]] = {
    "probabilities under a loss of regression": (lambda: model(loss="mse"), ONE_HOT, "classes", "highest"),
    "scores under a loss of one's own": (lambda: model(activation=None, loss=own), ONE_HOT, "classes", "highest"),
    "one of two sigmoids": (
        lambda: model(2, "sigmoid", loss="binary_crossentropy"),
        np.eye(2, dtype="float32")[YES],
        "classes",
        "highest",
    ),
    "one number under a loss of regression": (lambda: model(1, "sigmoid", loss="mse"), YES, "classes", "above 0.5"),
    "labels of logits, in which an accuracy sees classes": (
        lambda: model(4, None, loss=own, metrics=["accuracy"]),
        HAS,
        "labels",
        "above 0",
    ),
    "labels, by the name of the output": (
        lambda: model(4, None, loss=own),
        HAS,
        {"output": "labels", "another": "classes"},
        "above 0",
    ),
    "a single label": (lambda: model(1, "sigmoid", loss="mse"), YES[:, None], "labels", "above 0.5"),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_a_model_does_can_be_told(name: str, listener: Listener, capsys: Console) -> None:
    build, y, task, how = TOLD[name]
    of = build()
    fit(of, y, monitor(listener, task=task), epochs=1)
    scores = np.asarray(of(X))
    for number, part in enumerate(TRAIN_BATCHES, 1):
        found = listener.matrices()[number]
        if "labels" in str(task):
            said = scores[part] > float(how.removeprefix("above "))
            truth = y[part].astype(int)
            for label, expected in enumerate(multilabel_confusion_matrix(np.c_[truth, truth], np.c_[said, said])):
                block = slice(2 * label, 2 * label + 2)
                if label < y.shape[1]:
                    np.testing.assert_array_equal(found[block, block], expected)
            continue
        if how == "highest":
            expected = confusion_matrix(y[part].argmax(1), scores[part].argmax(1), labels=range(y.shape[1]))
        else:
            expected = confusion_matrix(y[part], scores[part, 0] > 0.5, labels=[0, 1])
        np.testing.assert_array_equal(found, expected)
    assert listener.info().capture == "everything"
    assert how in capsys.readouterr().err


def test_labels_of_another_shape_than_the_scores_are_told(listener: Listener, capsys: Console) -> None:
    fit(model(), Y, monitor(listener, task="labels"), epochs=1)
    assert "labels that say yes or no each must have the shape of the 3 scores" in capsys.readouterr().err
    assert listener.series("loss")[0] == [1, 2, 3, 4]


def test_sequences_aligned_by_ctc_have_no_classes_of_their_own(listener: Listener, capsys: Console) -> None:
    import keras

    inputs = keras.Input((8, FEATURES))
    speech = compiled(keras.Model(inputs, keras.layers.Dense(CLASSES)(inputs)), loss="ctc", metrics=None)
    x = RANDOM.normal(size=(SAMPLES, 8, FEATURES)).astype("float32")
    y = RANDOM.integers(1, CLASSES, (SAMPLES, 3))
    speech.fit(x, y, batch_size=BATCH, verbose=0, callbacks=[monitor(listener)])
    assert "no confusion matrix of this model: ctc aligns sequences" in capsys.readouterr().err
    assert listener.series("loss")[0] == [1, 2, 3, 4]


@pytest.mark.parametrize("task", ["regression", {"output": "class"}, 3])
def test_another_task_is_refused(task: Any, listener: Listener) -> None:
    with pytest.raises(ValueError, match="task must be one of 'classes', 'labels', not"):
        monitor(listener, task=task)
