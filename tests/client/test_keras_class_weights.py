"""ClassWeights: weights that change while fit runs, held against NumPy and against Keras's own sample weights."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from epochscope.keras import ClassWeights, ConfusionMatrix, Monitor
from listener import Listener, lines

pytestmark = pytest.mark.keras
Console = pytest.CaptureFixture[str]

NAMES = ["zebra", "ant", "mole"]  # their order is not that of the alphabet
RANDOM = np.random.default_rng(8)
X = RANDOM.normal(size=(60, 4)).astype("float32")
Y = RANDOM.integers(0, 3, 60)
FIT: dict[str, Any] = {
    "x": X[:40], "y": Y[:40], "validation_data": (X[40:], Y[40:]), "batch_size": 16, "validation_batch_size": 20,
    "verbose": 0, "shuffle": False,
}  # fmt: skip
HAND = np.array([1.0, 2.0, 4.0])


def classifier(learning_rate: float = 0.0, **compiled: Any) -> Any:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    loss = compiled.pop("loss", "sparse_categorical_crossentropy")
    model.compile(keras.optimizers.SGD(learning_rate), loss, **{"metrics": [ConfusionMatrix(NAMES)], **compiled})
    return model


def by_hand(epoch: int, recall: dict[str, float]) -> dict[str, float]:
    """Weights whose effect can be told: another one for each class and epoch."""
    assert list(recall) == NAMES
    return dict(zip(NAMES, (epoch * HAND).tolist(), strict=True))


def cross_entropies(model: Any, x: Any, y: Any) -> Any:
    return -np.log(np.asarray(model.predict(x, verbose=0), np.float64)[np.arange(len(y)), y])


class Recalls(keras.callbacks.Callback):  # type: ignore[misc]
    """Stands for a model whose recall of the classes is known; ``epochs`` has it by epoch."""

    def __init__(self, *epochs: Mapping[str, float]) -> None:
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs |= {f"val_recall/{name}": value for name, value in self.epochs[epoch].items()}


def weights_after(*recalls: Mapping[str, float], **arguments: Any) -> list[dict[str, float]]:
    """What the weights of each epoch were, and what the next one would have had."""
    weights = ClassWeights(**{"class_names": NAMES, **arguments})
    model = classifier(metrics=[], run_eagerly=True)
    history = model.fit(**FIT, epochs=len(recalls), callbacks=[Recalls(*recalls), weights]).history
    published = [
        {name: history[f"class_weight/{name}"][epoch] for name in NAMES if f"class_weight/{name}" in history}
        for epoch in range(len(recalls))
    ]
    return [*published, weights.current]


# -- in the step


@pytest.mark.parametrize(
    "how", [{}, {"jit_compile": True}, {"run_eagerly": True}, {"steps_per_execution": 2}], ids=lambda how: str(how)
)
def test_each_epoch_is_trained_with_the_weights_of_the_last_one(how: dict[str, Any]) -> None:
    model = classifier(**how)
    weights = ClassWeights(by_hand)
    history = model.fit(**FIT, epochs=4, callbacks=[weights]).history
    losses = cross_entropies(model, X, Y)
    plain, own = losses[:40].mean(), (losses[:40] * HAND[Y[:40]]).mean()
    np.testing.assert_allclose(history["loss"], [plain, own, 2 * own, 3 * own], rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], [losses[40:].mean()] * 4, rtol=1e-5)
    assert history["class_weight/mole"] == [1.0, 4.0, 8.0, 12.0]
    assert weights.current == {"zebra": 4.0, "ant": 8.0, "mole": 16.0}


BACKEND = """
import json, sys
import keras, numpy as np
from epochscope.keras import ClassWeights, ConfusionMatrix
random = np.random.default_rng(1)
x, y = random.normal(size=(40, 4)).astype("float32"), random.integers(0, 3, 40)
keras.utils.set_random_seed(1)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
if sys.argv[1] == "unbuilt":
    class Unbuilt(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Dense(3, activation="softmax")
        def call(self, x):
            return self.inner(x)
    model = Unbuilt()
model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy",
              metrics=[ConfusionMatrix(num_classes=3)] if sys.argv[1] == "built" else [])
