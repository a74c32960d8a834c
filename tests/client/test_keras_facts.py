"""What Monitor finds out about a training by itself: optimizer, schedule, model, devices, speed."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
import pytest
from epochscope import keras_facts, system
from epochscope.keras import Monitor
from listener import Listener

pytestmark = pytest.mark.keras

X = np.random.default_rng(2).normal(size=(64, 4)).astype("float32")
Y = np.arange(64) % 3


def compiled(optimizer: Any, *layers: Any, **how: Any) -> Any:
    model = keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", **{"run_eagerly": True, **how})
    return model


def fitted(listener: Listener, model: Any, **fit: Any) -> Any:
    """What the last run says of itself after a fit."""
    model.fit(X, Y, **{"batch_size": 16, "verbose": 0, **fit}, callbacks=[Monitor(url=listener.url)])
    return listener.info(listener.runs[-1])


def test_optimizer_and_its_settings_are_told(listener: Listener) -> None:
    optimizer = keras.optimizers.Adam(0.01, beta_1=0.8, clipnorm=1.5, gradient_accumulation_steps=2)
    params = fitted(listener, compiled(optimizer, keras.Input((4,)))).params
    assert params["optimizer"] == "Adam"
    assert params["learning_rate"] == 0.01
    assert params["optimizer.beta_1"] == 0.8
    assert params["optimizer.clipnorm"] == 1.5
    assert params["optimizer.gradient_accumulation_steps"] == 2
    assert (params["batch_size"], params["epochs"], params["steps_per_epoch"]) == (16, 1, 4)


def test_a_learning_rate_schedule_is_told_by_name_and_settings(listener: Listener) -> None:
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([10, 20], [0.1, 0.01, 0.001])
    params = fitted(listener, compiled(keras.optimizers.SGD(schedule, momentum=0.9), keras.Input((4,)))).params
    assert params["learning_rate"] == "PiecewiseConstantDecay"
    assert params["learning_rate.boundaries"] == "[10, 20]"
    assert params["learning_rate.values"] == "[0.1, 0.01, 0.001]"
    assert params["optimizer.momentum"] == 0.9


def test_under_mixed_precision_the_optimizer_inside_is_told(listener: Listener) -> None:
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5, momentum=0.25))
    params = fitted(listener, compiled(optimizer, keras.Input((4,)))).params
    assert (params["optimizer"], params["optimizer.momentum"], params["learning_rate"]) == ("SGD", 0.25, 0.5)


@pytest.mark.parametrize("built", [True, False])
def test_layers_parameters_and_summary_are_told_also_of_a_model_that_its_first_batch_builds(
    built: bool, listener: Listener
) -> None:
    model = compiled("sgd", *([keras.Input((4,))] if built else []), keras.layers.Dense(5, name="hidden"))
    assert model.built is built
    info = fitted(listener, model, epochs=2)
    assert (info.params["layers"], info.params["parameters"]) == (2, 4 * 5 + 5 + 5 * 3 + 3)
    assert "hidden (Dense)" in info.environment["model_summary"]
    assert "Trainable params: 43" in info.environment["model_summary"]


def test_a_long_summary_is_bounded_and_one_that_fails_is_left_out(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = compiled("sgd", keras.Input((4,)))
    monkeypatch.setitem(vars(model), "summary", lambda print_fn: print_fn("x" * 20_000))
    assert len(fitted(listener, model).environment["model_summary"]) == 10_000
    monkeypatch.setitem(vars(model), "summary", lambda print_fn: 1 / 0)
    model.fit(X, Y, verbose=0, callbacks=[Monitor(url=listener.url)])
    assert "model_summary" not in listener.info(listener.runs[-1]).environment


def test_a_layer_that_can_be_trained_without_being_a_model_is_recorded_like_one(listener: Listener) -> None:
    trainer: Any = next(kind for kind in keras.Model.__mro__ if "fit" in vars(kind))

    class Alone(trainer, keras.layers.Dense):  # type: ignore[misc]
        def __init__(self) -> None:
            keras.layers.Dense.__init__(self, 3, activation="softmax")
            trainer.__init__(self)

    model = Alone()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    for _ in range(2):  # the first fit builds it
        info = fitted(listener, model, epochs=2)
        assert info.params["parameters"] == 4 * 3 + 3
        assert "layers" not in info.params
        assert listener.series("accuracy", by="epoch", run=listener.runs[-1])[0] == [1, 2]


def test_where_a_model_cannot_say_how_large_it_is_the_rest_is_told(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = compiled("sgd", keras.Input((4,)))
    monkeypatch.setitem(vars(model), "count_params", lambda: 1 / 0)
    params = fitted(listener, model).params
    assert "parameters" not in params
    assert (params["layers"], params["optimizer"]) == (1, "SGD")


def test_versions_and_devices_are_told(listener: Listener) -> None:
    import tensorflow as tf

    told = fitted(listener, compiled("sgd", keras.Input((4,)))).environment
    assert (told["keras"], told["backend"], told["tensorflow"]) == (keras.__version__, "tensorflow", tf.__version__)
    assert told["numpy"] == np.__version__
    assert told["devices"]


@pytest.mark.parametrize(
    ("gpus", "devices"), [(["H200"], "H200"), (["H200", "H200", "T4"], "2 x H200, T4"), ([None], "GPU")]
)
def test_accelerators_are_counted_by_name(
    gpus: list[str | None], devices: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    class Device:
        device_type = "GPU"

    names = iter(gpus)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda: [Device() for _ in gpus])
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda _: {"device_name": n} if (n := next(names)) else {}
    )
    assert keras_facts.environment()["devices"] == devices


def test_the_speed_of_training_is_recorded_without_validation(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "FIRST_S", 0.3)
    monkeypatch.setattr(system, "SAMPLE_S", 0.3)

    class Slow(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            time.sleep(0.05)

        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            time.sleep(0.2)

    model = compiled("sgd", keras.Input((4,)))
    monitor = Monitor(url=listener.url)
    data = (X[:32], Y[:32])
    model.fit(X, Y, batch_size=16, epochs=4, verbose=0, validation_data=data, callbacks=[Slow(), monitor])
    steps, rates = listener.series("system/samples_per_second")
    assert steps == sorted(set(steps))
    assert 1 <= steps[0] <= steps[-1] <= 16
    assert all(16 < rate <= 16 / 0.05 for rate in rates), rates
    assert {"system/cpu", "system/memory"} <= listener.keys()
