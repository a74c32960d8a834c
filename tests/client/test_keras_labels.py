"""Labels of odd shapes, values and owners: counted where they can be, told where not, never the end of a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from listener import Listener, lines
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix
from small_models import (
    BATCH,
    CLASSES,
    FEATURES,
    ONE_HOT,
    RANDOM,
    SAMPLES,
    TRAIN_BATCHES,
    YES,
    X,
    Y,
    compiled,
    loss,
    said,
)

pytestmark = pytest.mark.keras

Console = pytest.CaptureFixture[str]
PLAIN = {"batch_size": BATCH, "shuffle": False, "verbose": 0}


def monitor(listener: Listener, **arguments: Any) -> Any:
    from epochscope.keras import Monitor

    return Monitor(url=listener.url, **arguments)


def dense(units: int = CLASSES, activation: str | None = "softmax", **how: Any) -> Any:
    import keras

    keras.utils.set_random_seed(5)
    inputs = keras.Input((FEATURES,))
    scores = keras.layers.Dense(units, activation=activation)(inputs)
    return compiled(keras.Model(inputs, scores), **{"metrics": None, **how})


def two_heads(**how: Any) -> Any:
    """Features that nobody labels, and classes."""
    import keras

    keras.utils.set_random_seed(5)
    inputs = keras.Input((FEATURES,))
    features = keras.layers.Dense(4, name="features")(inputs)
    kind = keras.layers.Dense(CLASSES, activation="softmax", name="kind")(features)
    return compiled(keras.Model(inputs, {"features": features, "kind": kind}), metrics=None, **how)


def assert_counted(
    listener: Listener, truth: Any, predicted: Any, classes: int = CLASSES, output: str = "output"
) -> None:
    """``truth`` below 0: none of the classes."""
    matrices = listener.matrices(output=output)
    assert sorted(matrices) == list(range(1, len(TRAIN_BATCHES) + 1))
    for number, part in enumerate(TRAIN_BATCHES, 1):
        good = truth[part] >= 0
        expected = confusion_matrix(truth[part][good], predicted[part][good], labels=range(classes))
        np.testing.assert_array_equal(matrices[number], expected)


def of_unknown_width(y: Any) -> Any:
    """A pipeline that does not say how many entries a label has."""
    import tensorflow as tf

    def forget(x: Any, label: Any) -> Any:
        label = tf.py_function(lambda value: value, [label], label.dtype)
        label.set_shape([None, None])
        return x, label

    return tf.data.Dataset.from_tensor_slices((X[:SAMPLES], y[:SAMPLES])).batch(BATCH).map(forget)


def test_one_hot_labels_whose_width_is_not_known_beforehand_are_counted(listener: Listener) -> None:
    model = dense(loss="categorical_crossentropy")
    model.fit(of_unknown_width(ONE_HOT), shuffle=False, verbose=0, callbacks=[monitor(listener)])
    assert_counted(listener, Y, said(model, X))


def test_indices_whose_width_is_not_known_beforehand_are_not_taken_for_one_hot(
    listener: Listener, capsys: Console
) -> None:
    model = dense(loss=loss("CategoricalGeneralizedCrossEntropy"))
    model.fit(of_unknown_width(Y[:, None]), shuffle=False, verbose=0, callbacks=[monitor(listener)])
    assert "labels of the shape [?, ?] do not fit scores" in capsys.readouterr().err
    assert listener.series("loss")[0] == [1, 2, 3, 4]


def test_several_labels_whose_number_is_not_known_beforehand_are_counted(listener: Listener) -> None:
    has = RANDOM.integers(0, 2, (SAMPLES, 4)).astype("float32")
    model = dense(4, "sigmoid", loss="binary_crossentropy")
    model.fit(of_unknown_width(has), shuffle=False, verbose=0, callbacks=[monitor(listener)])
    yes = np.asarray(model(X[:SAMPLES])) > 0.5
    for number, part in enumerate(TRAIN_BATCHES, 1):
        found = listener.matrices()[number]
        for label, expected in enumerate(multilabel_confusion_matrix(has[part], yes[part])):
            np.testing.assert_array_equal(found[2 * label : 2 * label + 2, 2 * label : 2 * label + 2], expected)


def test_where_nothing_tells_whether_labels_are_indices_or_one_hot_it_is_said(
    listener: Listener, capsys: Console
) -> None:
    def own(y: Any, y_pred: Any) -> Any:
        import keras

        return keras.losses.categorical_crossentropy(y, y_pred)

    dense(loss=own).fit(of_unknown_width(ONE_HOT), shuffle=False, verbose=0, callbacks=[monitor(listener)])
    assert "whether its labels are indices or one-hot can't be told" in capsys.readouterr().err
    assert listener.series("loss")[0] == [1, 2, 3, 4]


def one_label_for_many_positions() -> Any:
    import keras

    inputs = keras.Input((4, FEATURES))
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax")(inputs))

    def loss(y: Any, y_pred: Any) -> Any:
        return keras.losses.sparse_categorical_crossentropy(y, keras.ops.mean(y_pred, axis=1))

    return compiled(model, loss=loss, metrics=None), np.repeat(X[:, None], 4, axis=1), "do not fit scores of the shape"


def two_views_of_each_sample(several: bool = False) -> Any:
    import keras

    class Views(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(CLASSES, activation="sigmoid" if several else "softmax")

        def call(self, x: Any) -> Any:
            return keras.ops.concatenate([self.dense(x), self.dense(-x)], axis=0)

    def loss(y: Any, y_pred: Any) -> Any:
        of = keras.losses.binary_crossentropy if several else keras.losses.sparse_categorical_crossentropy
        return of(keras.ops.concatenate([y, y], 0), y_pred)

    loss.__name__ = "binary_views" if several else "views"
    return compiled(Views(), loss=loss, metrics=None), X, "some labels are none of the classes"


UNFIT: dict[str, tuple[Callable[[], Any], Any]] = {
    "one label for many positions": (one_label_for_many_positions, Y),
    "two views of each sample": (two_views_of_each_sample, Y),
    "two views of several labels": (lambda: two_views_of_each_sample(True), ONE_HOT),
}


@pytest.mark.parametrize("name", UNFIT)
@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "xla"])
def test_labels_that_are_not_as_many_as_predictions_end_no_training(
    name: str, jit: bool, listener: Listener, capsys: Console
) -> None:
    build, y = UNFIT[name]
    model, x, words = build()
    model.jit_compile = jit
    model.fit(x[:SAMPLES], y[:SAMPLES], **PLAIN, callbacks=[monitor(listener, num_classes=CLASSES)])
    assert listener.series("loss")[0] == [1, 2, 3, 4]
    assert words in capsys.readouterr().err
    assert (
        sum(int(counts.sum()) for flush in listener.of() for part in flush.confusion for counts in part.arrays()[4:])
        == 0
    )


def any_labels(y: Any, y_pred: Any) -> Any:
    """A loss that takes any number for a label."""
    import keras

    known = keras.ops.logical_and(y >= 0, y < 9)
    index = keras.ops.cast(keras.ops.where(known, y, keras.ops.zeros_like(y)), "int32")
    return keras.losses.sparse_categorical_crossentropy(index, y_pred)


FAR_OFF: dict[str, list[Any]] = {
    "int64": [2**33, -(2**33), 2**33 + 1, 2**62, -(2**63)],
    "float32": [np.nan, np.inf, -np.inf, 1e30, -7],
}


@pytest.mark.parametrize("kind", FAR_OFF)
@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "xla"])
def test_a_label_far_off_or_no_number_at_all_is_none_of_the_classes(
    kind: str, jit: bool, listener: Listener, capsys: Console
) -> None:
    truth = RANDOM.integers(0, 9, SAMPLES)
    y = truth.astype(kind)
    for place, value in enumerate(FAR_OFF[kind]):
        y[7 * place], truth[7 * place] = value, -1
    model = dense(9, loss=any_labels, jit_compile=jit)
    model.fit(X[:SAMPLES], y, **PLAIN, callbacks=[monitor(listener, num_classes=9)])
    assert_counted(listener, truth, said(model, X[:SAMPLES]), 9)
    assert "some labels are none of the classes 0 to 8" in capsys.readouterr().err


def test_more_classes_than_can_be_counted_are_told(
    listener: Listener, capsys: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochscope.wire.MAX_CLASSES", 2)
    dense().fit(X[:SAMPLES], Y[:SAMPLES], **PLAIN, callbacks=[monitor(listener)])
    assert "it has 3 classes, and at most 2 can be counted" in capsys.readouterr().err
    assert listener.series("loss")[0] == [1, 2, 3, 4]


def test_an_output_that_nobody_labels_is_told_and_the_other_is_counted(listener: Listener, capsys: Console) -> None:
    model = two_heads(loss={"kind": "sparse_categorical_crossentropy"})
    weight = (RANDOM.uniform(size=SAMPLES) > 0.3).astype("float32")
    given = {"sample_weight": {"kind": weight}, **PLAIN}
    model.fit(X[:SAMPLES], {"kind": Y[:SAMPLES]}, **given, callbacks=[monitor(listener)])
    predicted = np.asarray(model(X[:SAMPLES])["kind"]).argmax(axis=-1)
    assert_counted(listener, np.where(weight > 0, Y[:SAMPLES], -1), predicted, output="kind")
    assert lines(capsys.readouterr().err) == [
        "no confusion matrix of these outputs: output features: there are no labels. Loss and metrics are recorded"
    ]


def names_of(listener: Listener) -> dict[str, tuple[str, ...]]:
    return {output.name: output.class_names for output in listener.info().outputs}


BIRDS = ["auk", "bee-eater", "coot"]


@pytest.mark.parametrize(
    "told", [{"class_names": {"kind": BIRDS}}, {"task": {"kind": "classes"}}], ids=["names", "task"]
)
def test_the_only_output_goes_by_the_name_that_a_person_gives_it(told: Any, listener: Listener) -> None:
    import keras

    inputs = keras.Input((FEATURES,))
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax", name="kind")(inputs))
    compiled(model, loss="mse" if "task" in told else "categorical_crossentropy", metrics=None)
    history = model.fit(X[:SAMPLES], ONE_HOT[:SAMPLES], **PLAIN, callbacks=[monitor(listener, **told)]).history
    assert list(names_of(listener)) == ["kind"]
    assert_counted(listener, Y, said(model, X), output="kind")
    assert ("recall/auk" if "class_names" in told else "recall/0") in history


def both() -> Any:
    """Two outputs of classes."""
    import keras

    inputs = keras.Input((FEATURES,))
    kind = keras.layers.Dense(CLASSES, activation="softmax", name="kind")(inputs)
    sick = keras.layers.Dense(1, activation="sigmoid", name="sick")(inputs)
    losses = {"kind": "sparse_categorical_crossentropy", "sick": "binary_crossentropy"}
    return compiled(keras.Model(inputs, {"kind": kind, "sick": sick}), loss=losses, metrics=None, run_eagerly=True)


NAMED: dict[str, tuple[Any, list[str], list[str]]] = {
    "a list that fits one of them": (BIRDS, BIRDS, []),
    "a list that fits none": (
        [*BIRDS, "dodo"],
        ["0", "1", "2"],
        ["class_names are not used: say by class_names={name: [...]} of which output: 'kind', 'sick'"],
    ),
    "another output": (
        {"kind": BIRDS, "kid": ["yes", "no"]},
        BIRDS,
        ["class_names of 'kid' are not used: the outputs that are counted are 'kind', 'sick'"],
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_names_go_to_the_output_that_they_fit_or_it_is_said(name: str, listener: Listener, capsys: Console) -> None:
    given, expected, words = NAMED[name]
    y = {"kind": Y[:SAMPLES], "sick": YES[:SAMPLES]}
    both().fit(X[:SAMPLES], y, **PLAIN, callbacks=[monitor(listener, class_names=given)])
    assert names_of(listener) == {"kind": tuple(expected), "sick": ("0", "1")}
    assert lines(capsys.readouterr().err) == words