class Recalls(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs |= {f"val_recall/{name}": 0.5 for name in range(3)}
        if epoch == 1:
            self.model.save(sys.argv[2])
class Fails(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise InterruptedError
weights = lambda: ClassWeights(lambda epoch, recall: [epoch, 2 * epoch, 4 * epoch])
fit = dict(validation_data=(x, y), batch_size=16, verbose=0, shuffle=False)
before = set(vars(model)), len(model.metrics)
history = model.fit(x, y, epochs=4, callbacks=[Recalls(), weights()], **fit).history
own = {"history", "stop_evaluating", "stop_predicting", "_jax_state", "_jax_state_synced", "built"}
left = sorted(set(vars(model)) - before[0] - own), len(model.metrics) - before[1]
kept = ClassWeights(initial=[5, 5, 5])
try:
    model.fit(x, y, epochs=1, callbacks=[kept, Fails()], **fit)
except InterruptedError:
    pass
after = model.fit(x, y, epochs=1, **fit).history["loss"]
left_then = sorted(set(vars(model)) - before[0] - own), len(model.metrics) - before[1]
loss = -np.log(np.asarray(model.predict(x, verbose=0), "float64")[np.arange(40), y])
print(json.dumps(dict(
    loss=history["loss"], val_loss=history["val_loss"], after=after, left=left, left_then=left_then,
    plain=loss.mean(), own=(loss * np.array([1, 2, 4])[y]).mean(), of=keras.config.backend(),
)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("model", ["built", "unbuilt"])
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_it_is_the_same_on_every_backend_also_after_an_exception(backend: str, model: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    saved = tmp_path / "middle.keras"
    done = subprocess.run(
        [sys.executable, "-c", BACKEND, model, str(saved)],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["of"] == backend
    np.testing.assert_allclose(told["loss"], [told["plain"], *(told["own"] * e for e in (1, 2, 3))], rtol=1e-5)
    np.testing.assert_allclose([*told["val_loss"], *told["after"]], [told["plain"]] * 5, rtol=1e-5)
    assert told["left"] == told["left_then"] == [[], 0]
    assert lines(done.stderr) == []
    with zipfile.ZipFile(saved) as archive:
        for entry in ("config.json", "metadata.json", "model.weights.h5"):
            assert b"class_weights" not in archive.read(entry)


BESIDE = """
import json, sys
import keras, numpy as np
from epochscope.keras import ClassWeights, Monitor
names, hand = ["zebra", "ant", "mole"], np.array([1.0, 2.0, 4.0])
random = np.random.default_rng(1)
x, y = random.normal(size=(40, 4)).astype("float32"), np.sort(random.integers(0, 3, 40))
keras.utils.set_random_seed(1)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
monitor = Monitor(class_names=names, url=sys.argv[1])
weights = ClassWeights(lambda epoch, recall: dict(zip(names, epoch * hand)))
model.fit(x, y, epochs=3, batch_size=16, verbose=0, shuffle=False, validation_data=(x, y),
          callbacks=[monitor, weights][:: int(sys.argv[2])])
loss = -np.log(np.asarray(model.predict(x, verbose=0), "float64")[np.arange(40), y])
print(json.dumps([(loss * weight).tolist() for weight in (np.ones(40), hand[y], 2 * hand[y])] + [y.tolist()]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("order", ["1", "-1"], ids=["after Monitor", "before Monitor"])
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_beside_monitor_it_is_the_same_on_other_backends(backend: str, order: str, listener: Listener) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", BESIDE, listener.url, order],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    assert done.returncode == 0, done.stderr
    *losses, y = json.loads(done.stdout.splitlines()[-1])
    batches = [slice(0, 16), slice(16, 32), slice(32, 40)]
    expected = [np.mean(epoch[batch]) for epoch in losses for batch in batches]
    np.testing.assert_allclose(listener.series("loss")[1], expected, rtol=1e-5)
    assert listener.series("class_weight/mole", by="epoch") == ([1, 2, 3], [1.0, 4.0, 8.0])
    for step, batch in enumerate(batches * 3, 1):
        assert listener.matrices()[step].sum(axis=1).tolist() == np.bincount(y[batch], minlength=3).tolist()


def labels_of(kind: str) -> tuple[Any, Any, Any, str]:
    """A model's last layer, labels, the class of each sample, and the loss."""
    if kind == "sparse":
        return keras.layers.Dense(3, activation="softmax"), Y, Y, "sparse_categorical_crossentropy"
    if kind == "column":
        return keras.layers.Dense(3, activation="softmax"), Y[:, None], Y, "sparse_categorical_crossentropy"
    if kind == "one-hot":
        return keras.layers.Dense(3, activation="softmax"), np.eye(3)[Y], Y, "categorical_crossentropy"
    two = (Y > 0).astype(int)
    if kind == "binary":
        return keras.layers.Dense(1, activation="sigmoid"), two, two, "binary_crossentropy"
    if kind == "binary column":
        return keras.layers.Dense(1, activation="sigmoid"), two[:, None].astype("float32"), two, "binary_crossentropy"
    assert kind == "sequence"
    steps = np.stack([Y, np.roll(Y, 1)], axis=1)
    head = keras.layers.Dense(6), keras.layers.Reshape((2, 3)), keras.layers.Softmax()
    return keras.Sequential(head), steps, steps, "sparse_categorical_crossentropy"


@pytest.mark.parametrize("weighted", [False, True], ids=["alone", "with sample weights"])
@pytest.mark.parametrize("kind", ["sparse", "column", "one-hot", "binary", "binary column", "sequence"])
def test_the_training_is_the_one_with_the_same_weights_as_sample_weights(kind: str, weighted: bool) -> None:
    own = RANDOM.uniform(0.5, 2, 60).astype("float32") if weighted else np.ones(60, "float32")
    trained = []
    for mine in (True, False):
        keras.utils.set_random_seed(3)
        head, y, classes, loss = labels_of(kind)
        model = keras.Sequential([keras.Input((4,)), head])
        model.compile(keras.optimizers.SGD(0.5), loss)
        given = HAND[: classes.max() + 1].astype("float32")
        each = own if classes.ndim == 1 else own[:, None]
        history = model.fit(
            X, y, batch_size=20, epochs=2, verbose=0, shuffle=False, validation_data=(X, y),
            sample_weight=(own if weighted else None) if mine else each * given[classes],
            callbacks=[ClassWeights(initial=given.tolist())] if mine else [],
        ).history  # fmt: skip
        trained.append([*history["loss"], *history["val_loss"], *(v for w in model.get_weights() for v in w.flat)])
    np.testing.assert_allclose(trained[0], trained[1], rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("form", [list, dict])
def test_of_several_outputs_the_named_one_is_weighted(form: type) -> None:
    losses = []
    for mine in (True, False):
        keras.utils.set_random_seed(4)
        inputs = keras.Input((4,))
        outputs = {name: keras.layers.Dense(3, activation="softmax", name=name)(inputs) for name in ("b", "a")}
        model = keras.Model(inputs, outputs if form is dict else list(outputs.values()))
        model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
        ones, given = np.ones(60), HAND[Y]
        y: Any = {"a": Y, "b": 2 - Y} if form is dict else [2 - Y, Y]
        weights: Any = {"a": given, "b": ones} if form is dict else [ones, given]
        callbacks = [ClassWeights(initial=HAND.tolist(), output="a")] if mine else []
        history = model.fit(
            X, y, verbose=0, shuffle=False, validation_data=(X, y), callbacks=callbacks,
            sample_weight=None if mine else weights,
        ).history  # fmt: skip
        losses.append([history[name][0] for name in sorted(history) if "loss" in name])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_a_change_of_the_weights_compiles_nothing() -> None:
    traced: list[int] = []

    def loss(y: Any, y_pred: Any) -> Any:
        traced.append(1)
        return keras.losses.sparse_categorical_crossentropy(y, y_pred)

    class Counts(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            traced.append(0) if epoch else traced.clear()

    history = classifier(loss=loss).fit(**FIT, epochs=4, callbacks=[ClassWeights(by_hand), Counts()]).history
    assert len(set(history["loss"])) == 4
    assert traced == [0, 0, 0]


def test_a_loss_of_the_models_own_without_a_training_argument_is_weighted_in_training_only() -> None:
    class Own(keras.Model):  # type: ignore[misc]
        def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None) -> Any:
            return super().compute_loss(x, y, y_pred, sample_weight)

    inputs = keras.Input((4,))
    model = Own(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    history = model.fit(**FIT, callbacks=[ClassWeights(initial=[3, 3, 3])]).history
    losses = cross_entropies(model, X, Y)
    assert history["loss"][0] == pytest.approx(3 * losses[:40].mean(), rel=1e-5)
    assert history["val_loss"][0] == pytest.approx(losses[40:].mean(), rel=1e-5)


# -- beside other callbacks


@pytest.mark.parametrize("place", ["before", "after"])
def test_beside_monitor_counts_stay_raw_and_each_change_is_a_series(place: str, listener: Listener) -> None:
    model = classifier(metrics=["accuracy"])
    monitor, weights = Monitor(class_names=NAMES, url=listener.url), ClassWeights(by_hand)
    callbacks = [weights, monitor] if place == "before" else [monitor, weights]
    history = model.fit(**FIT, epochs=3, callbacks=callbacks).history
    losses = cross_entropies(model, X, Y)
    own = (losses[:40] * HAND[Y[:40]]).mean()
    np.testing.assert_allclose(history["loss"], [losses[:40].mean(), own, 2 * own], rtol=1e-5)
    for name, weight in zip(NAMES, HAND, strict=True):
        assert listener.series(f"class_weight/{name}", by="epoch") == ([1, 2, 3], [1.0, weight, 2 * weight])
    assert listener.series("loss", by="epoch")[1] == pytest.approx(history["loss"])
    batch = (losses[:16] * HAND[Y[:16]]).mean()
    assert listener.series("loss")[1][3] == pytest.approx(batch, rel=1e-5)
    assert listener.matrices()[4].sum(axis=1).tolist() == np.bincount(Y[:16]).tolist()


@pytest.mark.parametrize("place", ["before", "after"])
def test_beside_early_stopping_both_do_their_work(place: str) -> None:
    stop = keras.callbacks.EarlyStopping("val_recall/ant", mode="max", patience=2)
    weights = ClassWeights(by_hand)
    history = (
        classifier().fit(**FIT, epochs=20, callbacks=[weights, stop] if place == "before" else [stop, weights]).history
    )
    assert history["class_weight/ant"] == [1.0, 2.0, 4.0]
    assert weights.current["ant"] == 6.0


def test_the_progress_bar_does_not_show_the_weights(capsys: Console) -> None:
    classifier().fit(**{**FIT, "verbose": 2}, epochs=2, callbacks=[ClassWeights()])
    said = capsys.readouterr().out
    assert "val_loss" in said
    assert "class_weight" not in said


def test_it_works_in_a_second_fit_and_does_nothing_in_an_evaluation() -> None:
    model, weights = classifier(), ClassWeights(by_hand)
    first = model.fit(**FIT, epochs=2, callbacks=[weights]).history
    assert model.evaluate(X, Y, verbose=0, callbacks=[weights])[0] == pytest.approx(
        cross_entropies(model, X, Y).mean(), rel=1e-5
    )
    assert model.fit(**FIT, epochs=2, callbacks=[weights]).history == first


def test_an_evaluation_by_another_callback_leaves_the_weights_in_force() -> None:
    class Evaluates(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.evaluate(X, Y, verbose=0)

    plain, disturbed = (
        classifier().fit(**{**FIT, "batch_size": 40}, epochs=3, callbacks=[ClassWeights(by_hand), *more]).history
        for more in ([], [Evaluates()])
    )
    assert disturbed["val_loss"] == plain["val_loss"]
    assert disturbed["class_weight/mole"] == [1.0, 4.0, 8.0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
def test_a_checkpoint_of_the_middle_loads_where_epochscope_is_not(tmp_path: Path) -> None:
    path = tmp_path / "{epoch}.keras"
    model = classifier(metrics=["accuracy"])
    recalls = Recalls(*[dict.fromkeys(NAMES, 0.5)] * 2)
    checkpoint = keras.callbacks.ModelCheckpoint(str(path))
    model.fit(**FIT, epochs=2, callbacks=[recalls, ClassWeights(class_names=NAMES), checkpoint])
    code = (
        "import sys; sys.modules['epochscope'] = None; import keras; print(keras.saving.load_model(sys.argv[1]).loss)"
    )
    loaded = subprocess.run([sys.executable, "-c", code, str(tmp_path / "1.keras")], capture_output=True, text=True)
    assert loaded.stdout.strip() == "sparse_categorical_crossentropy", loaded.stderr


# -- the weights


def test_by_default_the_weights_follow_class_wise_difficulty() -> None:
    ones = dict.fromkeys(NAMES, 1.0)
    recall = {"zebra": 0.9, "ant": 0.5, "mole": 0.75}
    first, second, last = weights_after(recall, {"zebra": 1.0, "ant": 0.0, "mole": math.nan})
    assert first == ones
    tau = 1 / (1 + math.exp(-0.9 / 0.51))
    raw = {name: (1 - value) ** tau for name, value in recall.items()}
    assert second == pytest.approx({name: 3 * value / sum(raw.values()) for name, value in raw.items()})
    # tau is all but 1; a class that is always hit keeps the floor; one that was not there gets 1
    assert last == pytest.approx({"zebra": 2 * 0.05 / 1.05, "ant": 2 / 1.05, "mole": 1.0})


def test_classes_that_all_do_alike_weigh_the_same() -> None:
    for value in (0.0, 0.5, 1.0, math.nan):
        assert weights_after(dict.fromkeys(NAMES, value))[-1] == pytest.approx(dict.fromkeys(NAMES, 1.0))


def test_floor_smoothing_start_and_initial_weights_do_as_they_say() -> None:
    recall = {"zebra": 1.0, "ant": 0.0, "mole": 0.0}
    assert weights_after(recall, floor=0.5)[-1] == pytest.approx({"zebra": 0.6, "ant": 1.2, "mole": 1.2})
    smooth = weights_after(recall, recall, floor=0.5, smoothing=0.75)
    assert [each["zebra"] for each in smooth] == pytest.approx([1.0, 0.9, 0.75 * 0.9 + 0.25 * 0.6])
    late = weights_after(recall, recall, recall, floor=0.5, start_epoch=2)
    assert [each["zebra"] for each in late] == pytest.approx([1.0, 1.0, 0.6, 0.6])
    assert weights_after(recall, initial={"ant": 3.0}, start_epoch=9)[0] == {"zebra": 1.0, "ant": 3.0, "mole": 1.0}


def test_a_function_may_name_some_classes_and_the_others_keep_their_weights() -> None:
    epochs: list[int] = []

    def weights(epoch: int, recall: dict[str, float]) -> dict[str, float]:
        epochs.append(epoch)
        return {"ant": 1 + recall["ant"]}

    recall = {"mole": 0.1, "ant": 0.5, "zebra": 0.3}
    assert weights_after(recall, recall, weights=weights)[-1] == {"zebra": 1.0, "ant": 1.5, "mole": 1.0}
    assert epochs == [1, 2]


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ([1.0, 0.0, 1.0], "ValueError: weights must be finite and above 0, not 0.0"),
        ([1.0, math.nan, 1.0], "ValueError: weights must be finite and above 0, not nan"),
        ([1.0, 2.0], "ValueError: the function gave 2 weights for 3 classes"),
        ({"cow": 1.0}, "ValueError: there is no class 'cow' to give a weight; there are zebra, ant, mole"),
        ("many", "ValueError: could not convert string to float: 'm'"),
        (None, "TypeError: 'NoneType' object is not iterable"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_an_answer_that_is_no_weights_is_one_line_and_changes_nothing(answer: Any, line: str, capsys: Console) -> None:
    def weights(epoch: int, recall: dict[str, float]) -> Any:
        return answer() if callable(answer) else answer

    recall = dict.fromkeys(NAMES, 0.5)
    assert weights_after(recall, recall, weights=weights)[-1] == dict.fromkeys(NAMES, 1.0)
    assert lines(capsys.readouterr().err) == [f"class weights stay as they are: {line}"]


# -- what it can't do


@pytest.mark.parametrize(
    ("fit", "arguments", "line"),
    [
        ({"validation_data": None}, {}, "fit() has no validation data, so class weights stay as they are"),
        ({}, {}, "there is no val_recall/<class> in the logs, so class weights stay as they are; it comes from"),
        ({}, {"initial": [1, 2]}, "class weights are not used: there are 2 of them, but the model has 3 classes"),
    ],
)
def test_what_is_missing_is_said_once(fit: dict[str, Any], arguments: Any, line: str, capsys: Console) -> None:
    model = classifier(metrics=["accuracy"])
    history = model.fit(**{**FIT, **fit}, epochs=2, callbacks=[ClassWeights(**arguments)]).history
    assert lines(capsys.readouterr().err)[0].startswith(line)
    assert history["loss"] == pytest.approx([cross_entropies(model, X[:40], Y[:40]).mean()] * 2, rel=1e-5)


def test_an_order_of_the_classes_that_nobody_knows_is_said(capsys: Console) -> None:
    recall = dict.fromkeys(NAMES, 0.5)
    assert weights_after(recall, recall, class_names=None)[-1] == {}
    (line,) = lines(capsys.readouterr().err)
    assert "say ClassWeights(class_names=[...])" in line


@pytest.mark.parametrize(
    ("units", "activation", "loss", "line"),
    [
        (1, None, "mse", "class weights are not used: mse is a loss of regression"),
        (3, "sigmoid", "binary_crossentropy", "class weights are not used: "),
        (4, "sigmoid", "binary_crossentropy", "class weights are not used: "),
    ],
)
def test_what_has_no_classes_is_trained_without_weights_and_one_line_says_why(
    units: int, activation: str | None, loss: str, line: str, capsys: Console
) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation=activation)])
    model.compile(keras.optimizers.SGD(0.0), loss)
    y = np.eye(4)[Y][:, :units]
    weights = ClassWeights(initial=[5] * max(units, 2))
    recalls = Recalls(*[dict.fromkeys("0123"[: max(units, 2)], 0.5)] * 2)
    history = model.fit(X, y, validation_data=(X, y), epochs=2, verbose=0, callbacks=[recalls, weights]).history
    assert history["loss"] == pytest.approx(history["val_loss"], rel=1e-5)
    assert not [name for name in history if name.startswith("class_weight")]
    said = lines(capsys.readouterr().err)
    assert [each.startswith(line) for each in said].count(True) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": [1, 2, 3]}, "must be a function"),
        ({"floor": 0.0}, "floor must be above 0"),
        ({"floor": math.nan}, "floor must be above 0"),
        ({"smoothing": 1.0}, "smoothing must be at least 0 and less than 1"),
        ({"start_epoch": 0}, "start_epoch must be a whole number from 1"),
        ({"class_names": "abc"}, "must be a list of names"),
        ({"initial": [1.0, -1.0]}, "above 0, not -1.0"),
        ({"initial": [1.0, math.inf]}, "above 0, not inf"),
        ({"initial": [[1.0, 2.0]]}, "one number for each class"),
        ({"initial": [1.0]}, "two at least"),
        ({"initial": {"a": 2.0}}, "need class_names"),
        ({"initial": {"a": 2.0}, "class_names": ["b", "c"]}, "there is no class 'a'"),
        ({"initial": [1.0, 2.0], "class_names": ["a", "b", "c"]}, "2 initial weights for 3 class_names"),
    ],
)
def test_wrong_arguments_are_answered_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        ClassWeights(**arguments)


def test_its_config_makes_the_same_again_but_not_from_a_function() -> None:
    made = ClassWeights(floor=0.1, smoothing=0.5, start_epoch=3, initial={"a": 2.0}, class_names=["a", "b"], output="o")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(made))
    assert isinstance(again, ClassWeights)
    assert again.get_config() == made.get_config() == {
        "floor": 0.1, "smoothing": 0.5, "start_epoch": 3, "initial": [2.0, 1.0], "class_names": ["a", "b"],
        "output": "o",
    }  # fmt: skip
    config: Callable[[], Any] = ClassWeights(by_hand).get_config
    with pytest.raises(ValueError, match="a function of yours"):
        config()
