"""Monitor on JAX and torch: History and other callbacks see every class, and the training is as if it were not there.

Run by ``make backends``, once with ``KERAS_BACKEND=jax`` and once with ``KERAS_BACKEND=torch``.
"""

from __future__ import annotations

import gc
import math
import os
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from epochscope import wire
from listener import Listener, lines, until
from sklearn.metrics import precision_recall_fscore_support
from small_models import BATCH, CLASSES, SAMPLES, VAL, X, Y, compiled, fit, functional, said, sequential

BACKEND = os.environ["KERAS_BACKEND"]
if BACKEND not in ("jax", "torch"):
    pytest.skip("it is for KERAS_BACKEND=jax or torch: make backends", allow_module_level=True)
pytest.importorskip(BACKEND)
pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, of torch's tensors
]

NAMES = ("t-shirt/top", "shirt", "boot")
Console = pytest.CaptureFixture[str]


@pytest.fixture
def monitor(listener: Listener) -> Callable[..., Any]:
    from epochscope.keras import Monitor

    return lambda **arguments: Monitor(**{"url": listener.url, "class_names": NAMES, **arguments})


def learner(**arguments: Any) -> Any:
    import keras

    return functional(optimizer=keras.optimizers.Adam(0.05), **arguments)


def traces(model: Any) -> list[str]:
    """What of ours is left on the model."""
    from epochscope.keras_patches import Patch

    parts = [model, *model.metrics, *model._compile_metrics.metrics]
    return [name for part in parts for name, value in vars(part).items() if isinstance(value, Patch)]


def failing(after: int) -> Any:
    import keras

    class Fails(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == after:
                raise RuntimeError("of your own")

    return Fails()


def test_history_holds_scikit_learns_values_as_plain_floats(monitor: Callable[..., Any]) -> None:
    model = sequential()
    history = fit(model, Y, monitor())
    assert {type(value) for values in history.values() for value in values} == {float}
    guesses = said(model, X)
    for prefix, part in (("", slice(0, SAMPLES)), ("val_", slice(SAMPLES, SAMPLES + VAL))):
        values = precision_recall_fscore_support(Y[part], guesses[part], labels=range(CLASSES), zero_division=math.nan)
        for metric, expected in zip(("precision", "recall", "f1"), values, strict=False):
            found = [history[f"{prefix}{metric}/{name}"][1] for name in NAMES]
            np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.filterwarnings("error::UserWarning")  # Keras warns when EarlyStopping does not find its metric
def test_early_stopping_on_a_class_stops_the_fit_in_any_order(place: str, monitor: Callable[..., Any]) -> None:
    import keras

    stop = keras.callbacks.EarlyStopping(monitor="val_f1/shirt", mode="max", patience=2, restore_best_weights=True)
    callbacks = [stop, monitor()] if place == "before" else [monitor(), stop]
    history = fit(sequential(), Y, *callbacks, epochs=30)
    assert len(history["loss"]) == 3  # the best is the first, nothing is learnt
    assert stop.best == history["val_f1/shirt"][0]


@pytest.mark.parametrize("eagerly", [False, True], ids=["compiled", "eager"])
def test_weights_and_history_are_the_same_to_the_last_bit(eagerly: bool, monitor: Callable[..., Any]) -> None:
    import keras

    found, left, weights = [], [], []
    for callbacks in ([], [monitor()]):
        model = learner(run_eagerly=eagerly)
        keras.utils.set_random_seed(7)
        found.append(fit(model, Y, *callbacks, shuffle=True))
        found[-1]["then"] = model.evaluate(X, Y, verbose=0)
        left.append(set(vars(model)))
        weights.append(model.get_weights())
        assert traces(model) == []
    plain, watched = found
    assert {name: watched[name] for name in plain} == plain
    assert left[0] == left[1]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_progress_bar_stays_as_it_was(monitor: Callable[..., Any], capsys: Console) -> None:
    shown = []
    for callbacks in ([], [monitor()]):
        fit(sequential(), Y, *callbacks, verbose=2)
        shown.append(re.sub(r" - \d+[mu]?s(/step)?", "", capsys.readouterr().out).replace(" - 0s", ""))
    assert shown[0] == shown[1]
    assert "val_loss" in shown[1]


def test_two_fits_are_two_runs_each_whole(monitor: Callable[..., Any], listener: Listener) -> None:
    model, mine = learner(), monitor()
    for _ in range(2):
        fit(model, Y, mine, epochs=1)
        assert sum(int(matrix.sum()) for matrix in listener.matrices(run=mine.run_id).values()) == SAMPLES
        assert sum(int(matrix.sum()) for matrix in listener.matrices("val", run=mine.run_id).values()) == VAL
    assert len(listener.runs) == 2


def test_two_monitors_at_once_both_see_everything(monitor: Callable[..., Any], listener: Listener) -> None:
    model, both = learner(), [monitor(), monitor()]
    assert set(fit(model, Y, *both, epochs=1)) > {"loss", "val_loss"}
    assert traces(model) == []
    for each in both:
        assert sum(int(matrix.sum()) for matrix in listener.matrices(run=each.run_id).values()) == SAMPLES


def test_after_a_fit_that_raised_what_is_left_does_nothing_and_the_next_monitor_is_whole(
    monitor: Callable[..., Any], listener: Listener
) -> None:
    model = learner()
    first = monitor()
    with pytest.raises(RuntimeError, match="of your own"):
        fit(model, Y, first, failing(1))
    run = first.run_id
    del first
    gc.collect()
    until(lambda: listener.runs and listener.ends(run))
    flushes = len(listener.flushes)
    assert set(fit(model, Y, epochs=1)) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert set(model.train_on_batch(X[:BATCH], Y[:BATCH], return_dict=True)) == {"loss", "accuracy"}
    assert len(listener.flushes) == flushes
    second = monitor()
    fit(model, Y, second, epochs=1)
    assert traces(model) == []
    assert sum(int(matrix.sum()) for matrix in listener.matrices(run=second.run_id).values()) == SAMPLES
    assert listener.ends(run) == [wire.End("interrupted", "fit() ended before its time")]


def test_a_bug_in_our_part_of_the_step_costs_the_matrix_not_the_fit(
    monitor: Callable[..., Any], listener: Listener, monkeypatch: pytest.MonkeyPatch, capsys: Console
) -> None:
    from importlib import import_module

    def broken(*_: Any) -> Any:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(import_module(f"epochscope.keras_capture_{BACKEND}"), "codes", broken)
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # under pytest our bugs are raised
    history = fit(learner(), Y, monitor(), epochs=3)
    assert len(history["loss"]) == 3
    until(lambda: listener.runs and listener.ends())
    assert listener.series("loss")[0][:4] == [1, 2, 3, 4]
    told = lines(capsys.readouterr().err)
    assert told[0].startswith(
        "no confusion matrix of this model: epochscope itself failed to read it (RuntimeError('a bug"
    )
    if BACKEND == "torch":  # where the step is run, not traced, the bug comes back with each batch
        assert told[1].startswith("switched itself off after 10 internal errors")
    assert len(told) == (2 if BACKEND == "torch" else 1)


def test_a_metric_with_a_state_of_its_own_is_not_disturbed(monitor: Callable[..., Any], listener: Listener) -> None:
    import keras

    class Counts(keras.metrics.Metric):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="counts")
            self.batches = 0
            self.sizes: list[int] = []

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.batches += 1
            self.sizes.append(int(y_true.shape[0]))

        def reset_state(self) -> None:
            self.batches = 0
            self.sizes.clear()

        def result(self) -> Any:
            return float(sum(self.sizes)) if self.batches else 0.0

    counts = [fit(sequential(metrics=[Counts()], run_eagerly=True), Y, *c)["counts"] for c in ([], [monitor()])]
    assert counts[0] == counts[1] == [SAMPLES] * 2
    assert listener.series("counts")[1] == [16, 16, 16, 2] * 2


