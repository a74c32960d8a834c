"""Monitor on JAX and torch: every batch's counts equal scikit-learn's, its numbers Keras's own of that batch.

Run by ``make backends``, once with ``KERAS_BACKEND=jax`` and once with ``KERAS_BACKEND=torch``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from listener import Listener, lines
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix
from small_models import (
    BATCH,
    CLASSES,
    FEATURES,
    ONE_HOT,
    RANDOM,
    SAMPLES,
    TRAIN_BATCHES,
    VAL,
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
    said,
    scores,
    sequential,
    subclassed,
)

BACKEND = os.environ["KERAS_BACKEND"]
if BACKEND not in ("jax", "torch"):
    pytest.skip("it is for KERAS_BACKEND=jax or torch: make backends", allow_module_level=True)
pytest.importorskip(BACKEND)
pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, of torch's tensors
]
only_jax = pytest.mark.skipif(BACKEND != "jax", reason="Keras has it on JAX only, not on torch")

not_torch = pytest.mark.skipif(BACKEND == "torch", reason="Keras itself fails there: grad_input must be contiguous")


@dataclass
class Case:
    model: Callable[[], Any]
    y: Any = field(default_factory=lambda: Y)
    threshold: float | None = None  # None: the highest score

    def said(self, model: Any) -> Any:
        found = scores(model, X)
        return found.argmax(axis=-1) if self.threshold is None else (found.reshape(len(X)) > self.threshold).astype(int)

    @property
    def truth(self) -> Any:
        y = np.asarray(self.y)
        return y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(len(y))


def plain(*given: Any, **arguments: Any) -> Any:
    """Not jitted, which is quicker for so few batches; how labels are read is the same."""
    return sequential(*given, jit_compile=False, **arguments)


def smoothed() -> Any:
    return plain(activation=None, loss=loss("CategoricalCrossentropy", from_logits=True, label_smoothing=0.1))


CASES = {
    "sequential": Case(sequential),
    "functional": Case(functional),
    "subclassed": Case(subclassed),
    "no metrics": Case(lambda: plain(metrics=None)),
    "metrics by output": Case(lambda: functional(metrics={functional().output_names[0]: ["accuracy"]})),
    "labels in a column": Case(plain, Y[:, None]),
    "one-hot": Case(lambda: sequential(loss="categorical_crossentropy"), ONE_HOT),
    "one-hot, smoothed logits": Case(smoothed, ONE_HOT),
    "sigmoid": Case(lambda: sequential(1, "sigmoid", loss="binary_crossentropy"), YES, 0.5),
    "sigmoid in a column": Case(lambda: plain(1, "sigmoid", loss="binary_crossentropy"), YES[:, None], 0.5),
    "binary logits": Case(lambda: plain(1, None, loss=loss("BinaryCrossentropy", from_logits=True)), YES, 0.0),
    "eager": Case(lambda: functional(run_eagerly=True)),
}
JAX_CASES = {
    "jitted": Case(lambda: functional(jit_compile=True)),
    "3 steps at once": Case(lambda: sequential(steps_per_execution=3)),
    "3 steps at once, eager": Case(lambda: functional(steps_per_execution=3, run_eagerly=True)),
}


def monitor(listener: Listener, **arguments: Any) -> Any:
    from epochscope.keras import Monitor

    return Monitor(url=listener.url, **arguments)


def check(listener: Listener, model: Any, case: Case) -> None:
    guesses = case.said(model)
    for split, parts, passes in (("train", TRAIN_BATCHES, 2), ("val", VAL_BATCHES, 2), ("test", VAL_BATCHES, 1)):
        matrices = listener.matrices(split)
        steps, losses = listener.series("loss", split)
        assert steps == sorted(matrices) == list(range(1, passes * len(parts) + 1))
        own = [alone(model, X[part], case.y[part]) for part in parts]
        assert losses == pytest.approx([each["loss"] for each in own] * passes, abs=3e-6)
        if "accuracy" in own[0]:
            accuracies = listener.series("accuracy", split)[1]
            assert accuracies == pytest.approx([each["accuracy"] for each in own] * passes, abs=1e-6)
        labels = range(len(listener.info().outputs[0].class_names))
        for number, part in enumerate(parts * passes, 1):
            np.testing.assert_array_equal(
                matrices[number], confusion_matrix(case.truth[part], guesses[part], labels=labels)
            )
    assert listener.spans("train") == [(1, 1, 5), (2, 5, 9)]
    assert listener.info().capture == "everything"


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=name) for name, case in CASES.items()]
    + [pytest.param(case, id=name, marks=only_jax) for name, case in JAX_CASES.items()],
)
def test_every_batch_of_fit_and_evaluate_is_as_scikit_learn_and_keras_see_it(case: Case, listener: Listener) -> None:
    model = case.model()
    mine = monitor(listener)
    fit(model, case.y, mine)
    model.evaluate(X[SAMPLES:], case.y[SAMPLES:], batch_size=10, verbose=0, callbacks=[mine])
    check(listener, model, case)


@pytest.mark.parametrize("steps", [1, pytest.param(3, marks=only_jax)], ids=lambda steps: f"{steps} steps at once")
def test_the_learning_rate_is_the_one_each_batch_was_trained_with(steps: int, listener: Listener) -> None:
    import keras

    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    fit(sequential(optimizer=keras.optimizers.SGD(schedule), steps_per_execution=steps), Y, monitor(listener))
    found, values = listener.series("learning_rate")
    assert found == list(range(1, 9))
    np.testing.assert_allclose(values, 0.1 * 0.5 ** np.arange(8), rtol=1e-5)


def test_a_learning_rate_that_a_callback_changes_is_the_one_of_its_time(listener: Listener) -> None:
    import keras

    model = sequential(optimizer=keras.optimizers.SGD(0.5))
    fit(model, Y, keras.callbacks.LearningRateScheduler(lambda epoch: 0.5 / (epoch + 1)), monitor(listener))
    np.testing.assert_allclose(listener.series("learning_rate")[1], [0.5] * 4 + [0.25] * 4)


def test_each_compiled_metric_has_its_own_value_of_the_batch(listener: Listener) -> None:
    import keras

    metrics = ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")]
    weighted = [keras.metrics.SparseCategoricalCrossentropy(name="ce")]
    model = sequential(metrics=metrics, weighted_metrics=weighted)
    weight = RANDOM.uniform(0.5, 2, SAMPLES).astype("float32")
    fit(model, Y, monitor(listener), sample_weight=weight)
    own = [alone(model, X[part], Y[part], weight[part]) for part in TRAIN_BATCHES]
    for name in ("loss", "accuracy", "top2", "ce"):
        assert listener.series(name)[1] == pytest.approx([each[name] for each in own] * 2, abs=3e-6)


def weightless(listener: Listener) -> None:
    model = sequential()
    weight = (np.arange(SAMPLES) % 3 > 0).astype("float32")
    fit(model, Y, monitor(listener), sample_weight=weight)
    guesses = said(model, X)
    for number, part in enumerate(TRAIN_BATCHES, 1):
        kept = np.arange(SAMPLES)[part][weight[part] > 0]
        np.testing.assert_array_equal(
            listener.matrices()[number], confusion_matrix(Y[kept], guesses[kept], labels=range(CLASSES))
        )


def several_outputs(listener: Listener) -> None:
    import keras

    inputs = keras.Input((FEATURES,))
    kind = keras.layers.Dense(CLASSES, activation="softmax", name="kind")(inputs)
    sick = keras.layers.Dense(1, activation="sigmoid", name="sick")(inputs)
    losses = {"kind": "sparse_categorical_crossentropy", "sick": "binary_crossentropy"}
    model = compiled(keras.Model(inputs, {"kind": kind, "sick": sick}), loss=losses, metrics={"kind": ["accuracy"]})
    labels = {"kind": Y[:SAMPLES], "sick": YES[:SAMPLES]}
    model.fit(X[:SAMPLES], labels, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[monitor(listener)])
    guesses = {name: np.asarray(found) for name, found in model.predict(X[:SAMPLES], verbose=0).items()}
    for number, part in enumerate(TRAIN_BATCHES, 1):
        np.testing.assert_array_equal(
            listener.matrices(output="kind")[number],
            confusion_matrix(Y[part], guesses["kind"][part].argmax(axis=1), labels=range(CLASSES)),
        )
        np.testing.assert_array_equal(
            listener.matrices(output="sick")[number],
            confusion_matrix(YES[part], guesses["sick"][part, 0] > 0.5, labels=[0, 1]),
        )
    # On JAX Keras keeps the loss of each output while it differentiates, where nothing can be seen.
    how = "{} (running mean)" if BACKEND == "jax" else "{}"
    assert {"loss", "kind_accuracy", how.format("kind_loss"), how.format("sick_loss")} <= listener.keys()


def several_labels(listener: Listener) -> None:
    has = RANDOM.integers(0, 2, (SAMPLES + VAL, 4)).astype("float32")
    model = plain(4, "sigmoid", loss="binary_crossentropy", metrics=None)
    fit(model, has, monitor(listener))
    guesses = scores(model, X) > 0.5
    for number, part in enumerate(TRAIN_BATCHES, 1):
        for label, expected in enumerate(multilabel_confusion_matrix(has[part], guesses[part])):
            own = slice(2 * label, 2 * label + 2)
            np.testing.assert_array_equal(listener.matrices()[number][own, own], expected)


def pixels(listener: Listener) -> None:
    import keras

    images = RANDOM.normal(size=(10, 4, 4, 2)).astype("float32")
    labels = RANDOM.choice([0, 1, 2, 255], (10, 4, 4, 1))
    inputs = keras.Input((4, 4, 2))
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax")(inputs))
    compiled(model, loss=loss("SparseCategoricalCrossentropy", ignore_class=255), metrics=None)
    model.fit(images, labels, batch_size=4, shuffle=False, verbose=0, callbacks=[monitor(listener)])
    guesses = said(model, images)
    for number, part in enumerate(batches(0, 10, 4), 1):
        truth = labels[part][..., 0]
        expected = confusion_matrix(truth[truth < 255], guesses[part][truth < 255], labels=range(CLASSES))
        np.testing.assert_array_equal(listener.matrices()[number], expected)


@pytest.mark.parametrize("check", [weightless, several_outputs, several_labels, pytest.param(pixels, marks=not_torch)])
def test_outputs_labels_and_pixels_are_counted_there_too(check: Callable[[Listener], None], listener: Listener) -> None:
    check(listener)


def test_masked_positions_are_not_counted_and_where_keras_loses_the_mask_nothing_is(
    listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    words = RANDOM.integers(0, 4, (20, 6))  # 0 is padding
    tags = RANDOM.integers(0, CLASSES, (20, 6))
    inputs = keras.Input((6,), dtype="int32")
    embedded = keras.layers.Embedding(4, 3, mask_zero=True)(inputs)
    model = compiled(keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax")(embedded)))
    model.fit(words, tags, batch_size=8, shuffle=False, verbose=0, callbacks=[monitor(listener)])
    assert listener.series("loss")[0] == [1, 2, 3]
    if BACKEND == "jax":
        assert listener.info().outputs == []
        (line,) = lines(capsys.readouterr().err)
        assert line.startswith("no confusion matrix of this model: on JAX Keras loses the mask")
        return
    guesses = said(model, words)
    for number, part in enumerate(batches(0, 20, 8), 1):
        kept = words[part] > 0
        expected = confusion_matrix(tags[part][kept], guesses[part][kept], labels=range(CLASSES))
        np.testing.assert_array_equal(listener.matrices()[number], expected)


def test_more_steps_than_are_kept_on_the_device_are_read_in_between(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from epochscope import keras_reading, keras_waiting

    monkeypatch.setattr(keras_waiting, "_MOST_ROWS", 3)
    monkeypatch.setattr(keras_reading, "READ_S", 1e9)
    most = []
    take = keras_waiting.Waiting.take

    def counted(self: Any) -> list[Any]:
        most.append(len(rows := take(self)))
        return rows

    monkeypatch.setattr(keras_waiting.Waiting, "take", counted)
    fit(functional(), Y, monitor(listener), batch_size=2)
    assert sum(int(matrix.sum()) for matrix in listener.matrices().values()) == 2 * SAMPLES
    assert listener.series("loss")[0] == list(range(1, 51))
    assert max(most) == 3


def test_a_label_that_is_no_number_is_none_of_the_classes(
    listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras
    from epochscope.keras import Monitor

    def loss(y: Any, y_pred: Any) -> Any:
        index = keras.ops.where(y == y, y, keras.ops.zeros_like(y))
        return keras.losses.sparse_categorical_crossentropy(keras.ops.cast(index, "int32"), y_pred)

    y = Y.astype("float32")
    y[[2, 20, 21]] = np.nan
    model = sequential(loss=loss, metrics=None)
    fit(model, y, Monitor(url=listener.url), epochs=1)
    predicted, matrices = said(model, X), listener.matrices()
    for number, part in enumerate(TRAIN_BATCHES, 1):
        good = np.isfinite(y[part])
        expected = confusion_matrix(Y[part][good], predicted[part][good], labels=range(CLASSES))
        np.testing.assert_array_equal(matrices[number], expected)
    assert "some labels are none of the classes 0 to 2" in capsys.readouterr().err
