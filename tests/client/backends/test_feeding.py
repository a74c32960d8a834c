"""Every way of feeding a model, on every backend: each batch's counts are scikit-learn's.

Runs with TensorFlow beside the other tests, with JAX and torch by ``make backends``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from listener import Listener
from sklearn.metrics import confusion_matrix
from small_models import (
    BATCH,
    CLASSES,
    FEATURES,
    ONE_HOT,
    SAMPLES,
    TRAIN_BATCHES,
    VAL_BATCH,
    VAL_BATCHES,
    X,
    Y,
    compiled,
    functional,
    said,
)

BACKEND = os.environ["KERAS_BACKEND"]
pytest.importorskip(BACKEND)
pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, of torch's tensors
]


def monitor(listener: Listener) -> Any:
    from epochscope.keras import Monitor

    return Monitor(url=listener.url)


def assert_counted(listener: Listener, guesses: Any, in_order: bool = True) -> None:
    """The counts of each batch of two epochs of training and validation; or of each of the batches of an epoch, where
    Keras does not keep their order."""
    for split, parts in (("train", TRAIN_BATCHES), ("val", VAL_BATCHES)):
        matrices = listener.matrices(split)
        assert sorted(matrices) == list(range(1, 2 * len(parts) + 1))
        expected = [confusion_matrix(Y[part], guesses[part], labels=range(CLASSES)).tolist() for part in parts]
        for epoch in range(2):
            found = [matrices[epoch * len(parts) + number].tolist() for number in range(1, len(parts) + 1)]
            assert (found if in_order else sorted(found)) == (expected if in_order else sorted(expected)), split
    assert listener.info().capture == "everything"


def fit(listener: Listener, model: Any, train: dict[str, Any], val: Any, **more: Any) -> None:
    plain = {"epochs": 2, "shuffle": False, "verbose": 0}
    model.fit(**{**plain, **train, **more}, validation_data=val, callbacks=[monitor(listener)])


TRAIN, VALIDATION = slice(0, SAMPLES), slice(SAMPLES, None)
SIZES = {"batch_size": BATCH, "validation_batch_size": VAL_BATCH}


def generator(parts: list[slice]) -> Iterator[Any]:
    while True:
        for part in parts:
            yield X[part], Y[part]


def test_a_generator_is_counted_batch_by_batch(listener: Listener) -> None:
    model = functional()
    arrays = {"x": generator(TRAIN_BATCHES), "steps_per_epoch": len(TRAIN_BATCHES)}
    fit(listener, model, arrays, (X[VALIDATION], Y[VALIDATION]), validation_batch_size=VAL_BATCH)
    assert_counted(listener, said(model, X))


def py_dataset(parts: list[slice], **how: Any) -> Any:
    import keras

    class Feed(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return len(parts)

        def __getitem__(self, index: int) -> Any:
            return X[parts[index]], Y[parts[index]]

    return Feed(**how)


@pytest.mark.parametrize(
    "how",
    [{}, {"workers": 3}, {"workers": 2, "use_multiprocessing": True}],
    ids=["one thread", "threads", "processes"],
)
# Forked from many threads, say Python 3.12 and JAX: it is Keras's way, and how people feed it.
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_py_dataset_is_counted_whoever_fetches_its_batches(how: dict[str, Any], listener: Listener) -> None:
    model = functional()
    fit(listener, model, {"x": py_dataset(TRAIN_BATCHES, **how)}, py_dataset(VAL_BATCHES, **how))
    assert_counted(listener, said(model, X), in_order=not how)
    assert [end.status for end in listener.ends()] == ["finished"]  # those processes have not ended it


def test_a_data_loader_of_torch_is_counted_batch_by_batch(listener: Listener) -> None:
    torch = pytest.importorskip("torch")
    if BACKEND == "tensorflow":
        pytest.skip("one process with both is for those who have it; Keras feeds them alike")

    def loader(part: slice, size: int) -> Any:
        data = torch.utils.data.TensorDataset(torch.from_numpy(X[part]), torch.from_numpy(Y[part]))
        return torch.utils.data.DataLoader(data, batch_size=size)

    model = functional()
    fit(listener, model, {"x": loader(TRAIN, BATCH)}, loader(VALIDATION, VAL_BATCH))
    assert_counted(listener, said(model, X))


def test_a_pipeline_of_tf_data_is_counted_batch_by_batch(listener: Listener) -> None:
    tf = pytest.importorskip("tensorflow")
    model = functional()
    train, val = (
        tf.data.Dataset.from_tensor_slices((X[part], Y[part])).batch(size)
        for part, size in ((TRAIN, BATCH), (VALIDATION, VAL_BATCH))
    )
    fit(listener, model, {"x": train}, val)
    assert_counted(listener, said(model, X))


def pieces(form: type) -> Any:
    """The features in two pieces, by name or in order."""
    return {"left": X[:, :2], "right": X[:, 2:]} if form is dict else (X[:, :2], X[:, 2:])


@pytest.mark.parametrize("form", [dict, tuple, list])
def test_several_inputs_in_any_form_are_one_batch(form: type, listener: Listener) -> None:
    import keras

    left, right = keras.Input((2,), name="left"), keras.Input((FEATURES - 2,), name="right")
    scores = keras.layers.Dense(CLASSES, activation="softmax")(keras.layers.Concatenate()([left, right]))
    inputs: Any = {"left": left, "right": right} if form is dict else form((left, right))
    model, x = compiled(keras.Model(inputs, scores)), pieces(form) if form is dict else form(pieces(form))
    train, val = (keras.tree.map_structure(lambda array, part=part: array[part], x) for part in (TRAIN, VALIDATION))
    fit(listener, model, {"x": train, "y": Y[TRAIN], **SIZES}, (val, Y[VALIDATION]))
    assert_counted(listener, said(model, x))


ALIKE: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "DataFrame and Series": lambda pd: (pd.DataFrame(X), pd.Series(Y)),
    "DataFrames": lambda pd: (pd.DataFrame(X), pd.DataFrame({"kind": Y})),
    "one-hot": lambda pd: (pd.DataFrame(X), pd.get_dummies(pd.Series(Y), dtype="float32")),
}


@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize("split", [True, False], ids=["validation_split", "validation_data"])
def test_frames_and_series_of_pandas_are_counted_batch_by_batch(name: str, split: bool, listener: Listener) -> None:
    x, y = ALIKE[name](pytest.importorskip("pandas"))
    model = functional(loss="categorical_crossentropy" if name == "one-hot" else "sparse_categorical_crossentropy")
    assert not split or len(X) - int(len(X) * (1 - VAL_SHARE)) == len(X) - SAMPLES
    if split:
        model.fit(
            x, y, validation_split=VAL_SHARE, **SIZES, epochs=2, shuffle=False, verbose=0, callbacks=[monitor(listener)]
        )
    else:
        fit(listener, model, {"x": x[TRAIN], "y": y[TRAIN], **SIZES}, (x[VALIDATION], y[VALIDATION]))
    assert_counted(listener, said(model, X))


VAL_SHARE = 1 - (SAMPLES + 0.5) / len(X)


@pytest.mark.parametrize("arrays", ["weights", "one-hot labels as booleans", "float64"])
def test_the_type_of_arrays_is_no_matter(arrays: str, listener: Listener) -> None:
    model = functional(loss="categorical_crossentropy")
    y: Any = ONE_HOT.astype(bool) if "booleans" in arrays else ONE_HOT.astype("float64")
    weight = np.linspace(0.5, 2, SAMPLES) if arrays == "weights" else None
    train = {"x": X[TRAIN].astype("float64"), "y": y[TRAIN], "sample_weight": weight, **SIZES}
    fit(listener, model, train, (X[VALIDATION], y[VALIDATION]))
    assert_counted(listener, said(model, X))
