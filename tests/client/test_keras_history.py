"""Monitor: per-class values for History and other callbacks, what else is recorded, and several runs in turn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from epochscope import wire
from listener import Listener, lines
from sklearn.metrics import precision_recall_fscore_support

pytestmark = pytest.mark.keras

NAMES = ("t-shirt/top", "shirt", "boot", "bag")  # of the last one there is none
RANDOM = np.random.default_rng(6)
X = RANDOM.normal(size=(60, 4)).astype("float32")
Y = RANDOM.integers(0, 3, 60)
VAL = (X[40:], Y[40:])
FIT: dict[str, Any] = {
    "x": X[:40], "y": Y[:40], "validation_data": VAL, "batch_size": 16, "validation_batch_size": 20,
    "verbose": 0, "shuffle": False,
}  # fmt: skip


def classifier(learning_rate: float = 0.0, **compiled: Any) -> Any:
    import keras

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, activation="softmax")])
    model.compile(
        **{
            "optimizer": keras.optimizers.SGD(learning_rate),
            "loss": "sparse_categorical_crossentropy",
            "metrics": ["accuracy"],
            **compiled,
        }
    )
    return model


@pytest.fixture
def monitor(listener: Listener) -> Callable[..., Any]:
    from epochscope.keras import Monitor

    def make(**arguments: Any) -> Any:
        return Monitor(**{"url": listener.url, "class_names": NAMES, **arguments})

    return make


def test_history_holds_scikit_learns_values_as_plain_floats(monitor: Callable[..., Any], listener: Listener) -> None:
    model = classifier()
    history = model.fit(**FIT, epochs=2, callbacks=[monitor()]).history
    assert {type(value) for values in history.values() for value in values} == {float}
    said = np.asarray(model(X)).argmax(axis=1)
    for prefix, true, predicted in (("", Y[:40], said[:40]), ("val_", Y[40:], said[40:])):
        values = precision_recall_fscore_support(true, predicted, labels=range(4), zero_division=math.nan)
        for metric, expected in zip(("precision", "recall", "f1"), values, strict=False):
            found = [history[f"{prefix}{metric}/{name}"][1] for name in NAMES]
            np.testing.assert_allclose(found, expected, rtol=1e-12)
        macro = precision_recall_fscore_support(true, predicted, labels=range(3), average="macro", zero_division=0)
        for metric, value in zip(("macro_precision", "macro_recall", "macro_f1"), macro, strict=False):
            assert history[f"{prefix}{metric}"][1] == pytest.approx(value)
    assert math.isnan(history["val_recall/bag"][0])
    assert listener.keys("val", "epoch") == {"loss", "accuracy", "macro_f1", "macro_precision", "macro_recall"}
    assert listener.keys("train", "epoch") == listener.keys("val", "epoch")
    assert listener.series("macro_f1", "val", "epoch") == ([1, 2], history["val_macro_f1"])


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.filterwarnings("error::UserWarning")  # Keras warns when EarlyStopping does not find its metric
def test_early_stopping_on_a_class_stops_the_fit_in_any_order(place: str, monitor: Callable[..., Any]) -> None:
    import keras

    stop = keras.callbacks.EarlyStopping(monitor="val_f1/shirt", mode="max", patience=2, restore_best_weights=True)
    callbacks = [stop, monitor()] if place == "before" else [monitor(), stop]
    history = classifier().fit(**FIT, epochs=30, callbacks=callbacks).history
    assert len(history["loss"]) == 3  # the best is the first, nothing is learnt
    assert stop.best == history["val_f1/shirt"][0]


def test_without_keras_private_method_later_callbacks_and_history_still_have_them(
    monitor: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from epochscope import keras_attachment

    honest = hasattr

    def blind(target: object, name: str) -> bool:
        return name != "_get_metrics_result_or_logs" and honest(target, name)

    monkeypatch.setattr(keras_attachment, "hasattr", blind, raising=False)
    history = classifier().fit(**FIT, epochs=1, callbacks=[monitor()]).history
    assert {"f1/shirt", "val_f1/shirt", "val_macro_f1"} <= set(history)


def test_the_progress_bar_stays_as_it_was(monitor: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    import re

    said = []
    for callbacks in ([], [monitor()]):
        classifier().fit(**{**FIT, "verbose": 2}, epochs=2, callbacks=callbacks)
        said.append(re.sub(r"\d+m?s(/step)?", "", capsys.readouterr().out))
    assert said[0] == said[1]
    assert "val_loss" in said[1]


def test_scalars_of_other_callbacks_are_recorded_wherever_they_stand(
    monitor: Callable[..., Any], listener: Listener
) -> None:
    import keras

    class Adds(keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            logs[self.name] = float(batch)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs[self.name] = np.float32(epoch)
            logs["not a number"] = "x"

    mine = monitor()

    class Logs(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_begin(self, logs: Any = None) -> None:
            mine.log("once", 7)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            mine.log("each", batch * 10)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            mine.log("epochs", epoch * 100)
            mine.log("odd", "no number")

    mine.log("early", 1)
    classifier(run_eagerly=True).fit(**FIT, epochs=2, callbacks=[Adds("first"), mine, Adds("last"), Logs()])
    for name in ("first", "last"):
        assert listener.series(name) == ([1, 2, 3, 4, 5, 6], [0, 1, 2, 0, 1, 2])
        assert listener.series(name, by="epoch") == ([1, 2], [0, 1])
    assert listener.series("each") == ([1, 2, 3, 4, 5, 6], [0, 10, 20, 0, 10, 20])
    assert listener.series("epochs", by="epoch") == ([1, 2], [0, 100])
    assert listener.series("early", by="run") == ([0], [1])
    assert listener.series("once", by="run") == ([0], [7])
    assert not {"odd", "not a number"} & listener.keys(by="epoch")


def test_the_run_knows_its_model_and_what_it_runs_on(monitor: Callable[..., Any], listener: Listener) -> None:
    model = classifier(0.05, run_eagerly=True)
    mine = monitor(project="fashion", params={"seed": 3, "batch_size": "mine"}, tags=["x"], notes="n", group="g")
    model.fit(**FIT, epochs=2, callbacks=[mine])
    info = listener.info()
    assert info.params == {
        "model": model.name, "optimizer": "SGD", "learning_rate": 0.05, "loss": "sparse_categorical_crossentropy",
        "batch_size": "mine", "epochs": 2, "steps_per_epoch": 3, "layers": 1, "parameters": 20, "seed": 3,
        "optimizer.momentum": 0.0, "optimizer.nesterov": False, "optimizer.use_ema": False,
        "optimizer.ema_momentum": 0.99,
    }  # fmt: skip
    assert (info.project, info.tags, info.notes, info.group) == ("fashion", ["x"], "n", "g")
    assert (info.epochs, info.batches_per_epoch) == (2, 3)
    assert {"python", "keras", "backend", "tensorflow", "hostname", "platform"} <= set(info.environment)
    assert info.outputs == [wire.Output("output", NAMES)]
    assert listener.runs == [mine.run_id]
    assert listener.ends() == [wire.End("finished")]


def test_two_fits_are_two_runs_and_an_evaluation_belongs_to_the_last(
    monitor: Callable[..., Any], listener: Listener
) -> None:
    model, mine = classifier(), monitor()
    model.fit(**FIT, epochs=1, callbacks=[mine])
    model.fit(**FIT, epochs=1, callbacks=[mine])
    results = model.evaluate(*VAL, batch_size=8, verbose=0, callbacks=[mine])
    assert len(results) == 2  # loss and accuracy, as ever
    first, second = listener.runs
    assert mine.run_id == second
    for run in (first, second):
        assert listener.series("loss", run=run)[0] == [1, 2, 3]
        assert listener.series("loss", "val", run=run)[0] == [1]
    assert listener.series("loss", "test", run=first)[0] == []
    assert listener.series("loss", "test", run=second)[0] == [1, 2, 3]
    assert sum(int(matrix.sum()) for matrix in listener.matrices("test", run=second).values()) == 20
    assert listener.series("loss", "test", "epoch", run=second)[1] == [pytest.approx(results[0])]
    assert listener.ends(second) == [wire.End("finished")] * 2


def test_an_evaluation_alone_is_a_run(monitor: Callable[..., Any], listener: Listener) -> None:
    classifier(run_eagerly=True).evaluate(*VAL, verbose=0, callbacks=[monitor()])
    assert sum(int(matrix.sum()) for matrix in listener.matrices("test").values()) == 20
    assert listener.ends() == [wire.End("finished")]


def test_an_evaluation_inside_another_callback_disturbs_nothing(
    monitor: Callable[..., Any], listener: Listener
) -> None:
    import keras

    class Evaluates(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 1:
                found = self.model.evaluate(X, Y, batch_size=10, verbose=0, return_dict=True)
                assert set(found) == {"loss", "accuracy"}

    history = classifier().fit(**FIT, epochs=2, callbacks=[Evaluates(), monitor()]).history
    assert sum(int(matrix.sum()) for matrix in listener.matrices("val").values()) == 2 * 20
    assert sum(int(matrix.sum()) for matrix in listener.matrices("train").values()) == 2 * 40
    assert len(history["f1/shirt"]) == len(history["val_f1/shirt"]) == 2


def test_a_resumed_run_goes_on_counting(monitor: Callable[..., Any], listener: Listener) -> None:
    mine = monitor(resume="run0000001")
    model = classifier(run_eagerly=True)
    model.fit(**FIT, epochs=3, initial_epoch=2, callbacks=[mine])  # a new process: two epochs were elsewhere
    model.fit(**FIT, epochs=1, callbacks=[mine])
    assert listener.runs == ["run0000001"]
    assert listener.spans("train") == [(3, 7, 10), (1, 10, 13)]
    assert listener.spans("val") == [(3, 3, 4), (1, 4, 5)]
    assert listener.series("loss")[0] == list(range(7, 13))


def test_a_loss_that_is_not_a_number_is_shown_as_it_is(monitor: Callable[..., Any], listener: Listener) -> None:
    x = X.copy()
    x[20] = np.nan
    model = classifier(0.1, run_eagerly=True)
    model.fit(**{**FIT, "x": x[:40]}, epochs=1, callbacks=[monitor()])
    losses = listener.series("loss")[1]
    assert [math.isnan(value) for value in losses] == [False, True, True]
    assert sum(int(matrix.sum()) for matrix in listener.matrices().values()) == 40


HOLDS_ITSELF: dict[str, Any] = {}
HOLDS_ITSELF["itself"] = HOLDS_ITSELF


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_names": ["a", "a"]}, "twice"),
        ({"class_names": ["a", "b"], "num_classes": 3}, "num_classes is 3"),
        ({"tags": "x"}, "tags must be a list"),
        ({"resume": "?"}, "resume: must be"),
        ({"resume": 5}, "resume must be the id of a run, not 5"),
        ({"url": "nonsense://"}, "url must look like"),
        ({"url": "http://me:s3cret@host"}, "url must not hold a user or a password"),
        ({"token": "two\nlines"}, "token must be one line"),
        ({"spool_dir": 5}, "spool_dir must be the path of a folder, not 5"),
        ({"spool_dir": "~nobody-by-this-name/spool"}, "under the home of nobody who is known here"),
        ({"params": "lr=1"}, "params must be a dict"),
        ({"params": HOLDS_ITSELF}, "params holds itself"),
        ({"tags": None}, "tags must be a list of strings, not None"),
        ({"num_classes": "3"}, "num_classes must be a whole number, not '3'"),
        ({"class_names": {0: "cat", 1: "dog"}}, "a mapping of indices and names"),
        ({"class_names": {"cat": 0, "dog": 1}}, "a mapping of indices and names"),
        ({"class_names": {"cat", "dog"}}, "a set has no order"),
        ({"class_names": [["cat", "dog"]]}, "must be a flat list"),
    ],
)
def test_wrong_arguments_are_answered_at_once(
    monitor: Callable[..., Any], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        monitor(**arguments)


@pytest.mark.parametrize(
    "names",
    [(each for each in "wxyz"), np.array(list("wxyz")), [b"w", b"x", b"y", b"z"], dict.fromkeys("wxyz").keys()],
    ids=type,
)
def test_class_names_come_in_anything_that_has_an_order(
    names: Any, monitor: Callable[..., Any], listener: Listener
) -> None:
    classifier().fit(**FIT, callbacks=[monitor(class_names=names)])
    assert [output.class_names for output in listener.info().outputs] == [("w", "x", "y", "z")]


def test_what_keeps_a_run_from_beginning_is_said_in_one_line_and_the_fit_goes_on(
    monitor: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = monitor()

    def broken(*_: Any, **__: Any) -> Any:
        raise OSError("no more of anything")

    monkeypatch.setattr("epochscope.keras_telling.Run", broken)
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # under pytest our bugs are raised
    assert len(classifier().fit(**FIT, epochs=2, callbacks=[mine]).history["loss"]) == 2
    assert lines(capsys.readouterr().err) == ["nothing of this training is recorded: no more of anything"]
