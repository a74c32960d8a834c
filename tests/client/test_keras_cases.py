"""Monitor on what people train with: each way of feeding, compiling and stepping, held against scikit-learn.

The models learn nothing (learning rate 0), so that what they predicted in a batch can be asked again afterwards.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from listener import Listener
from sklearn.metrics import (
    confusion_matrix,
    f1_score,
    multilabel_confusion_matrix,
    precision_score,
    recall_score,
)

pytestmark = pytest.mark.keras

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SAMPLES, VAL, FEATURES, CLASSES, BATCH, VAL_BATCH = 50, 23, 5, 3, 16, 10
RANDOM = np.random.default_rng(9)
X = RANDOM.normal(size=(SAMPLES + VAL, FEATURES)).astype("float32")
Y = RANDOM.integers(0, CLASSES, SAMPLES + VAL)
CAPTURE = Path(__file__).parents[2] / "docs" / "capture.md"


def batches(start: int, stop: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, stop)) for first in range(start, stop, size)]


TRAIN = batches(0, SAMPLES, BATCH)
VALIDATION = batches(SAMPLES, SAMPLES + VAL, VAL_BATCH)
FIXED = 10  # samples in each batch, none left over
SPLIT = 35  # of the 50 samples, where 0.3 of them are for validation


def classifier(kind: type | None = None, **compiled: Any) -> Any:
    import keras

    keras.utils.set_random_seed(3)
    inputs = keras.Input((FEATURES,))
    model = (kind or keras.Model)(inputs, keras.layers.Dense(CLASSES, activation="softmax")(inputs))
    return compile_it(model, **compiled)


def compile_it(model: Any, **compiled: Any) -> Any:
    import keras

    model.compile(
        **{
            "optimizer": keras.optimizers.SGD(0.0),
            "loss": "sparse_categorical_crossentropy",
            "metrics": ["accuracy"],
            **compiled,
        }
    )
    return model


def monitor(listener: Listener, **arguments: Any) -> Any:
    from epochscope.keras import Monitor

    return Monitor(url=listener.url, **arguments)


def assert_counted(
    listener: Listener, said: Any, truth: Any, parts: Sequence[Any], split: str = "train", **which: Any
) -> None:
    """The counts of steps 1, 2, ... are scikit-learn's of ``parts``, slices or masks of samples."""
    matrices = listener.matrices(split, **which)
    assert sorted(matrices) == list(range(1, len(parts) + 1))
    for number, part in enumerate(parts, 1):
        expected = confusion_matrix(truth[part].ravel(), said[part].ravel(), labels=range(CLASSES))
        np.testing.assert_array_equal(matrices[number], expected, err_msg=f"{split} step {number}")


def said_by(model: Any, x: Any = X) -> Any:
    return np.asarray(model(x)).argmax(axis=-1)


def alone(model: Any, *batch: Any) -> Any:
    """What Keras says of one batch and nothing else."""
    model.reset_metrics()
    return model.test_on_batch(*batch, return_dict=True)


def generator() -> Iterator[Any]:
    while True:
        for part in TRAIN:
            yield X[part], Y[part]


def py_dataset() -> Any:
    import keras

    class Feed(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return len(TRAIN)

        def __getitem__(self, index: int) -> Any:
            return X[TRAIN[index]], Y[TRAIN[index]]

    return Feed()


def pipeline() -> Any:
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X[:SAMPLES], Y[:SAMPLES])).batch(BATCH)
    return data.filter(lambda x, y: True)  # now nobody knows its length


def pipeline_of_fixed_batches() -> Any:
    """Of unknown length, too; its end comes when a step has already begun, which here knows the size of its row."""
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X[:SAMPLES], Y[:SAMPLES])).batch(FIXED, drop_remainder=True)
    return data.filter(lambda x, y: True)


ARRAYS = {"x": X[:SAMPLES], "y": Y[:SAMPLES], "batch_size": BATCH}
BESIDE = {"validation_data": (X[SAMPLES:], Y[SAMPLES:]), "validation_batch_size": VAL_BATCH}

