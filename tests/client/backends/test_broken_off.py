"""A training that is broken off, or evaluated from its midst: the run ends, the model is clean, what follows is whole.

Runs on every backend: with TensorFlow beside the other tests, with JAX and torch by ``make backends``.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from epochscope import wire
from listener import Listener, until
from sklearn.metrics import confusion_matrix
from small_models import BATCH, CLASSES, SAMPLES, TRAIN_BATCHES, VAL_BATCHES, X, Y, fit, functional, said

BACKEND = os.environ["KERAS_BACKEND"]
pytest.importorskip(BACKEND)
pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, of torch's tensors
]
NAMES = ("t-shirt/top", "shirt", "boot")
PLAIN = {"loss", "accuracy", "val_loss", "val_accuracy"}
LOST = wire.End("interrupted", "fit() ended before its time")


@pytest.fixture
def monitor(listener: Listener) -> Callable[..., Any]:
    from epochscope.keras import Monitor

    return lambda **arguments: Monitor(**{"url": listener.url, "class_names": NAMES, **arguments})


def traces(model: Any) -> list[str]:
    """What of ours is left on the model."""
    from epochscope.keras_patches import Patch

    parts = [model, *model.metrics, *model._compile_metrics.metrics]
    return [name for part in parts for name, value in vars(part).items() if isinstance(value, Patch)]


def failing(error: BaseException, after: int = 1) -> Any:
    import keras

    class Fails(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == after:
                raise error

    return Fails()


def acting(hook: str, act: Callable[[Any], None]) -> Any:
    """A callback that does something with the model, once."""
    import keras

    def once(*_: Any, **__: Any) -> None:
        if not done:
            done.append(True)
            act(callback.model)

    done: list[bool] = []
    callback = keras.callbacks.Callback()
    setattr(callback, hook, once)
    return callback


def break_off(model: Any, mine: Any, error: BaseException) -> None:
    with pytest.raises(type(error)):
        fit(model, Y, mine, failing(error))


@pytest.mark.parametrize("error", [RuntimeError("of your own"), KeyboardInterrupt()], ids=["exception", "ctrl-c"])
def test_once_an_exception_is_dealt_with_nothing_is_left_though_monitor_is_kept(
    error: BaseException, monitor: Callable[..., Any], listener: Listener
) -> None:
    model, mine = functional(), monitor()
    break_off(model, mine, error)
    error.__traceback__ = None  # as at the end of an except clause
    assert traces(model) == []
    until(lambda: listener.runs and listener.ends())
    assert listener.ends() == [LOST]
    assert listener.series("loss")[0] == [1, 2]  # what was done is told
    assert set(fit(model, Y, epochs=1)) == PLAIN


@pytest.mark.skipif(BACKEND != "tensorflow", reason="only TensorFlow has a context in which nothing has a value")
def test_what_was_done_is_told_though_it_is_cleared_away_while_a_step_is_traced(
    monitor: Callable[..., Any], listener: Listener
) -> None:
    import tensorflow as tf

    model, mine, error = functional(), monitor(), RuntimeError("of your own")
    break_off(model, mine, error)

    @tf.function  # type: ignore[untyped-decorator]
    def step() -> Any:
        error.__traceback__ = None
        gc.collect()
        return tf.constant(0)

    step()
    assert traces(model) == []
    until(lambda: listener.runs and listener.ends())
    assert listener.ends() == [LOST]
    assert listener.series("loss")[0] == [1, 2]


FOLLOWS: dict[str, Callable[[Any], Any]] = {
    "fit": lambda model: fit(model, Y, epochs=1),
    "evaluate": lambda model: model.evaluate(X, Y, verbose=0, return_dict=True),
    "train_on_batch": lambda model: model.train_on_batch(X, Y, return_dict=True),
    "test_on_batch": lambda model: model.test_on_batch(X, Y, return_dict=True),
}


@pytest.mark.parametrize("what", FOLLOWS)
def test_as_long_as_someone_keeps_the_exception_the_next_use_of_the_model_finds_it_clean(
    what: str, monitor: Callable[..., Any], listener: Listener
) -> None:
    model, mine, error = functional(), monitor(), RuntimeError("of your own")
    break_off(model, mine, error)  # a notebook keeps the last one
    assert error.__traceback__ is not None
    found = FOLLOWS[what](model)
    assert set(found) <= PLAIN
    assert traces(model) == []
    until(lambda: listener.runs and listener.ends())
    assert listener.series("loss")[0] == [1, 2]
    assert listener.series("loss", "val")[0] == []


def test_the_next_monitor_is_whole_while_the_broken_one_is_kept(
    monitor: Callable[..., Any], listener: Listener
) -> None:
    model, first, second = functional(), monitor(), monitor()
    error = RuntimeError("of your own")
    break_off(model, first, error)
    history = fit(model, Y, second, epochs=1)
    assert "val_f1/shirt" in history
    assert traces(model) == []
    assert sum(int(matrix.sum()) for matrix in listener.matrices(run=second.run_id).values()) == SAMPLES
    until(lambda: listener.ends(first.run_id))
    assert listener.ends(first.run_id) == [LOST]
    assert listener.ends(second.run_id) == [wire.End("finished")]


def test_the_same_monitor_watches_the_next_fit_as_a_run_of_its_own(
    monitor: Callable[..., Any], listener: Listener
) -> None:
    model, mine = functional(), monitor()
    break_off(model, mine, RuntimeError())
    fit(model, Y, mine, epochs=1)
    first, second = listener.runs
    until(lambda: listener.ends(first))
    assert listener.ends(first) == [LOST]
    assert listener.series("loss", run=second)[0] == [1, 2, 3, 4]


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_close_ends_a_run_as_you_say(status: Any, monitor: Callable[..., Any], listener: Listener) -> None:
    model, mine, error = functional(), monitor(), RuntimeError()
    break_off(model, mine, error)
    mine.close(status, "out of\nmemory")
    assert traces(model) == []
    assert listener.ends() == [wire.End(status, "out of memory")]
    mine.close()  # changes nothing
    fit(model, Y, mine, epochs=1)
    assert [len(listener.ends(run)) for run in listener.runs] == [1, 1]


def test_close_knows_four_ways_to_end(monitor: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="finished, failed, interrupted, terminated, not 'done'"):
        monitor().close("done")


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (RuntimeError("no luck"), wire.End("failed", "RuntimeError: no luck")),
        (KeyboardInterrupt(), wire.End("interrupted", "KeyboardInterrupt")),
        (None, wire.End("finished")),
    ],
    ids=["exception", "ctrl-c", "none"],
)
def test_with_a_monitor_the_run_ends_as_the_block_does(
    error: BaseException | None, end: wire.End, monitor: Callable[..., Any], listener: Listener
) -> None:
    model, callbacks = functional(), [failing(error)] if error else []
    try:
        with monitor() as mine:
            fit(model, Y, mine, *callbacks)
    except (RuntimeError, KeyboardInterrupt):
        assert error is not None
    assert listener.ends() == [end]
    assert traces(model) == []


def test_close_within_a_fit_ends_the_run_and_not_the_fit(monitor: Callable[..., Any], listener: Listener) -> None:
    model, mine = functional(), monitor()
    closing = acting("on_train_batch_end", lambda model: mine.close("terminated", "seen enough"))
    history = fit(model, Y, mine, closing)
    assert len(history["val_loss"]) == 2
    assert traces(model) == []
    assert listener.ends() == [wire.End("terminated", "seen enough")]
    fit(model, Y, mine, epochs=1)
    first, second = listener.runs
    assert listener.series("loss", run=first)[0] == [1]
    assert listener.keys("val", run=first) == set()
    assert listener.keys(by="epoch", run=first) == set()
    assert listener.series("loss", by="epoch", run=second)[0] == [1]


def loop(model: Any, mine: Any, batches: int) -> Any:
    """A loop over ``train_on_batch`` that is left after some batches; the list of callbacks."""
    import keras

    callbacks = keras.callbacks.CallbackList([mine], model=model, epochs=1, steps=len(TRAIN_BATCHES))
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    for number, part in enumerate(TRAIN_BATCHES[:batches]):
        logs = model.train_on_batch(X[part], Y[part], return_dict=True)
        callbacks.on_train_batch_end(number, logs)
    return callbacks


def test_a_loop_that_is_left_ends_with_its_list_of_callbacks(monitor: Callable[..., Any], listener: Listener) -> None:
    model, mine = functional(), monitor()
    loop(model, mine, 2)
    assert traces(model) == []
    until(lambda: listener.runs and listener.ends())
    assert listener.ends() == [LOST]
    assert sorted(listener.matrices()) == [1, 2]


def test_a_loop_is_left_in_peace_wherever_its_list_lies_until_it_is_closed_or_a_fit_begins(
    monitor: Callable[..., Any], listener: Listener
) -> None:
    model, closed, left = functional(), monitor(), monitor()
    kept = [loop(model, closed, 2)]
    assert set(model.evaluate(X, Y, verbose=0, return_dict=True)) == {"loss", "accuracy"}
    assert traces(model)
    closed.close("finished")
    assert listener.ends(closed.run_id) == [wire.End("finished")]
    assert traces(model) == []
    kept.append(loop(model, left, 3))
    assert set(fit(model, Y, epochs=1)) == PLAIN
    assert traces(model) == []
    until(lambda: listener.ends(left.run_id))
    assert listener.ends(left.run_id) == [LOST]
    assert [sorted(listener.matrices(run=one.run_id)) for one in (closed, left)] == [[1, 2], [1, 2, 3]]


def test_a_list_of_callbacks_that_is_used_again_is_a_new_run(monitor: Callable[..., Any], listener: Listener) -> None:
    import keras

    model = functional()
    callbacks = keras.callbacks.CallbackList([monitor()], add_history=True, model=model, epochs=1, steps=4)
    arrays = {"x": X[:SAMPLES], "y": Y[:SAMPLES], "batch_size": BATCH, "verbose": 0, "shuffle": False}
    for _ in range(2):
        model.fit(**arrays, callbacks=callbacks)
    first, second = listener.runs
    assert sorted(listener.matrices(run=first)) == sorted(listener.matrices(run=second)) == [1, 2, 3, 4]
    assert traces(model) == []


@pytest.mark.parametrize(
    ("hook", "whose", "place"),
    [
        ("on_train_batch_end", "its own", "before"),
        ("on_train_batch_end", "a new one", "after"),
        ("on_train_batch_end", "none", "after"),
        ("on_test_batch_end", "its own", "after"),
        ("on_epoch_end", "its own", "after"),
        ("on_epoch_end", "a new one", "before"),
    ],
)
def test_an_evaluation_from_the_midst_of_a_fit_disturbs_nothing(
    hook: str, whose: str, place: str, monitor: Callable[..., Any], listener: Listener
) -> None:
    model, mine, other = functional(), monitor(), monitor()
    callbacks = {"its own": [mine], "a new one": [other], "none": []}[whose]
    returned: list[dict[str, float]] = []

    def evaluate(model: Any) -> None:
        model.predict(X[:3], verbose=0, callbacks=callbacks)
        returned.append(model.evaluate(X[:9], Y[:9], verbose=0, return_dict=True, callbacks=callbacks))

    inside = acting(hook, evaluate)
    history = fit(model, Y, *([inside, mine] if place == "before" else [mine, inside]))
    assert set(returned[0]) == {"loss", "accuracy"}
    assert len(history["f1/shirt"]) == len(history["val_f1/shirt"]) == 2
    assert traces(model) == []
    guesses = said(model, X)
    for split, parts in (("train", TRAIN_BATCHES * 2), ("val", VAL_BATCHES * 2)):
        found = listener.matrices(split, run=mine.run_id)
        assert sorted(found) == list(range(1, len(parts) + 1))
        for number, part in enumerate(parts, 1):
            expected = confusion_matrix(Y[part], guesses[part], labels=range(CLASSES))
            np.testing.assert_array_equal(found[number], expected)
    assert listener.ends(mine.run_id) == [wire.End("finished")]
    if callbacks:
        tested = listener.matrices("test", run=callbacks[0].run_id)
        assert [matrix.tolist() for matrix in tested.values()] == [
            confusion_matrix(Y[:9], guesses[:9], labels=range(CLASSES)).tolist()
        ]
        losses = listener.series("loss", "test", "epoch", run=callbacks[0].run_id)[1]
        assert losses == [pytest.approx(returned[0]["loss"])]
    assert len(listener.runs) == (2 if whose == "a new one" else 1)


def test_a_prediction_with_a_monitor_leaves_nothing_behind(monitor: Callable[..., Any], listener: Listener) -> None:
    model = functional()
    model.predict(X, verbose=0, callbacks=[monitor()])
    assert traces(model) == []
    assert listener.runs == []
