"""A model that Monitor watches, has watched or was broken off from is saved, copied, loaded and run as any other.

Runs with TensorFlow beside the other tests, with JAX and torch by ``make backends``. What is saved is loaded by a
process that has no epochscope.
"""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from listener import Listener
from small_models import CLASSES, FEATURES, SAMPLES, X, Y, compiled, fit

BACKEND = os.environ["KERAS_BACKEND"]
pytest.importorskip(BACKEND)
pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, when it saves
]
# Prints, as JSON, what each saved model says of ones, what it has learnt further, and whether our module can be found.
ELSEWHERE = """
import importlib.util, json, pathlib, sys
sys.path = [path for path in sys.path if not (pathlib.Path(path) / "epochscope").exists()]
import keras, numpy as np
x, y = np.ones((4, 5), "float32"), np.arange(4) % 3
found = []
for path in sys.argv[1:]:
    model = keras.saving.load_model(path)
    said = model.predict(x[:1], verbose=0)[0].tolist()
    found.append([said, sorted(model.fit(x, y, validation_data=(x, y), verbose=0).history), len(model.metrics)])
print(json.dumps([found, importlib.util.find_spec("epochscope") is None]))
"""
PLAIN = ["accuracy", "loss", "val_accuracy", "val_loss"]


def learner() -> Any:
    import keras

    keras.utils.set_random_seed(5)
    inputs = keras.Input((FEATURES,), name="features")
    outputs = keras.layers.Dense(CLASSES, activation="softmax", name="scores")(inputs)
    return compiled(keras.Model(inputs, outputs, name="learner"), optimizer=keras.optimizers.Adam(name="adam"))


@pytest.fixture
def monitor(listener: Listener) -> Callable[[], Any]:
    from epochscope.keras import Monitor

    return lambda: Monitor(url=listener.url, class_names=["a", "b", "c"])


def save_everywhere(folder: Path, *callbacks: Any) -> Any:
    """A fit that saves its model after the third batch, after the first epoch, at its end and once it has failed."""
    import keras

    folder.mkdir()
    error = RuntimeError("of your own")

    class Saves(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 2 and not (folder / "batch.keras").exists():
                self.model.save(folder / "batch.keras")

    class Fails(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            raise error

    model = learner()
    keep = keras.callbacks.ModelCheckpoint(str(folder / "epoch.keras"), monitor="val_loss", save_best_only=True)
    fit(model, Y, Saves(), keep, *callbacks)
    model.save(folder / "end.keras")
    with pytest.raises(RuntimeError, match="of your own"):
        fit(model, Y, *callbacks, Fails())
    assert error.__traceback__ is not None  # so that what a broken fit leaves is still there
    model.save(folder / "failed.keras")
    return model


SAVED = [f"{name}.keras" for name in ("batch", "epoch", "end", "failed")]


def content(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration and the arrays of a saved model."""
    arrays = {}
    with zipfile.ZipFile(path) as file:
        config = json.loads(file.read("config.json"))
        with file.open("model.weights.h5") as weights, h5py.File(weights) as tree:
            tree.visititems(lambda name, one: arrays.update({name: one[()]} if isinstance(one, h5py.Dataset) else {}))
    return config, arrays


def test_what_is_saved_at_any_time_is_what_is_saved_without_monitor_and_loads_where_epochscope_is_not(
    monitor: Callable[[], Any], tmp_path: Path
) -> None:
    save_everywhere(tmp_path / "without")
    save_everywhere(tmp_path / "with", monitor())
    for name in SAVED:
        (config, arrays), (plain, expected) = (content(tmp_path / which / name) for which in ("with", "without"))
        assert config == plain
        assert "epochscope" not in json.dumps(config)
        assert arrays.keys() == expected.keys()
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, expected[key], err_msg=f"{name}: {key}")
    paths = [str(tmp_path / "with" / name) for name in SAVED]
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *paths], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""}
    )
    assert done.returncode == 0, done.stderr
    found, without_us = json.loads(done.stdout.splitlines()[-1])
    assert without_us
    assert [keys for _, keys, _ in found] == [PLAIN] * len(SAVED)
    assert [metrics for *_, metrics in found] == [2] * len(SAVED)
    expected_said = []
    for name in SAVED:
        _, arrays = content(tmp_path / "without" / name)
        kernel, bias = arrays["layers/dense/vars/0"], arrays["layers/dense/vars/1"]
        weighed = np.exp(np.ones(FEATURES) @ kernel + bias)
        expected_said.append(weighed / weighed.sum())
    np.testing.assert_allclose([said for said, *_ in found], expected_said, rtol=1e-5)


def test_configuration_copies_and_clones_are_those_of_any_model_even_in_mid_fit(monitor: Callable[[], Any]) -> None:
    import keras

    copies: list[Any] = []

    class Copies(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if not copies:
                copies.extend([copy.deepcopy(self.model), pickle.loads(pickle.dumps(self.model))])
                copies.append(keras.models.clone_model(self.model))

    model, plain = learner(), learner()
    mine = monitor()
    fit(model, Y, mine, Copies())
    fit(plain, Y)
    assert model.get_config() == plain.get_config()
    assert model.get_compile_config() == plain.get_compile_config()
    assert [metric.name for metric in model.metrics] == [metric.name for metric in plain.metrics]
    assert len(model.variables) == len(plain.variables)
    assert set(vars(model)) == set(vars(plain))
    del mine
    for one in copies:
        compiled(one)
        history = one.fit(X[:SAMPLES], Y[:SAMPLES], verbose=0).history
        assert sorted(history) == ["accuracy", "loss"]


def test_what_is_compiled_after_the_fit_is_compiled_once_and_without_us(monitor: Callable[[], Any]) -> None:
    import keras

    traced: list[str] = []

    class Told(keras.layers.Dense):  # type: ignore[misc]
        def call(self, inputs: Any, training: bool = False) -> Any:
            traced.append("training" if training else "not")
            return super().call(inputs)

    keras.utils.set_random_seed(5)
    inputs = keras.Input((FEATURES,))
    model = compiled(keras.Model(inputs, Told(CLASSES, activation="softmax")(inputs)))
    before = model.predict(X, verbose=0)
    predicting = model.predict_function
    fit(model, Y, monitor())
    assert model.predict_function is predicting
    assert model.train_function is not None
    assert model.test_function is not None  # as any fit leaves them
    np.testing.assert_array_equal(model.predict(X, verbose=0), before)
    fit(model, Y)
    steps = model.train_function, model.test_function
    traced.clear()
    fit(model, Y)
    if BACKEND != "torch":  # which runs its steps, and traces none
        assert traced == []
    assert (model.train_function, model.test_function) == steps
    assert set(model.train_on_batch(X, Y, return_dict=True)) == {"loss", "accuracy"}