Told = tuple[dict[str, Any], list[slice], list[slice], list[int]]  # fit's arguments, batches of both splits, epochs
FEEDS: dict[str, Callable[[], Told]] = {
    "generator": lambda: ({"x": generator(), "steps_per_epoch": 4}, TRAIN, [], []),
    "PyDataset": lambda: ({"x": py_dataset()}, TRAIN, [], []),
    "tf.data of unknown length": lambda: ({"x": pipeline()}, TRAIN, [], []),
    "tf.data of unknown length in fixed batches": lambda: (
        {"x": pipeline_of_fixed_batches()},
        batches(0, SAMPLES, FIXED),
        [],
        [],
    ),
    "validation_split": lambda: (
        {**ARRAYS, "validation_split": 0.3, "validation_batch_size": VAL_BATCH},
        batches(0, SPLIT, BATCH),
        batches(SPLIT, SAMPLES, VAL_BATCH),
        [1, 2, 3, 4],
    ),
    "validation_freq": lambda: ({**ARRAYS, **BESIDE, "validation_freq": 2}, TRAIN, VALIDATION, [2, 4]),
    "validation_steps": lambda: ({**ARRAYS, **BESIDE, "validation_steps": 2}, TRAIN, VALIDATION[:2], [1, 2, 3, 4]),
    "initial_epoch": lambda: ({**ARRAYS, **BESIDE, "initial_epoch": 2}, TRAIN, VALIDATION, [3, 4]),
}


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras says so of pipelines of unknown length
@pytest.mark.parametrize("name", FEEDS)
def test_every_way_of_feeding_is_counted_batch_by_batch(name: str, listener: Listener) -> None:
    arguments, train, val, validated = FEEDS[name]()
    model = classifier()
    model.fit(**{"epochs": 4, "shuffle": False, "verbose": 0, **arguments}, callbacks=[monitor(listener)])
    first = arguments.get("initial_epoch", 0)
    said = said_by(model)
    assert_counted(listener, said, Y, train * (4 - first))
    epochs = range(4 - first)
    spans = [(first + one + 1, one * len(train) + 1, (one + 1) * len(train) + 1) for one in epochs]
    assert listener.spans("train") == spans
    if val:
        assert_counted(listener, said, Y, val * len(validated), "val")
    spans = [(epoch, one * len(val) + 1, (one + 1) * len(val) + 1) for one, epoch in enumerate(validated)]
    assert listener.spans("val") == spans


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("steps", [7, 50])
def test_many_steps_in_one_execution_are_each_counted(steps: int, jit: bool, listener: Listener) -> None:
    model = classifier(steps_per_execution=steps, jit_compile=jit)
    sizes = {"batch_size": 3, "validation_batch_size": 2}
    model.fit(**{**ARRAYS, **BESIDE, **sizes}, epochs=2, shuffle=False, verbose=0, callbacks=[monitor(listener)])
    said = said_by(model)
    assert_counted(listener, said, Y, batches(0, SAMPLES, 3) * 2)
    assert_counted(listener, said, Y, batches(SAMPLES, SAMPLES + VAL, 2) * 2, "val")
    assert listener.series("loss")[0] == list(range(1, 35))


def accumulating() -> Any:
    import keras

    return classifier(optimizer=keras.optimizers.SGD(0.0, gradient_accumulation_steps=3))


def unrolled() -> Any:
    model = classifier(steps_per_execution=4)
    model.unrolled_steps_per_execution = 2
    return model


def optimizer_of_several() -> Any:
    """It has no learning rate of its own, and raises when asked for one."""
    import keras

    every = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.0), {".*bias": keras.optimizers.SGD(0.0)})
    return classifier(optimizer=keras.optimizers.MultiOptimizer(every))


def half_precision(jit: bool = False) -> Any:
    import keras

    keras.utils.set_random_seed(3)
    inputs = keras.Input((FEATURES,))
    scores = keras.layers.Dense(CLASSES, dtype="mixed_float16")(inputs)
    outputs = keras.layers.Activation("softmax", dtype="float32")(scores)
    return compile_it(
        keras.Model(inputs, outputs),
        optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0)),
        jit_compile=jit,
    )


