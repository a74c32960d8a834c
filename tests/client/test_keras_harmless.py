"""Monitor never harms a training: nothing is left on the model, nothing is raised, what can't be seen is told."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epochscope import wire
from listener import Listener, free_port, lines, until

pytestmark = pytest.mark.keras

RANDOM = np.random.default_rng(8)
X = RANDOM.normal(size=(40, 4)).astype("float32")
Y = RANDOM.integers(0, 3, 40)
FIT: dict[str, Any] = {"x": X, "y": Y, "batch_size": 16, "verbose": 0, "validation_data": (X, Y)}
Console = pytest.CaptureFixture[str]


def classifier(**compiled: Any) -> Any:
    import keras

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile(
        **{"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **compiled}
    )
    return model


def regressor(units: int = 1, loss: str = "mse", activation: str | None = None) -> Any:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation=activation)])
    model.compile("sgd", loss, metrics=["mae"], run_eagerly=units > 1)
    return model


@pytest.fixture
def monitor(listener: Listener) -> Callable[..., Any]:
    from epochscope.keras import Monitor

    return lambda **arguments: Monitor(**{"url": listener.url, **arguments})


def traces(model: Any) -> list[str]:
    """What of ours is left on the model."""
    from epochscope.keras_patches import Patch

    parts = [model, *model.metrics, *model._compile_metrics.metrics]
    return [name for part in parts for name, value in vars(part).items() if isinstance(value, Patch)]


def failing(after: int, error: BaseException) -> Any:
    import keras

    class Fails(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == after:
                raise error

    return Fails()


def test_the_stream_of_tf_random_begins_anew_with_the_next_fit(monitor: Callable[..., Any]) -> None:
    import keras
    import tensorflow as tf

    class Noise(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return inputs + tf.random.normal(tf.shape(inputs))

    def losses(*callbacks: Any) -> list[list[float]]:
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((4,)), Noise(), keras.layers.Dense(3, activation="softmax")])
        model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy", jit_compile=False)
        plain: dict[str, Any] = {"batch_size": 16, "shuffle": False, "verbose": 0}
        return [model.fit(X, Y, **plain, callbacks=list(callbacks)).history["loss"] for _ in range(2)]

    plain, watched = losses(), losses(monitor())
    assert plain[0] != plain[1]  # the stream goes on
    assert watched == [plain[0], plain[0]]  # as the page on capture says: the step is compiled anew


def test_the_model_is_as_if_monitor_had_never_been_there(monitor: Callable[..., Any]) -> None:
    with_it, without = classifier(), classifier()
    twice = {**FIT, "epochs": 2}
    found = with_it.fit(**twice, callbacks=[monitor()]).history
    plain = without.fit(**twice).history
    assert {name: values for name, values in found.items() if name in plain} == plain
    for one, other in zip(with_it.get_weights(), without.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert set(vars(with_it)) == set(vars(without))
    assert traces(with_it) == []
    assert [metric.name for metric in with_it.metrics] == [metric.name for metric in without.metrics]
    assert with_it.evaluate(X, Y, verbose=0) == without.evaluate(X, Y, verbose=0)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
def test_a_checkpoint_of_mid_fit_loads_without_epochscope(monitor: Callable[..., Any], tmp_path: Path) -> None:
    import keras

    saved = tmp_path / "best.keras"
    keep = keras.callbacks.ModelCheckpoint(saved, monitor="val_macro_f1", mode="max", save_best_only=True)
    model = classifier()
    model.fit(**FIT, epochs=1, callbacks=[keep, monitor()])
    script = (
        "import sys; sys.modules['epochscope'] = None\n"
        "import keras, numpy as np\n"
        f"model = keras.saving.load_model({str(saved)!r})\n"
        "print(len(model.metrics), np.asarray(model(np.ones((1, 4), 'float32')))[0].tolist())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    scores = np.asarray(model(np.ones((1, 4), "float32")))[0].tolist()
    assert done.stdout.split(" ", 1)[1].strip() == str(scores)


def test_after_a_fit_that_raised_the_next_one_is_clean_and_whole(
    monitor: Callable[..., Any], listener: Listener
) -> None:
    model = classifier()
    first = monitor()
    with pytest.raises(RuntimeError, match="of your own"):
        model.fit(**FIT, callbacks=[first, failing(1, RuntimeError("of your own"))])
    assert traces(model)  # Keras told nobody
    second = monitor()
    model.fit(**FIT, epochs=1, callbacks=[second])
    assert traces(model) == []
    assert sum(int(matrix.sum()) for matrix in listener.matrices(run=second.run_id).values()) == 40
    first.set_model(model)  # as its next fit would
    until(lambda: listener.ends(first.run_id))
    assert listener.ends(first.run_id) == [wire.End("interrupted", "fit() ended before its time")]


def test_what_is_left_of_a_fit_that_raised_does_nothing(monitor: Callable[..., Any], listener: Listener) -> None:
    model = classifier()
    with pytest.raises(RuntimeError):
        model.fit(**FIT, callbacks=[monitor(), failing(1, RuntimeError())])
    gc.collect()  # nobody holds that Monitor any more
    until(lambda: listener.runs and listener.ends())
    flushes = len(listener.flushes)
    assert set(model.fit(**FIT, epochs=1).history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len(listener.flushes) == flushes


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (RuntimeError("no luck"), wire.End("failed", "RuntimeError: no luck")),
        (KeyboardInterrupt(), wire.End("interrupted", "KeyboardInterrupt")),
    ],
)
def test_an_exception_that_ends_the_program_ends_the_run(
    error: BaseException,
    end: wire.End,
    monitor: Callable[..., Any],
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from epochscope import endings

    seen: list[BaseException] = []
    monkeypatch.setattr(endings, "_next_hook", lambda kind, error, traceback: seen.append(error))
    kept = monitor()
    with pytest.raises(type(error)):
        classifier(run_eagerly=True).fit(**FIT, callbacks=[kept, failing(1, error)])
    sys.excepthook(type(error), error, None)
    assert seen == [error]
    until(lambda: listener.runs and listener.ends())
    assert listener.ends() == [end]


@pytest.mark.parametrize(
    ("units", "loss", "activation", "reason"),
    [
        (1, "mse", None, "mse is a loss of regression"),
        (3, "huber", None, "huber is a loss of regression"),
    ],
)
def test_a_model_without_classes_is_told_in_one_line_and_its_numbers_go_on(
    units: int,
    loss: str,
    activation: str | None,
    reason: str,
    monitor: Callable[..., Any],
    listener: Listener,
    capsys: Console,
) -> None:
    target = (RANDOM.uniform(size=(40, units)) > 0.5).astype("float32")
    model = regressor(units, loss, activation)
    history = model.fit(X, target, validation_data=(X, target), batch_size=16, verbose=0, callbacks=[monitor()])
    assert set(history.history) == {"loss", "mae", "val_loss", "val_mae"}
    (line,) = lines(capsys.readouterr().err)
    assert line.startswith(f"no confusion matrix of this model: {reason}")
    assert listener.series("loss")[0] == listener.series("mae", "val")[0] == [1, 2, 3]
    assert listener.info().outputs == []
    assert reason in listener.info().capture


def test_on_another_backend_running_means_are_recorded_and_named_so(
    monitor: Callable[..., Any], listener: Listener, monkeypatch: pytest.MonkeyPatch, capsys: Console
) -> None:
    import keras

    monkeypatch.setattr(keras.config, "backend", lambda: "numpy")
    classifier().fit(**FIT, epochs=2, callbacks=[monitor()])
    (line,) = lines(capsys.readouterr().err)
    assert "only running means" in line
    assert "this is numpy" in line
    found = {key for key in sorted(listener.keys()) if not key.startswith("system/")}  # a fit that takes long has these
    assert found == {"loss (running mean)", "accuracy (running mean)"}
    assert listener.series("loss (running mean)")[0] == [1, 2, 3, 4, 5, 6]
    assert listener.series("val_loss", by="epoch")[0] == []
    assert listener.series("loss", "val", "epoch")[0] == [1, 2]
    assert "running means" in listener.info().capture


def test_under_a_distribution_strategy_that_is_not_seen_through_too(
    monitor: Callable[..., Any], listener: Listener, capsys: Console
) -> None:
    import tensorflow as tf

    with tf.distribute.experimental.CentralStorageStrategy(["CPU:0"]).scope():
        model = classifier()
    model.fit(**FIT, epochs=1, callbacks=[monitor()])
    (line,) = lines(capsys.readouterr().err)
    assert line.endswith("the model is trained under a tf.distribute strategy other than MirroredStrategy")
    assert listener.series("accuracy (running mean)")[0] == [1, 2, 3]


def test_without_a_service_the_fit_goes_on_and_one_line_says_so(monitor: Callable[..., Any], capsys: Console) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    history = classifier(run_eagerly=True).fit(**FIT, epochs=2, callbacks=[monitor(url=url)]).history
    assert len(history["val_macro_f1"]) == 2
    (line,) = lines(capsys.readouterr().err)
    assert line.startswith(f"no service at {url}; training goes on")


def test_a_bug_in_our_part_of_the_step_costs_the_matrix_not_the_fit(
    monitor: Callable[..., Any], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from epochscope import keras_capture

    def broken(*_: Any) -> Any:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(keras_capture, "codes", broken)
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # under pytest our bugs are raised
    history = classifier().fit(**FIT, epochs=2, callbacks=[monitor()]).history
    assert len(history["loss"]) == 2
    assert listener.series("loss")[0] == [1, 2, 3, 4, 5, 6]


def test_after_ten_internal_errors_monitor_is_off_with_one_line(
    monitor: Callable[..., Any], listener: Listener, monkeypatch: pytest.MonkeyPatch, capsys: Console
) -> None:
    from epochscope.keras_passes import Pass

    def broken(*_: Any) -> Any:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(Pass, "read", broken)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        classifier().fit(**FIT, callbacks=[monitor()])
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    capsys.readouterr()
    model = classifier()
    assert len(model.fit(**FIT, epochs=8, callbacks=[monitor()]).history["loss"]) == 8
    assert traces(model) == []
    (line,) = lines(capsys.readouterr().err)
    assert line.startswith("switched itself off after 10 internal errors (RuntimeError('a bug of ours'))")


def test_two_monitors_at_once_both_see_everything(monitor: Callable[..., Any], listener: Listener) -> None:
    model = classifier()
    one, two = monitor(), monitor()
    model.fit(**FIT, epochs=1, callbacks=[one, two])
    assert traces(model) == []
    for each in (one, two):
        assert sum(int(matrix.sum()) for matrix in listener.matrices(run=each.run_id).values()) == 40


def test_names_that_cannot_be_shown_are_cleaned_on_the_way_but_kept_in_history(
    monitor: Callable[..., Any], listener: Listener
) -> None:
    names = ["a\nb", "c", "d"]
    model = classifier(run_eagerly=True)
    history = model.fit(**FIT, epochs=1, callbacks=[monitor(class_names=names)]).history
    assert "val_f1/a\nb" in history
    assert listener.info().outputs[0].class_names == ("a\ufffdb", "c", "d")


def test_more_classes_than_names_go_by_their_numbers_and_one_line_says_so(
    monitor: Callable[..., Any], listener: Listener, capsys: Console
) -> None:
    classifier(run_eagerly=True).fit(**FIT, epochs=1, callbacks=[monitor(class_names=["a", "b"])])
    assert listener.info().outputs[0].class_names == ("a", "b", "2")
    (line,) = lines(capsys.readouterr().err)
    assert line.startswith("2 class names were given, but the output 'output' has 3 classes")
