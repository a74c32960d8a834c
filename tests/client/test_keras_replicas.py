"""Monitor under TensorFlow's MirroredStrategy: several replicas, one row a batch, held against scikit-learn and Keras.

TensorFlow must be told of a second device before it starts, so these tests run in a process of their own, which the
last of them starts.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from epochscope import wire
from listener import Listener, lines
from sklearn.metrics import confusion_matrix, f1_score, multilabel_confusion_matrix
from small_models import CLASSES, FEATURES, RANDOM, SAMPLES, X, Y, alone, batches, compiled, fit, loss, said, scores

pytestmark = pytest.mark.keras
TWO_DEVICES = "TWO_DEVICES" in os.environ
inside = pytest.mark.skipif(not TWO_DEVICES, reason="it runs in the process of test_all_of_these_pass_on_two_devices")

NAMES = ("a", "b", "c")
Console = pytest.CaptureFixture[str]


@pytest.fixture(scope="module", autouse=True)
def two_devices() -> None:
    if TWO_DEVICES:
        import tensorflow as tf

        (processor,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)


@functools.cache  # a second one in a process would number its reductions as the first did, and TensorFlow mix them up
def mirrored() -> Any:
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def copying() -> Any:
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.HierarchicalCopyAllReduce())


def one_of_them() -> Any:
    import tensorflow as tf

    return tf.distribute.OneDeviceStrategy("CPU:1")


def alone_on_one() -> Any:
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0"])


def layers(units: int = CLASSES, activation: str | None = "softmax") -> Any:
    import keras

    keras.utils.set_random_seed(5)
    return keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(units, activation=activation)])


def under(strategy: Any, build: Callable[[], Any] = layers, **arguments: Any) -> Any:
    with strategy.scope():
        return compiled(build(), **arguments)


def metrics() -> list[Any]:
    import keras

    return [
        "accuracy",
        keras.metrics.MeanIoU(CLASSES, sparse_y_pred=False, name="iou"),
        keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2"),
    ]


def monitor(listener: Listener, **arguments: Any) -> Any:
    from epochscope.keras import Monitor

    return Monitor(url=listener.url, **{"class_names": NAMES, **arguments})


CASES: dict[str, tuple[Callable[[], Any], dict[str, Any], int]] = {
    "two devices, one of which goes without in the last batch": (mirrored, {}, 16),
    "two devices, unequal parts in the last batch": (mirrored, {}, 18),
    "eager": (mirrored, {"run_eagerly": True}, 16),
    "another way of reducing": (copying, {}, 16),
    "a mirror of one": (alone_on_one, {}, 16),
    "one device": (one_of_them, {}, 16),
}


@inside
@pytest.mark.parametrize("name", CASES)
def test_every_batch_is_counted_whole_and_has_its_own_loss_and_metrics(name: str, listener: Listener) -> None:
    strategy, how, size = CASES[name]
    with strategy().scope():
        model = compiled(layers(), **how, metrics=metrics())
    mine = monitor(listener)
    history = fit(model, Y, mine, batch_size=size)
    model.evaluate(X[:SAMPLES], Y[:SAMPLES], batch_size=size, verbose=0, callbacks=[mine])
    plain = compiled(layers(), metrics=metrics())
    plain.set_weights(model.get_weights())
    guesses = said(plain, X)
    train, val = batches(0, SAMPLES, size), batches(SAMPLES, len(X), 10)
    for split, parts, passes in (("train", train, 2), ("val", val, 2), ("test", train, 1)):
        own = [alone(plain, X[part], Y[part]) for part in parts]
        matrices = listener.matrices(split)
        assert sorted(matrices) == list(range(1, passes * len(parts) + 1))
        for number, part in enumerate(parts * passes, 1):
            expected = confusion_matrix(Y[part], guesses[part], labels=range(CLASSES))
            np.testing.assert_array_equal(matrices[number], expected)
        for metric in ("loss", "accuracy", "iou", "top2"):
            found = listener.series(metric, split)[1]
            assert found == pytest.approx([each[metric] for each in own] * passes, abs=3e-6), (split, metric)
    assert listener.series("learning_rate") == (list(range(1, 2 * len(train) + 1)), [0.0] * 2 * len(train))
    assert listener.info().capture == "everything"
    assert {"f1/a", "val_f1/c", "val_macro_f1"} <= set(history)


@inside
def test_weights_and_history_are_the_same_to_the_last_bit(listener: Listener) -> None:
    import keras

    found, weights, left = [], [], []
    for callbacks in ([], [monitor(listener)]):
        model = under(mirrored(), optimizer="adam")
        keras.utils.set_random_seed(7)
        found.append(fit(model, Y, *callbacks, shuffle=True))
        weights.append(model.get_weights())
        left.append(set(vars(model)))
    plain, watched = found
    assert {name: watched[name] for name in plain} == plain
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert left[0] == left[1]
    assert listener.info().params["learning_rate"] == 0.001


@inside
@pytest.mark.parametrize("size", [16, 18])  # in the last batch one device goes without, or has less
def test_a_compiled_confusion_matrix_counts_on_every_device(size: int) -> None:
    from epochscope.keras import ConfusionMatrix

    with mirrored().scope():
        model = compiled(layers(), metrics=[ConfusionMatrix(NAMES)])
    history = fit(model, Y, batch_size=size)
    plain = compiled(layers())
    plain.set_weights(model.get_weights())
    guesses = said(plain, X)
    for before, part in (("", slice(0, SAMPLES)), ("val_", slice(SAMPLES, None))):
        for label, value in zip(NAMES, f1_score(Y[part], guesses[part], average=None), strict=True):
            assert history[f"{before}f1/{label}"] == pytest.approx([value] * 2, rel=1e-6)


@inside
def test_pixels_that_each_device_sums_by_itself_add_up(listener: Listener) -> None:
    import keras

    images = RANDOM.normal(size=(10, 24, 24, 2)).astype("float32")
    labels = RANDOM.integers(0, CLASSES, (10, 24, 24))
    weight = RANDOM.choice([0.0, 1.0], labels.shape).astype("float32")

    def build() -> Any:
        keras.utils.set_random_seed(5)
        inputs = keras.Input((24, 24, 2))
        return keras.Model(inputs, keras.layers.Conv2D(CLASSES, 1, activation="softmax")(inputs))

    model = under(mirrored(), build, metrics=None)
    sizes = {"batch_size": 4, "shuffle": False, "verbose": 0}
    model.fit(images, labels, sample_weight=weight, **sizes, callbacks=[monitor(listener)])
    guesses = np.asarray(model.predict(images, verbose=0)).argmax(axis=-1)
    for number, part in enumerate(batches(0, 10, 4), 1):
        kept = weight[part] > 0
        expected = confusion_matrix(labels[part][kept], guesses[part][kept], labels=range(CLASSES))
        np.testing.assert_array_equal(listener.matrices()[number], expected)


@inside
def test_each_of_several_labels_is_counted_there_too(listener: Listener) -> None:
    has = RANDOM.integers(0, 2, (len(X), 4)).astype("float32")
    model = under(mirrored(), lambda: layers(4, "sigmoid"), loss=loss("BinaryCrossentropy"), metrics=None)
    fit(model, has, monitor(listener, class_names=["p", "q", "r", "s"]))
    plain = layers(4, "sigmoid")
    plain.set_weights(model.get_weights())
    guesses = scores(plain, X) > 0.5
    for number, part in enumerate(batches(0, SAMPLES, 16), 1):
        for label, expected in enumerate(multilabel_confusion_matrix(has[part], guesses[part])):
            own = slice(2 * label, 2 * label + 2)
            np.testing.assert_array_equal(listener.matrices()[number][own, own], expected)


@inside
def test_a_metric_whose_replicas_cannot_be_brought_together_is_named_a_running_mean(listener: Listener) -> None:
    import keras

    class Highest(keras.metrics.Metric):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="highest")
            self.most = self.add_variable((), "zeros", aggregation="mean", name="most")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.most.assign(keras.ops.maximum(self.most, keras.ops.max(y_pred)))

        def result(self) -> Any:
            return self.most.value

    with mirrored().scope():
        model = compiled(layers(), metrics=["accuracy", Highest()])
    fit(model, Y, monitor(listener))
    assert {"loss", "accuracy", "highest (running mean)"} <= listener.keys()
    assert not {"highest"} & listener.keys()


@inside
def test_compiled_by_xla_on_two_devices_running_means_are_recorded_and_named_so(
    listener: Listener, capsys: Console
) -> None:
    from keras.callbacks import CallbackList

    model = under(mirrored(), jit_compile=True)  # on two processors Keras itself fails in the first step
    callbacks = CallbackList([monitor(listener)], model=model)
    callbacks.on_train_begin()
    callbacks.on_train_end()
    (line,) = lines(capsys.readouterr().err)
    assert line.endswith("the model is trained on several devices and compiled by XLA (jit_compile=True)")
    assert listener.ends() == [wire.End("finished")]


@pytest.mark.skipif(TWO_DEVICES, reason="this is that process")
def test_all_of_these_pass_on_two_devices() -> None:
    command = [sys.executable, "-m", "pytest", __file__, "-p", "no:cacheprovider"]
    done = subprocess.run(command, env={**os.environ, "TWO_DEVICES": "1"}, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 13 passed, 1 skipped" in done.stdout
