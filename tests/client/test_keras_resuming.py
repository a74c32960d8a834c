"""Monitor(resume=...): a run that another process has begun goes on at the right steps, and its latest word counts.

Each fit here has a Monitor of its own, as another process would; the service is a real one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from listener import Listener, lines
from sklearn.metrics import confusion_matrix
from small_models import BATCH, CLASSES, SAMPLES, TRAIN_BATCHES, VAL_BATCHES, X, Y, compiled, functional, said
from stage import Service

pytestmark = pytest.mark.keras

TRAIN, VAL = len(TRAIN_BATCHES), len(VAL_BATCHES)
ARRAYS: dict[str, Any] = {"x": X[:SAMPLES], "y": Y[:SAMPLES], "batch_size": BATCH}
BESIDE: dict[str, Any] = {"validation_data": (X[SAMPLES:], Y[SAMPLES:]), "validation_batch_size": 10}
FIT: dict[str, Any] = {**ARRAYS, **BESIDE, "shuffle": False, "verbose": 0}
Told = dict[str, Any]


def monitor(url: str, **arguments: Any) -> Any:
    from epochscope.keras import Monitor

    return Monitor(url=url, **arguments)


def learner(**arguments: Any) -> Any:
    import keras

    return functional(optimizer=keras.optimizers.SGD(0.5), **arguments)


def dies(after_epoch: int, after_batch: int) -> Any:
    """Ends a fit in the middle of an epoch (both from 0)."""
    import keras

    class Dies(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if (self.epoch, batch) == (after_epoch, after_batch):
                raise KeyboardInterrupt

    return Dies()


class Watches:
    """What the model said in each batch of training and validation of each epoch, and how well."""

    def __init__(self) -> None:
        self.losses: dict[int, float] = {}
        self.said: dict[int, Any] = {}

    def callback(self) -> Any:
        import keras

        watches = self

        class Looks(keras.callbacks.Callback):  # type: ignore[misc]
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                watches.losses[epoch + 1] = logs["val_loss"]
                watches.said[epoch + 1] = said(self.model, X[SAMPLES:])

        return Looks()


def test_an_epoch_run_again_counts_once_and_shows_the_latest_attempt(service: Service) -> None:
    first, watches = monitor(service.url), Watches()
    model = learner()
    with pytest.raises(KeyboardInterrupt):
        model.fit(**FIT, epochs=5, callbacks=[first, watches.callback(), dies(3, 1)])  # in the fourth epoch
    first.set_model(model)  # as the end of its process would end the run
    again = learner()  # as if only the first epoch had been saved
    resumed = monitor(service.url, resume=first.run_id)
    again.fit(**FIT, epochs=3, initial_epoch=1, callbacks=[resumed, watches.callback()])
    run = service.get(f"/runs/{first.run_id}")
    assert resumed.run_id == first.run_id
    assert run["status"] == "finished"
    matrix = np.array(service.get(f"/runs/{first.run_id}/confusion", split="train")["counts"])
    assert matrix.sum() == 3 * SAMPLES
    found = service.get(f"/runs/{first.run_id}/series", split="train", keys="loss", by="batch", points=100)["series"][0]
    assert found["step"] == list(range(1, 3 * TRAIN + 1))
    for epoch in (1, 2, 3):
        counts = service.get(f"/runs/{first.run_id}/confusion", split="val", epoch=epoch)["counts"]
        expected = confusion_matrix(Y[SAMPLES:], watches.said[epoch], labels=range(CLASSES))
        np.testing.assert_array_equal(counts, expected, err_msg=f"epoch {epoch}")
    found = service.get(f"/runs/{first.run_id}/series", split="val", keys="loss", by="epoch", points=100)["series"][0]
    assert found["step"][:3] == [1, 2, 3]
    assert found["value"][:3] == pytest.approx([watches.losses[epoch] for epoch in (1, 2, 3)])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
@pytest.mark.parametrize(("save_freq", "place"), [("epoch", "after"), (3, "after"), ("epoch", "before")])
def test_what_backup_and_restore_takes_up_again_goes_on_at_the_right_steps(
    save_freq: Any, place: str, service: Service, tmp_path: Path
) -> None:
    import keras

    def restore() -> Any:
        return keras.callbacks.BackupAndRestore(tmp_path / "backup", save_freq=save_freq)

    first = monitor(service.url)
    model = learner()
    with pytest.raises(KeyboardInterrupt):
        model.fit(**FIT, epochs=4, callbacks=[restore(), first, dies(2, 2)])
    first.set_model(model)
    resumed = monitor(service.url, resume=first.run_id)
    both = [resumed, restore()] if place == "after" else [restore(), resumed]
    history = learner().fit(**FIT, epochs=4, callbacks=both)
    assert history.epoch == [2, 3]
    for split, size, per_epoch in (("train", SAMPLES, TRAIN), ("val", len(X) - SAMPLES, VAL)):
        counts = service.get(f"/runs/{first.run_id}/confusion", split=split)["counts"]
        assert np.array(counts).sum() == 4 * size
        (found,) = service.get(f"/runs/{first.run_id}/series", split=split, keys="loss", by="batch", points=99)[
            "series"
        ]
        assert found["step"] == list(range(1, 4 * per_epoch + 1))
        for epoch in (1, 2, 3, 4):
            assert (
                np.array(service.get(f"/runs/{first.run_id}/confusion", split=split, epoch=epoch)["counts"]).sum()
                == size
            )


def pipeline(x: Any, y: Any, size: int, of_unknown_length: bool = False) -> Any:
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(size)
    return data.filter(lambda *_: True) if of_unknown_length else data


def py_dataset() -> Any:
    import keras

    class Feed(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return VAL

        def __getitem__(self, index: int) -> Any:
            return X[VAL_BATCHES[index]], Y[VAL_BATCHES[index]]

    return Feed()


def endless() -> Any:
    while True:
        for part in VAL_BATCHES:
            yield X[part], Y[part]


NO_VALIDATION = {"validation_data": None, "validation_batch_size": None}
CASES: dict[str, tuple[Callable[[], Told], int, int | None]] = {
    "arrays": (dict, 3 * TRAIN, 3 * VAL),
    "the batch size of training": (lambda: {"validation_batch_size": None}, 3 * TRAIN, 3 * math.ceil(23 / BATCH)),
    "Keras's own batch size": (
        lambda: {"batch_size": None, "validation_batch_size": None},
        3 * math.ceil(SAMPLES / 32),
        3,
    ),
    "validation_steps": (lambda: {"validation_steps": 2}, 3 * TRAIN, 6),
    "validation_freq": (lambda: {"validation_freq": 2}, 3 * TRAIN, VAL),
    "validation_freq as a list": (lambda: {"validation_freq": [1, 3, 4]}, 3 * TRAIN, 2 * VAL),
    "validation_split": (lambda: {**NO_VALIDATION, "validation_split": 0.3}, 3 * 3, 3),
    "no validation": (lambda: dict(NO_VALIDATION), 3 * TRAIN, None),
    "steps_per_epoch": (lambda: {"steps_per_epoch": 2}, 3 * 2, 3 * VAL),
    "a PyDataset": (lambda: {"validation_data": py_dataset()}, 3 * TRAIN, 3 * VAL),
    "an endless generator": (lambda: {"validation_data": endless(), "validation_steps": 2}, 3 * TRAIN, 3 * 2),
    "tf.data": (lambda: {"validation_data": pipeline(X[SAMPLES:], Y[SAMPLES:], 10)}, 3 * TRAIN, 3 * VAL),
}


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("name", CASES)
def test_the_first_step_follows_from_what_fit_was_given(name: str, listener: Listener) -> None:
    told, trained, validated = CASES[name]
    given = {**FIT, **told()}
    model = functional(run_eagerly=True)
    model.fit(**given, initial_epoch=3, epochs=4, callbacks=[monitor(listener.url, resume="run0000001")])
    resumed = listener.of()[0].info
    assert resumed is not None
    assert resumed.resumed_at == {"train": trained + 1} | ({} if validated is None else {"val": validated + 1})
    assert min(listener.series("loss")[0]) == trained + 1
    if validated is not None and listener.spans("val"):
        assert listener.spans("val")[0][1] == validated + 1


def optimizer(accumulated: int | None = None, scaled: bool = False) -> Any:
    import keras

    plain = keras.optimizers.SGD(0.0, gradient_accumulation_steps=accumulated)
    return keras.optimizers.LossScaleOptimizer(plain) if scaled else plain


# Whether the optimizer counts the step that finds no data any more is TensorFlow's affair, and another one in each.
DRY: dict[str, Callable[[], Told]] = {
    "graph": lambda: {"optimizer": optimizer()},
    "eager, accumulating": lambda: {"optimizer": optimizer(3), "run_eagerly": True},
    "graph, accumulating": lambda: {"optimizer": optimizer(3)},
    "xla": lambda: {"optimizer": optimizer(), "jit_compile": True},
    "several steps at once": lambda: {"optimizer": optimizer(), "steps_per_execution": 3},
    "scaled loss, accumulating": lambda: {"optimizer": optimizer(3, scaled=True)},
}


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("name", DRY)
def test_where_the_length_of_an_epoch_is_not_known_the_optimizer_tells(
    name: str, listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    model = functional(**DRY[name]())
    data = pipeline(X[:SAMPLES], Y[:SAMPLES], BATCH, of_unknown_length=True)
    val = pipeline(X[SAMPLES:], Y[SAMPLES:], 10, of_unknown_length=True)
    plain = {"shuffle": False, "verbose": 0}
    first = monitor(listener.url)
    model.fit(data, epochs=2, **plain, callbacks=[first])
    assert listener.series("loss")[0] == list(range(1, 2 * TRAIN + 1))
    capsys.readouterr()
    resumed = monitor(listener.url, resume=first.run_id)
    model.fit(data, validation_data=val, initial_epoch=2, epochs=3, **plain, callbacks=[resumed])
    told = [flush.info.resumed_at for flush in listener.of() if flush.info is not None]
    assert {"train": 2 * TRAIN + 1, "val": 1} in told
    assert listener.series("loss")[0] == list(range(1, 3 * TRAIN + 1))
    (line,) = lines(capsys.readouterr().err)
    assert line.startswith("how many batches a validation pass has is not known beforehand")
    assert "from epoch 3 on" in line


def test_an_evaluation_by_another_process_replaces_the_earlier_one(service: Service) -> None:
    model = compiled(functional())
    first = monitor(service.url)
    model.fit(**FIT, epochs=1, callbacks=[first])
    for _ in range(2):
        another = monitor(service.url, resume=first.run_id)
        model.evaluate(X[SAMPLES:], Y[SAMPLES:], batch_size=10, verbose=0, callbacks=[another])
    test = np.array(service.get(f"/runs/{first.run_id}/confusion", split="test")["counts"])
    expected = confusion_matrix(Y[SAMPLES:], said(model, X[SAMPLES:]), labels=range(CLASSES))
    np.testing.assert_array_equal(test, expected)
    assert np.array(service.get(f"/runs/{first.run_id}/confusion", split="train")["counts"]).sum() == SAMPLES


def test_a_fit_that_has_nothing_left_to_do_says_nothing(listener: Listener) -> None:
    model = functional(run_eagerly=True)
    model.fit(**FIT, initial_epoch=2, epochs=2, callbacks=[monitor(listener.url, resume="run0000001")])
    assert listener.runs == []
