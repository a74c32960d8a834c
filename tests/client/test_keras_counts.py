"""Monitor: every batch's confusion counts equal scikit-learn's, its loss and metrics Keras's own of that batch.

The models learn nothing (learning rate 0), so that what they predicted in a batch can be asked again afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from listener import Listener
from sklearn.metrics import confusion_matrix
from small_models import (
    BATCH,
    CLASSES,
    FEATURES,
    ONE_HOT,
    RANDOM,
    SAMPLES,
    TRAIN_BATCHES,
    VAL_BATCHES,
    YES,
    X,
    Y,
    alone,
    batches,
    compiled,
    fit,
    functional,
    loss,
    sequential,
    subclassed,
)

pytestmark = pytest.mark.keras


def eager(units: int = CLASSES, activation: str | None = "softmax", **arguments: Any) -> Any:
    """Not compiled, which is quicker for so few batches; how labels are read is the same."""
    return sequential(units, activation, run_eagerly=True, **arguments)


def flat_sigmoid() -> Any:
    import keras

    inputs = keras.Input((FEATURES,))
    scores = keras.layers.Reshape(())(keras.layers.Dense(1, activation="sigmoid")(inputs))
    return compiled(keras.Model(inputs, scores), loss="binary_crossentropy")


@dataclass
class Case:
    model: Callable[[], Any]
    y: Any = field(default_factory=lambda: Y)
    threshold: float | None = None  # None: the highest score

    def said(self, model: Any, x: Any) -> Any:
        scores = np.asarray(model(x))
        if self.threshold is None:
            return scores.argmax(axis=-1)
        return (scores.reshape(len(x)) > self.threshold).astype(int)

    @property
    def truth(self) -> Any:
        y = np.asarray(self.y)
        if y.ndim == 2 and y.shape[1] > 1:
            return y.argmax(axis=1)
        flat = y.reshape(len(y))
        return flat if self.threshold is None else (flat > 0).astype(int)  # a hinge takes -1 for no as well


CASES = {
    "sequential": Case(sequential),
    "functional": Case(functional),
    "subclassed": Case(subclassed),
    "no metrics": Case(lambda: sequential(metrics=None)),
    "metrics by output": Case(lambda: functional(metrics={functional().output_names[0]: ["accuracy"]})),
    "labels in a column": Case(eager, Y[:, None]),
    "labels as floats": Case(eager, Y.astype("float32")),
    "one-hot": Case(lambda: sequential(loss="categorical_crossentropy"), ONE_HOT),
    "one-hot, smoothed logits": Case(
        lambda: eager(activation=None, loss=loss("CategoricalCrossentropy", from_logits=True, label_smoothing=0.1)),
        ONE_HOT,
    ),
    "sigmoid": Case(lambda: sequential(1, "sigmoid", loss="binary_crossentropy"), YES, 0.5),
    "sigmoid in a column": Case(lambda: eager(1, "sigmoid", loss="binary_crossentropy"), YES[:, None], 0.5),
    "sigmoid, flat": Case(flat_sigmoid, YES, 0.5),
    "binary logits": Case(lambda: eager(1, None, loss=loss("BinaryCrossentropy", from_logits=True)), YES, 0.0),
    "hinge, labels of -1 and 1": Case(lambda: eager(1, "tanh", loss="hinge"), 2.0 * YES - 1, 0.0),
    "squared hinge, labels of 0 and 1": Case(lambda: eager(1, None, loss="squared_hinge"), YES[:, None], 0.0),
    "categorical hinge": Case(lambda: eager(activation=None, loss="categorical_hinge", metrics=None), ONE_HOT),
    "KL divergence": Case(lambda: eager(loss="kl_divergence"), ONE_HOT),
    "focal": Case(lambda: eager(loss="categorical_focal_crossentropy"), ONE_HOT),
    "focal, logits": Case(
        lambda: eager(activation=None, loss=loss("CategoricalFocalCrossentropy", from_logits=True), metrics=None),
        ONE_HOT,
    ),
    "binary focal": Case(lambda: eager(1, "sigmoid", loss="binary_focal_crossentropy"), YES, 0.5),
    "binary focal, logits": Case(
        lambda: eager(1, None, loss=loss("BinaryFocalCrossentropy", from_logits=True)), YES, 0.0
    ),
    "generalized cross-entropy": Case(lambda: eager(loss=loss("CategoricalGeneralizedCrossEntropy"))),
    "dice": Case(lambda: eager(loss="dice"), ONE_HOT),
    "tversky": Case(lambda: eager(loss="tversky"), ONE_HOT),
    "binary cross-entropy of two, softmax": Case(
        lambda: eager(2, loss="binary_crossentropy"), np.eye(2, dtype="float32")[YES]
    ),
    "eager": Case(eager),
    "xla": Case(lambda: sequential(jit_compile=True)),
    "several steps at once": Case(lambda: sequential(steps_per_execution=3)),
    "several steps at once, xla": Case(lambda: functional(steps_per_execution=2, jit_compile=True)),
    "own loss": Case(lambda: eager(loss=lambda y, p: (p[:, 0] - 1.0) ** 2)),
}


def monitor(listener: Listener, **arguments: Any) -> Any:
    from epochscope.keras import Monitor

    return Monitor(url=listener.url, **arguments)


@pytest.mark.parametrize("name", CASES)
def test_every_batch_is_as_scikit_learn_and_keras_see_it(name: str, listener: Listener) -> None:
    case = CASES[name]
    model = case.model()
    fit(model, case.y, monitor(listener))
    said = case.said(model, X)
    for split, parts in (("train", TRAIN_BATCHES), ("val", VAL_BATCHES)):
        matrices = listener.matrices(split)
        steps, losses = listener.series("loss", split)
        assert steps == sorted(matrices) == list(range(1, 2 * len(parts) + 1))
        own = [alone(model, X[part], case.y[part]) for part in parts]
        assert losses == pytest.approx([each["loss"] for each in own] * 2, abs=3e-6)
        if "accuracy" in own[0]:
            accuracies = listener.series("accuracy", split)[1]
            assert accuracies == pytest.approx([each["accuracy"] for each in own] * 2, abs=1e-6)
        labels = range(len(listener.info().outputs[0].class_names))
        for number, part in enumerate(parts * 2, 1):
            expected = confusion_matrix(case.truth[part], said[part], labels=labels)
            np.testing.assert_array_equal(matrices[number], expected)
        assert listener.spans(split) == [(1, 1, len(parts) + 1), (2, len(parts) + 1, 2 * len(parts) + 1)]
    assert listener.info().capture == "everything"


def test_every_compiled_metric_has_its_own_value_of_the_batch(listener: Listener) -> None:
    import keras

    metrics = [
        "accuracy",
        keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2"),
        keras.metrics.MeanIoU(CLASSES, sparse_y_pred=False, name="iou"),
    ]
    weighted = [keras.metrics.SparseCategoricalCrossentropy(name="ce")]
    model = sequential(metrics=metrics, weighted_metrics=weighted)
    weight = RANDOM.uniform(0.5, 2, SAMPLES).astype("float32")
    fit(model, Y, monitor(listener), sample_weight=weight)
    own = [alone(model, X[part], Y[part], weight[part]) for part in TRAIN_BATCHES]
    for name in ("loss", "accuracy", "top2", "iou", "ce"):
        assert listener.series(name)[1] == pytest.approx([each[name] for each in own] * 2, abs=3e-6)


def test_a_metric_that_has_no_value_of_a_batch_alone_is_recorded_as_the_running_mean_it_is(listener: Listener) -> None:
    import keras
    import tensorflow as tf

    class Calls(keras.metrics.Metric):  # type: ignore[misc]
        """Keeps a variable of TensorFlow's own, which is written wherever it is updated."""

        def __init__(self) -> None:
            super().__init__(name="calls")
            self.calls = tf.Variable(0.0, trainable=False)

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.calls.assign_add(1.0)

        def reset_state(self) -> None:
            self.calls.assign(0.0)

        def result(self) -> Any:
            return self.calls.read_value()

    history = fit(sequential(metrics=["accuracy", Calls()]), Y, monitor(listener))
    assert history["calls"] == [4.0, 4.0]  # we have not called it once more
    assert listener.series("calls (running mean)") == (list(range(1, 9)), [1.0, 2.0, 3.0, 4.0] * 2)
    assert listener.series("calls (running mean)", "val") == (list(range(1, 7)), [1.0, 2.0, 3.0] * 2)
    assert "calls" not in listener.keys() | listener.keys("val")