def with_compute_metrics() -> Any:
    import keras
    import tensorflow as tf

    class Own(keras.Model):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            x, y = data
            with tf.GradientTape() as tape:
                scores = self(x, training=True)
                loss = self.compute_loss(x, y, scores)
            self._loss_tracker.update_state(loss)
            self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
            return self.compute_metrics(x, y, scores)

    return classifier(Own)


def with_a_loop_over_metrics() -> Any:
    import keras
    import tensorflow as tf

    class Own(keras.Model):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            x, y = data
            with tf.GradientTape() as tape:
                scores = self(x, training=True)
                loss = self.compute_loss(y=y, y_pred=scores)
            self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, scores)
            return {metric.name: metric.result() for metric in self.metrics}

    return classifier(Own)


MODELS: dict[str, Callable[[], Any]] = {
    "gradient accumulation": accumulating,
    "several steps at once, unrolled": unrolled,
    "an optimizer of several": optimizer_of_several,
    "mixed_float16": half_precision,
    "mixed_float16, xla": lambda: half_precision(True),
    "train_step with compute_metrics": with_compute_metrics,
    "train_step with a loop over metrics": with_a_loop_over_metrics,
}


@pytest.mark.parametrize("name", MODELS)
def test_every_way_of_stepping_is_counted_batch_by_batch(name: str, listener: Listener) -> None:
    model = MODELS[name]()
    model.fit(**ARRAYS, **BESIDE, epochs=2, shuffle=False, verbose=0, callbacks=[monitor(listener)])
    said = said_by(model)
    assert_counted(listener, said, Y, TRAIN * 2)
    assert_counted(listener, said, Y, VALIDATION * 2, "val")
    own = [alone(model, X[part], Y[part]) for part in TRAIN]
    for metric in ("loss", "accuracy"):
        steps, values = listener.series(metric)
        assert steps == list(range(1, 9))
        assert values == pytest.approx([each[metric] for each in own] * 2, abs=3e-6)
    assert listener.info().capture == "everything"


@pytest.mark.parametrize("how", [{}, {"steps_per_execution": 2}, {"jit_compile": True}], ids=str)
def test_an_evaluation_is_counted_batch_by_batch(how: Any, listener: Listener) -> None:
    model = classifier(**how)
    result = model.evaluate(
        X[SAMPLES:], Y[SAMPLES:], batch_size=VAL_BATCH, verbose=0, callbacks=[monitor(listener)], return_dict=True
    )
    assert_counted(listener, said_by(model), Y, VALIDATION, "test")
    own = [alone(model, X[part], Y[part])["loss"] for part in VALIDATION]
    assert listener.series("loss", "test")[1] == pytest.approx(own, abs=3e-6)
    assert listener.series("loss", "test", "epoch")[1] == [pytest.approx(result["loss"])]


@pytest.mark.parametrize(
    "weights",
    [{"class_weight": {0: 0.1, 1: 5.0, 2: 2.0}}, {"sample_weight": RANDOM.uniform(0.5, 3, SAMPLES)}],
    ids=["class_weight", "sample_weight"],
)
def test_counts_are_of_samples_however_these_are_weighted(weights: Any, listener: Listener) -> None:
    model = classifier()
    model.fit(**ARRAYS, **weights, shuffle=False, verbose=0, callbacks=[monitor(listener)])
    assert_counted(listener, said_by(model), Y, TRAIN)


def test_a_sample_whose_class_weighs_nothing_is_not_counted(listener: Listener) -> None:
    model = classifier()
    model.fit(**ARRAYS, class_weight={0: 0.0}, shuffle=False, verbose=0, callbacks=[monitor(listener)])
    assert_counted(listener, said_by(model), Y, [np.arange(SAMPLES)[part][Y[part] > 0] for part in TRAIN])


LABELS = ["red", "round", "ripe", "rotten"]
HAS = (RANDOM.uniform(size=(SAMPLES + VAL, len(LABELS))) > 0.6).astype("float32")


