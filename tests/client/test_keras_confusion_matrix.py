"""ConfusionMatrix, the metric on its own: no Monitor, no service; held against scikit-learn."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from epochscope.keras import ConfusionMatrix
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score

pytestmark = pytest.mark.keras

NAMES = ["cat", "dog", "eel"]
RATES = {"recall": recall_score, "precision": precision_score, "f1": f1_score}


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    return random.normal(size=(100, 4)).astype("float32"), random.integers(0, 3, 100)


def model_of(metric: Any, loss: str = "sparse_categorical_crossentropy", **compiled: Any) -> Any:
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.0), loss, metrics=["accuracy", metric], **compiled)
    return model


@pytest.mark.parametrize("how", [{}, {"run_eagerly": True}, {"jit_compile": True}, {"steps_per_execution": 3}])
def test_history_holds_scikit_learns_rates_as_floats(data: tuple[np.ndarray, np.ndarray], how: dict[str, Any]) -> None:
    x, y = data
    model = model_of(ConfusionMatrix(NAMES), **how)
    history = model.fit(x, y, batch_size=16, epochs=2, validation_data=(x[:40], y[:40]), verbose=0).history
    guesses = model.predict(x, verbose=0).argmax(axis=1)
    for before, true, said in (("", y, guesses), ("val_", y[:40], guesses[:40])):
        for rate, oracle in RATES.items():
            expected = oracle(true, said, average=None, labels=range(3), zero_division=np.nan)
            for name, value in zip(NAMES, expected, strict=True):
                assert history[f"{before}{rate}/{name}"] == pytest.approx([value] * 2, rel=1e-6, nan_ok=True)
            macro = oracle(true, said, average="macro", zero_division=0)
            assert history[f"{before}macro_{rate}"] == pytest.approx([macro] * 2, rel=1e-6)
    assert {type(value) for values in history.values() for value in values} == {float}


def test_batch_logs_stay_as_they_were(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    seen: set[str] = set()

    class Watcher(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.update(logs)

    model_of(ConfusionMatrix(NAMES)).fit(x, y, verbose=0, callbacks=[Watcher()])
    assert seen == {"accuracy", "loss"}


def test_the_counts_are_scikit_learns_matrix_and_reset(data: tuple[np.ndarray, np.ndarray]) -> None:
    random = np.random.default_rng(3)
    labels, scores = data[1], random.random((100, 3))
    metric = ConfusionMatrix(num_classes=3)
    for part in range(0, 100, 30):
        metric.update_state(labels[part : part + 30], scores[part : part + 30])
    expected = confusion_matrix(labels, scores.argmax(axis=1)).tolist()
    assert np.asarray(metric.matrix()).tolist() == expected
    assert float(metric.result()["recall/0"]) == pytest.approx(expected[0][0] / sum(expected[0]))
    metric.reset_state()
    assert np.asarray(metric.matrix()).sum() == 0
    assert math.isnan(float(metric.result()["f1/0"]))
    assert math.isnan(float(metric.result()["macro_f1"]))


@pytest.mark.parametrize("threshold", [0.0, 0.5])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_one_score_of_two_classes_is_cut_at_the_threshold(threshold: float, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(4)
    labels, scores = random.integers(0, 2, 50), random.normal(size=50).astype("float32")
    metric = ConfusionMatrix(["no", "yes"], threshold=threshold)
    metric.update_state(labels.reshape(shape), scores.reshape(shape))
    assert np.asarray(metric.matrix()).tolist() == confusion_matrix(labels, scores > threshold).tolist()


def test_one_hot_labels_count_like_indices(data: tuple[np.ndarray, np.ndarray]) -> None:
    scores = np.random.default_rng(5).random((100, 3))
    metric = ConfusionMatrix(num_classes=3)
    metric.update_state(np.eye(3)[data[1]], scores)
    assert np.asarray(metric.matrix()).tolist() == confusion_matrix(data[1], scores.argmax(axis=1)).tolist()


def test_what_weighs_nothing_or_is_ignored_or_is_no_class_is_not_counted() -> None:
    scores = np.eye(3)[[0, 1, 2, 0, 1]]
    metric = ConfusionMatrix(num_classes=3, ignore_class=2)
    metric.update_state(np.array([0, 1, 2, 7, -1]), scores, sample_weight=np.array([1.0, 0.0, 1.0, 1.0, 1.0]))
    assert np.asarray(metric.matrix()).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
def test_a_saved_model_counts_on_with_the_same_names(data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, y = data
    model = model_of(ConfusionMatrix(NAMES, ignore_class=9))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    found = again.evaluate(x, y, verbose=0, return_dict=True)
    assert found["f1/eel"] == pytest.approx(model.evaluate(x, y, verbose=0, return_dict=True)["f1/eel"])


def test_the_metrics_of_two_outputs_stand_side_by_side(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    inputs = keras.Input((4,))
    heads = [keras.layers.Dense(3, activation="softmax", name=name)(inputs) for name in ("left", "right")]
    model = keras.Model(inputs, heads)
    metrics = [[ConfusionMatrix(NAMES, name="left")], [ConfusionMatrix(NAMES, name="right")]]
    model.compile(keras.optimizers.SGD(0.0), ["sparse_categorical_crossentropy"] * 2, metrics=metrics)
    history = model.fit(x, [y, (y + 1) % 3], verbose=0).history
    for side, guesses in zip(("left", "right"), model.predict(x, verbose=0), strict=True):
        labels = y if side == "left" else (y + 1) % 3
        expected = recall_score(labels, guesses.argmax(axis=1), average=None, labels=range(3))
        assert [history[f"{side}/recall/{name}"][0] for name in NAMES] == pytest.approx(expected.tolist(), rel=1e-6)


def test_a_custom_train_step_may_update_it_by_hand(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data

    class Own(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3, activation="softmax")
            self.counted = ConfusionMatrix(NAMES)

        def call(self, batch: Any) -> Any:
            return self.dense(batch)

        @property
        def metrics(self) -> list[Any]:
            return [self.counted]

        def train_step(self, batch: Any) -> dict[str, Any]:
            inputs, labels = batch
            self.counted.update_state(labels, self(inputs))
            return dict(self.counted.result())

    model = Own()
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(x, y, verbose=0).history
    guesses = model.predict(x, verbose=0).argmax(axis=1)
    assert np.asarray(model.counted.matrix()).tolist() == confusion_matrix(y, guesses).tolist()
    expected = f1_score(y, guesses, average=None)
    assert [history[f"f1/{name}"][0] for name in NAMES] == pytest.approx(expected.tolist(), rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({}, "class_names or num_classes"), ({"class_names": ["a", "b"], "num_classes": 3}, "2 class_names"),
     ({"num_classes": 1}, "2 to"), ({"num_classes": 50_000}, "46,340")],
)  # fmt: skip
def test_what_can_not_be_counted_is_refused(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        ConfusionMatrix(**arguments)


def test_predictions_of_another_number_of_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="3 classes, but the predictions have 4 scores"):
        ConfusionMatrix(num_classes=3).update_state(np.array([0]), np.ones((1, 4)))