def test_a_sample_of_weight_0_is_not_counted(listener: Listener) -> None:
    model = sequential()
    weight = (np.arange(SAMPLES) % 3 > 0).astype("float32")
    fit(model, Y, monitor(listener), sample_weight=weight)
    said = np.asarray(model(X)).argmax(axis=1)
    for number, part in enumerate(TRAIN_BATCHES, 1):
        kept = np.arange(SAMPLES)[part][weight[part] > 0]
        np.testing.assert_array_equal(
            listener.matrices()[number], confusion_matrix(Y[kept], said[kept], labels=range(CLASSES))
        )


def test_a_masked_position_is_not_counted(listener: Listener) -> None:
    import keras

    words = RANDOM.integers(0, 4, (20, 6))  # 0 is padding
    tags = RANDOM.integers(0, CLASSES, (20, 6))
    inputs = keras.Input((6,), dtype="int32")
    embedded = keras.layers.Embedding(4, 3, mask_zero=True)(inputs)
    model = compiled(keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax")(embedded)))
    model.fit(words, tags, batch_size=8, shuffle=False, verbose=0, callbacks=[monitor(listener)])
    said = np.asarray(model(words)).argmax(axis=-1)
    for number, part in enumerate(batches(0, 20, 8), 1):
        kept = words[part] > 0
        np.testing.assert_array_equal(
            listener.matrices()[number],
            confusion_matrix(tags[part][kept], said[part][kept], labels=range(CLASSES)),
        )


def test_ignored_pixels_are_not_counted(listener: Listener) -> None:
    import keras

    images = RANDOM.normal(size=(10, 4, 4, 2)).astype("float32")
    labels = RANDOM.choice([0, 1, 2, 255], (10, 4, 4, 1))
    inputs = keras.Input((4, 4, 2))
    model = keras.Model(inputs, keras.layers.Conv2D(CLASSES, 1, activation="softmax")(inputs))
    compiled(model, loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=255), metrics=None)
    model.fit(images, labels, batch_size=4, shuffle=False, verbose=0, callbacks=[monitor(listener)])
    said = np.asarray(model(images)).argmax(axis=-1)
    for number, part in enumerate(batches(0, 10, 4), 1):
        truth = labels[part][..., 0]
        np.testing.assert_array_equal(
            listener.matrices()[number],
            confusion_matrix(truth[truth < 255], said[part][truth < 255], labels=range(CLASSES)),
        )


