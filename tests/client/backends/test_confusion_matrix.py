"""ConfusionMatrix in steps and loops of one's own, on every backend: its counts are scikit-learn's.

Runs with TensorFlow beside the other tests, with JAX and torch by ``make backends``. No Monitor, no service.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, recall_score
from small_models import BATCH, CLASSES, FEATURES, SAMPLES, VAL, X, Y, compiled, fit, functional, said

BACKEND = os.environ["KERAS_BACKEND"]
pytest.importorskip(BACKEND)
pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, of torch's tensors
]
not_jax = pytest.mark.skipif(BACKEND == "jax", reason="Keras gives predict_step no metrics there")
NAMES = ["t-shirt/top", "shirt", "boot"]
TRAIN, REST = slice(0, SAMPLES), slice(SAMPLES, SAMPLES + VAL)


def metric(**arguments: Any) -> Any:
    from epochscope.keras import ConfusionMatrix

    return ConfusionMatrix(NAMES, **arguments)


def counts(of: Any) -> Any:
    import keras

    return keras.ops.convert_to_numpy(of.matrix()).tolist()


def expected(model: Any, part: slice) -> Any:
    return confusion_matrix(Y[part], said(model, X)[part], labels=range(CLASSES)).tolist()


def assert_history(history: Any, model: Any) -> None:
    guesses = said(model, X)
    for before, part in (("", TRAIN), ("val_", REST)):
        for rate, oracle in (("recall", recall_score), ("f1", f1_score)):
            values = oracle(Y[part], guesses[part], average=None, labels=range(CLASSES), zero_division=math.nan)
            for name, value in zip(NAMES, values, strict=True):
                assert history[f"{before}{rate}/{name}"] == pytest.approx([value] * 2, rel=1e-6, nan_ok=True)
    assert {type(value) for values in history.values() for value in values} == {float}


@pytest.mark.parametrize("how", [{}, {"run_eagerly": True}, {"jit_compile": BACKEND != "torch"}], ids=str)
def test_compiled_it_tells_history_of_each_class(how: Any) -> None:
    model = functional(metrics=["accuracy", metric()], **how)
    assert_history(fit(model, Y), model)


def stepping() -> Any:
    """A model whose steps do nothing but count, each in the way of its backend."""
    import keras

    class OfTensorFlowAndTorch(keras.Model):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            return self.test_step(data)

        def test_step(self, data: Any) -> Any:
            x, y = data
            counted.update_state(y, self(x))
            return dict(counted.result())

        def predict_step(self, data: Any) -> Any:
            x, y = data
            scores = self(x)
            counted.update_state(y, scores)
            return scores

    class OfJax(keras.Model):  # type: ignore[misc]
        def train_step(self, state: Any, data: Any) -> Any:
            trainable, others, optimizer, metrics = state
            logs, (trainable, others, metrics) = self.test_step((trainable, others, metrics), data)
            return logs, (trainable, others, optimizer, metrics)

        def test_step(self, state: Any, data: Any) -> Any:
            trainable, others, metrics = state
            x, y = data
            scores, others = self.stateless_call(trainable, others, x)
            metrics = counted.stateless_update_state(metrics, y, scores)
            return dict(counted.stateless_result(metrics)), (trainable, others, metrics)

    counted = metric()

    class Own(OfJax if BACKEND == "jax" else OfTensorFlowAndTorch):  # type: ignore[misc]
        @property
        def metrics(self) -> list[Any]:
            return [counted]

    keras.utils.set_random_seed(5)
    inputs = keras.Input((FEATURES,))
    return compiled(Own(inputs, keras.layers.Dense(CLASSES, activation="softmax")(inputs)), loss=None, metrics=None)


def test_steps_of_ones_own_update_it_in_training_and_evaluation() -> None:
    model = stepping()
    (counted,) = model.metrics
    assert_history(fit(model, Y), model)
    assert counts(counted) == expected(model, REST)  # Keras resets it before each pass
    found = model.evaluate(X[TRAIN], Y[TRAIN], batch_size=BATCH, verbose=0, return_dict=True)
    assert counts(counted) == expected(model, TRAIN)
    assert found["f1/shirt"] == pytest.approx(f1_score(Y[TRAIN], said(model, X)[TRAIN], average=None)[1], rel=1e-6)


@not_jax
def test_a_predict_step_of_ones_own_updates_it() -> None:
    import keras

    class Feed(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            part = (TRAIN, REST)[index]
            return X[part], Y[part]

    model = stepping()
    (counted,) = model.metrics
    model.predict(Feed(), verbose=0)
    assert counts(counted) == expected(model, slice(None))


def test_a_loop_of_ones_own_updates_asks_and_resets_it() -> None:
    model, counted = functional(), metric()
    for _ in range(2):
        counted.reset_state()
        for first in range(0, SAMPLES, BATCH):
            part = slice(first, min(first + BATCH, SAMPLES))
            counted.update_state(Y[part], model(X[part]))
        assert counts(counted) == expected(model, TRAIN)
        recall = recall_score(Y[TRAIN], said(model, X)[TRAIN], average="macro")
        assert float(counted.result()["macro_recall"]) == pytest.approx(recall, rel=1e-6)
    counted.reset_state()
    assert np.sum(counts(counted)) == 0
    assert math.isnan(float(counted.result()["recall/boot"]))


@pytest.mark.skipif(BACKEND != "jax", reason="it is about jax.jit")
def test_a_loop_in_the_way_of_jax_keeps_its_state_itself() -> None:
    import jax

    model, counted = functional(), metric()
    scores = np.asarray(model(X))
    update = jax.jit(lambda state, y, y_pred: counted.stateless_update_state(state, y, y_pred))
    state = counted.stateless_reset_state()
    for first in range(0, SAMPLES, 25):
        state = update(state, Y[first : first + 25], scores[first : first + 25])
    assert np.asarray(state[0]).reshape(CLASSES, CLASSES).tolist() == expected(model, TRAIN)
    values = jax.jit(counted.stateless_result)(state)
    assert float(values["f1/boot"]) == pytest.approx(f1_score(Y[TRAIN], said(model, X)[TRAIN], average=None)[2])
    assert np.sum(counts(counted)) == 0


def test_its_config_makes_the_same_again() -> None:
    import keras

    first = metric(threshold=0.25, ignore_class=9, name="mine")
    for again in (
        type(first).from_config(first.get_config()),
        keras.metrics.deserialize(keras.metrics.serialize(first)),
    ):
        assert again.get_config() == first.get_config()
        assert (again.class_names, again.threshold, again.ignore_class, again.name) == (NAMES, 0.25, 9, "mine")
        assert again is not first


def test_a_saved_model_keeps_its_counts_and_counts_on(tmp_path: Path) -> None:
    import keras

    model = functional(metrics=[metric()])
    fit(model, Y)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    one, other = (each.evaluate(X, Y, verbose=0, return_dict=True) for each in (model, again))
    assert {name: value for name, value in other.items() if "/" in name} == pytest.approx(
        {name: value for name, value in one.items() if "/" in name}, nan_ok=True
    )
    history = fit(again, Y)
    assert_history(history, again)