def sigmoids(**compiled: Any) -> Any:
    import keras

    keras.utils.set_random_seed(3)
    inputs = keras.Input((FEATURES,))
    model = keras.Model(inputs, keras.layers.Dense(len(LABELS), activation="sigmoid")(inputs))
    return compile_it(model, **{"loss": "binary_crossentropy", "metrics": ["binary_accuracy"], **compiled})


def several_logits() -> Any:
    import keras

    keras.utils.set_random_seed(3)
    inputs = keras.Input((FEATURES,))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    return compile_it(keras.Model(inputs, keras.layers.Dense(len(LABELS))(inputs)), loss=loss, metrics=None)


SEVERAL: dict[str, tuple[Callable[[], Any], float]] = {
    "sigmoids": (sigmoids, 0.5),
    "sigmoids, xla, several steps": (lambda: sigmoids(jit_compile=True, steps_per_execution=3), 0.5),
    "logits": (several_logits, 0.0),
    "focal": (lambda: sigmoids(loss="binary_focal_crossentropy", run_eagerly=True), 0.5),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_each_of_several_labels_has_a_matrix_of_its_own(name: str, listener: Listener) -> None:
    build, threshold = SEVERAL[name]
    model = build()
    callback = monitor(listener, class_names=LABELS)
    data = {"x": X[:SAMPLES], "y": HAS[:SAMPLES], "validation_data": (X[SAMPLES:], HAS[SAMPLES:])}
    sizes = {"batch_size": BATCH, "validation_batch_size": VAL_BATCH}
    history = model.fit(**data, **sizes, epochs=2, shuffle=False, verbose=0, callbacks=[callback]).history
    said = np.asarray(model(X)) > threshold
    for split, parts in (("train", TRAIN), ("val", VALIDATION)):
        matrices = listener.matrices(split)
        assert sorted(matrices) == list(range(1, 2 * len(parts) + 1))
        for number, part in enumerate(parts * 2, 1):
            expected = np.zeros((8, 8), int)
            for first, matrix in zip(range(0, 8, 2), multilabel_confusion_matrix(HAS[part], said[part]), strict=True):
                expected[first : first + 2, first : first + 2] = matrix
            np.testing.assert_array_equal(matrices[number], expected)
    (output,) = listener.info().outputs
    assert (output.class_names, output.labels) == (tuple(LABELS), True)
    assert listener.info().capture == "everything"
    val = HAS[SAMPLES:], said[SAMPLES:]
    for rate, score in (("recall", recall_score), ("precision", precision_score), ("f1", f1_score)):
        for label, value in zip(LABELS, score(*val, average=None, zero_division=np.nan), strict=True):
            assert history[f"val_{rate}/{label}"] == pytest.approx([value] * 2, nan_ok=True)
        assert history[f"val_macro_{rate}"] == pytest.approx([score(*val, average="macro", zero_division=0)] * 2)


def test_many_labels_fit_into_the_log_of_many_steps(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    monkeypatch.setattr("epochscope.keras_capture._LEAST_ENTRIES", 1)
    monkeypatch.setattr("epochscope.keras_capture._ROWS", 1)
    inputs = keras.Input((FEATURES,))
    model = keras.Model(inputs, keras.layers.Dense(40, activation="sigmoid")(inputs))
    compile_it(model, loss="binary_crossentropy", metrics=None, steps_per_execution=4)
    has = RANDOM.integers(0, 2, (SAMPLES, 40))
    model.fit(X[:SAMPLES], has, batch_size=BATCH, epochs=2, verbose=0, callbacks=[monitor(listener)])
    assert [int(matrix.sum()) for matrix in listener.matrices().values()] == [640, 640, 640, 80] * 2
    assert "larger than expected" not in capsys.readouterr().err


def test_a_label_that_weighs_nothing_for_a_sample_is_not_counted(listener: Listener) -> None:
    model = sigmoids()
    weight = (RANDOM.uniform(size=SAMPLES) > 0.3).astype("float32")
    callback = monitor(listener, class_names=LABELS)
    model.fit(X[:SAMPLES], HAS[:SAMPLES], batch_size=SAMPLES, sample_weight=weight, verbose=0, callbacks=[callback])
    said = np.asarray(model(X[:SAMPLES])) > 0.5
    expected = multilabel_confusion_matrix(HAS[:SAMPLES], said, sample_weight=weight)
    found = listener.matrices()[1]
    for label in range(len(LABELS)):
        block = slice(2 * label, 2 * label + 2)
        np.testing.assert_array_equal(found[block, block], expected[label])


def test_class_weights_say_that_they_are_not_for_several_labels(
    listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    from epochscope.keras import ClassWeights

    weights = ClassWeights(class_names=LABELS)
    both = [monitor(listener, class_names=LABELS), weights]
    sigmoids().fit(X, HAS, validation_data=(X, HAS), batch_size=BATCH, verbose=0, callbacks=both)
    assert "class weights are not used: its units answer yes or no each on their own" in capsys.readouterr().err


def test_predict_records_nothing_and_breaks_nothing(listener: Listener) -> None:
    model = classifier()
    callback = monitor(listener)
    alone = model.predict(X, verbose=0, callbacks=[callback])
    assert listener.runs == []
    model.fit(**ARRAYS, shuffle=False, verbose=0, callbacks=[callback])
    np.testing.assert_array_equal(model.predict(X, verbose=0, callbacks=[callback]), alone)
    assert_counted(listener, said_by(model), Y, TRAIN)


def test_a_fit_inside_a_fit_is_a_run_of_its_own(listener: Listener) -> None:
    import keras

    outer, inner = classifier(), classifier()
    within = monitor(listener, name="inner")

    class Teacher(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if not epoch:
                inner.fit(X[:9], Y[:9], batch_size=4, shuffle=False, verbose=0, callbacks=[within])

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            inner.predict(X[:2], verbose=0)

    around = monitor(listener, name="outer")
    outer.fit(**ARRAYS, epochs=2, shuffle=False, verbose=0, callbacks=[Teacher(), around])
    assert_counted(listener, said_by(outer), Y, TRAIN * 2, run=around.run_id)
    assert_counted(listener, said_by(inner), Y, batches(0, 9, 4), run=within.run_id)
    assert [listener.ends(run)[-1].status for run in listener.runs] == ["finished", "finished"]


def test_positions_of_a_sequence_to_be_ignored_are_not_counted(listener: Listener) -> None:
    import keras

    words = RANDOM.integers(0, 4, (20, 6))  # 0 is padding
    tags = RANDOM.choice([-1, 0, 1, 2], (20, 6))
    inputs = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(4, 3, mask_zero=True)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax")(embedded))
    compile_it(model, loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=-1), metrics=None)
    model.fit(words, tags, batch_size=8, shuffle=False, verbose=0, callbacks=[monitor(listener)])
    kept = (words > 0) & (tags >= 0)
    parts = []
    for part in batches(0, 20, 8):
        mask = np.zeros_like(kept)
        mask[part] = kept[part]
        parts.append(mask)
    assert_counted(listener, said_by(model, words), tags, parts)


@pytest.mark.parametrize("one_hot", [False, True], ids=["indices", "one-hot"])
def test_every_pixel_is_counted(one_hot: bool, listener: Listener) -> None:
    import keras

    images = RANDOM.normal(size=(10, 4, 4, 2)).astype("float32")
    labels = RANDOM.integers(0, CLASSES, (10, 4, 4))
    inputs = keras.Input((4, 4, 2))
    model = keras.Model(inputs, keras.layers.Conv2D(CLASSES, 1, activation="softmax")(inputs))
    compile_it(model, loss="categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy")
    y = np.eye(CLASSES, dtype="float32")[labels] if one_hot else labels
    model.fit(images, y, batch_size=4, shuffle=False, verbose=0, callbacks=[monitor(listener)])
    assert_counted(listener, said_by(model, images), labels, batches(0, 10, 4))


@pytest.mark.parametrize("compiled", [{}, {"jit_compile": True}, {"steps_per_execution": 3}], ids=str)
@pytest.mark.parametrize("side", [20, 6], ids=["many", "few"])
def test_many_pixels_are_counted_in_the_step_itself(
    side: int, compiled: Any, listener: Listener, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras
    from epochscope import keras_ring

    written: list[int | None] = []
    pack = keras_ring.packed_row

    def packed(number: int, scalars: list[Any], codes: list[Any]) -> Any:
        written.extend(keras_ring.length_of(each) for each in codes)
        return pack(number, scalars, codes)

    monkeypatch.setattr("epochscope.keras_capture.packed_row", packed)
    images = RANDOM.normal(size=(14, side, side, 2)).astype("float32")
    labels = RANDOM.choice([0, 1, 2, 3, 255], (14, side, side))  # 3 is no class, 255 is to be ignored
    weight = RANDOM.choice([0.0, 0.5, 2.0], labels.shape).astype("float32")
    inputs = keras.Input((side, side, 2))
    model = keras.Model(inputs, keras.layers.Conv2D(CLASSES, 1, activation="softmax")(inputs))
    ignoring = keras.losses.SparseCategoricalCrossentropy(ignore_class=255, reduction=None)

    def loss(y: Any, y_pred: Any) -> Any:
        return ignoring(keras.ops.where(y == 3, 255, y), y_pred)

    loss.ignore_class = 255  # type: ignore[attr-defined]
    compile_it(model, loss=loss, metrics=None, **compiled)
    callback = monitor(listener, num_classes=CLASSES)
    sizes = {"batch_size": 4, "epochs": 2, "shuffle": False, "verbose": 0}
    history = model.fit(images, labels, sample_weight=weight, **sizes, callbacks=[callback]).history
    parts = []
    for part in batches(0, 14, 4):
        mask = np.zeros(labels.shape, bool)
        mask[part] = (labels[part] < CLASSES) & (weight[part] > 0)
        parts.append(mask)
    said = said_by(model, images)
    assert_counted(listener, said, labels, parts * 2)
    # Of many a number for each cell, and of few, where that is quicker, for each pixel.
    assert (set(written) == {CLASSES**2 + 2}) == (side == 20)
    assert "some labels are none of the classes 0 to 2" in capsys.readouterr().err
    kept = np.any(parts, axis=0)
    for name, score in (("recall", recall_score), ("precision", precision_score), ("f1", f1_score)):
        values = score(labels[kept], said[kept], average=None, labels=range(CLASSES), zero_division=np.nan)
        for label, value in enumerate(values):
            assert history[f"{name}/{label}"] == pytest.approx([value] * 2, nan_ok=True)


def code_on_the_page(word: str) -> str:
    """The one block of the page on capture that has ``word`` in it."""
    block: str
    (block,) = [one for one in re.findall(r"^```python\n(.*?)^```$", CAPTURE.read_text(), re.M | re.S) if word in one]
    return block


@pytest.mark.parametrize("door", ["Run(", "CallbackList("])
def test_a_train_on_batch_loop_as_the_page_shows_it_is_counted(
    door: str, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHSCOPE_URL", listener.url)
    model = classifier()
    names = {
        "model": model,
        "names": ["a", "b", "c"],
        "batches": [(X[part], Y[part]) for part in TRAIN],
        "val_batches": [(X[part], Y[part]) for part in VALIDATION],
        "epochs": 2,
    }
    exec(code_on_the_page(door), names)
    said = said_by(model)
    assert_counted(listener, said, Y, TRAIN * 2)
    assert_counted(listener, said, Y, VALIDATION * 2, "val")
    own = [alone(model, X[part], Y[part])["loss"] for part in TRAIN]
    assert listener.series("loss")[1] == pytest.approx(own * 2, abs=3e-6)
    assert [end.status for end in listener.ends()] == ["finished"]


def test_every_test_that_the_page_names_is_there() -> None:
    here = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", CAPTURE.read_text()))
    assert named
    assert {name for name in named if f"def {name}(" not in here} == set()