def test_several_outputs_each_have_their_matrix(listener: Listener) -> None:
    import keras

    inputs = keras.Input((FEATURES,))
    kind = keras.layers.Dense(CLASSES, activation="softmax", name="kind")(inputs)
    sick = keras.layers.Dense(1, activation="sigmoid", name="sick")(inputs)
    size = keras.layers.Dense(1, name="size")(inputs)
    model = keras.Model(inputs, {"kind": kind, "sick": sick, "size": size})
    losses = {"kind": "sparse_categorical_crossentropy", "sick": "binary_crossentropy", "size": "mse"}
    compiled(model, loss=losses, metrics={"kind": ["accuracy"], "sick": ["accuracy"]})
    y = {"kind": Y[:SAMPLES], "sick": YES[:SAMPLES], "size": X[:SAMPLES, :1]}
    callback = monitor(listener, class_names={"kind": ["cat", "dog", "eel"], "sick": ["no", "yes"]})
    history = model.fit(X[:SAMPLES], y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[callback]).history
    said = {name: np.asarray(scores) for name, scores in model(X[:SAMPLES]).items()}
    for number, part in enumerate(TRAIN_BATCHES, 1):
        np.testing.assert_array_equal(
            listener.matrices(output="kind")[number],
            confusion_matrix(Y[part], said["kind"][part].argmax(axis=1), labels=range(CLASSES)),
        )
        np.testing.assert_array_equal(
            listener.matrices(output="sick")[number],
            confusion_matrix(YES[part], said["sick"][part, 0] > 0.5, labels=[0, 1]),
        )
    assert {"kind/f1/cat", "sick/recall/yes", "kind/macro_f1"} <= set(history)
    assert {"kind_loss", "sick_loss", "size_loss", "kind_accuracy", "sick_accuracy"} <= listener.keys()
    assert "output size: mse is a loss of regression" in listener.info().capture