def test_a_training_step_of_ones_own_is_seen_as_well(monitor: Callable[..., Any], listener: Listener) -> None:
    import keras

    class Own(keras.Model):  # type: ignore[misc]
        def train_step(self, *args: Any) -> Any:
            result = super().train_step(*args)
            return ({**result[0], "mine": 1.0}, result[1]) if BACKEND == "jax" else {**result, "mine": 1.0}

    inputs = keras.Input((X.shape[1],))
    model = compiled(Own(inputs, keras.layers.Dense(CLASSES, activation="softmax")(inputs)))
    assert fit(model, Y, monitor())["mine"] == [1.0, 1.0]
    assert sum(int(matrix.sum()) for matrix in listener.matrices().values()) == 2 * SAMPLES


def test_only_the_capture_of_the_backend_at_work_is_imported(monitor: Callable[..., Any]) -> None:
    fit(sequential(), Y, monitor(), epochs=1)
    ours = {name.removeprefix("epochscope.") for name in sys.modules if name.startswith("epochscope.keras_")}
    assert {name for name in ours if name.startswith(("keras_capture", "keras_ring"))} == {f"keras_capture_{BACKEND}"}


@pytest.mark.skipif(BACKEND != "torch", reason="it is about torch.compile")
def test_under_torch_compile_running_means_are_recorded_and_named_so(
    monitor: Callable[..., Any], listener: Listener, monkeypatch: pytest.MonkeyPatch, capsys: Console
) -> None:
    import torch

    monkeypatch.setattr(torch, "compile", lambda step: step)  # it would need a compiler of C++
    fit(learner(jit_compile=True), Y, monitor(), epochs=1)
    (line,) = lines(capsys.readouterr().err)
    assert line.endswith("the model is compiled by torch.compile (jit_compile=True)")
    assert listener.series("loss (running mean)")[0] == [1, 2, 3, 4]


@pytest.mark.skipif(BACKEND != "jax", reason="there alone a step returns something of ours")
@pytest.mark.parametrize("kept", [True, False], ids=["Monitor is kept", "Monitor is gone"])
def test_a_compiled_step_that_someone_has_kept_shows_nothing_of_ours(kept: bool, monitor: Callable[..., Any]) -> None:
    import keras

    steps: list[Any] = []

    class Keeps(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            steps.append(self.model.train_function)

    model, mine = learner(), monitor()
    fit(model, Y, mine, Keeps(), epochs=1)
    if not kept:
        del mine
        gc.collect()
    parts = {f"{part}_variables": True for part in ("trainable", "non_trainable", "optimizer", "metrics")}
    logs, _ = steps[0](model._get_jax_state(**parts), iter([(X[:BATCH], Y[:BATCH])]))  # compiled with us in it
    assert set(logs) == {"loss", "accuracy"}