def test_the_learning_rate_is_the_one_each_batch_was_trained_with(listener: Listener) -> None:
    import keras

    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    model = sequential(optimizer=keras.optimizers.SGD(schedule), steps_per_execution=3)
    fit(model, Y, monitor(listener))
    steps, values = listener.series("learning_rate")
    assert steps == list(range(1, 9))
    np.testing.assert_allclose(values, 0.1 * 0.5 ** np.arange(8), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras says so of every such pipeline
def test_a_pipeline_of_unknown_length_is_counted_whole(listener: Listener) -> None:
    import tensorflow as tf

    model = sequential(steps_per_execution=4)
    data = tf.data.Dataset.from_tensor_slices((X[:SAMPLES], Y[:SAMPLES])).batch(BATCH).filter(lambda x, y: True)
    model.fit(data, epochs=2, verbose=0, shuffle=False, callbacks=[monitor(listener)])
    assert sum(int(matrix.sum()) for matrix in listener.matrices().values()) == 2 * SAMPLES
    assert listener.spans("train") == [(1, 1, 5), (2, 5, 9)]


def test_a_log_that_is_too_small_loses_batches_says_how_many_and_grows(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from epochscope import keras_capture

    monkeypatch.setattr(keras_capture, "_LEAST_ENTRIES", 40)
    monkeypatch.setattr(keras_capture, "_ROWS", 1)
    monkeypatch.setattr("epochscope.keras_frames.batch_size", lambda model: 1)
    model = sequential(steps_per_execution=4)
    fit(model, Y, monitor(listener))
    assert "4 batches were larger than expected and not recorded" in capsys.readouterr().err
    said = np.asarray(model(X)).argmax(axis=1)
    matrices = listener.matrices()
    assert sorted(matrices) == [5, 6, 7, 8]
    for number, part in enumerate(TRAIN_BATCHES, 5):
        np.testing.assert_array_equal(matrices[number], confusion_matrix(Y[part], said[part], labels=range(CLASSES)))


def test_labels_that_are_no_class_are_left_out_and_told(listener: Listener, capsys: pytest.CaptureFixture[str]) -> None:
    model = sequential(metrics=None, loss=lambda y, p: p[:, 0], run_eagerly=False)
    y = Y.copy()
    y[3], y[7] = 9, -4
    fit(model, y, monitor(listener, num_classes=CLASSES), epochs=1)
    assert sum(int(matrix.sum()) for matrix in listener.matrices().values()) == SAMPLES - 2
    assert "some labels are none of the classes 0 to 2" in capsys.readouterr().err
