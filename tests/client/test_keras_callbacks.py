"""Keras's own callbacks act on classes, in any order with Monitor; the progress bar stays as it was."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from listener import Listener
from small_models import SAMPLES, X, Y, compiled, fit, functional

pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, when it saves
    pytest.mark.filterwarnings("error::UserWarning"),  # Keras warns where a callback does not find what it monitors
]
NAMES = ("t-shirt/top", "shirt", "boot")
EPOCHS = 4


@pytest.fixture
def monitor(listener: Listener) -> Callable[..., Any]:
    from epochscope.keras import Monitor

    return lambda **arguments: Monitor(**{"url": listener.url, "class_names": NAMES, **arguments})


@pytest.fixture(params=["before Monitor", "after Monitor"])
def ordered(request: pytest.FixtureRequest, monitor: Callable[..., Any]) -> Callable[[Any], list[Any]]:
    """A list of a callback and a Monitor."""
    return lambda other: [other, monitor()] if request.param == "before Monitor" else [monitor(), other]


VALIDATED = [pytest.param("val_f1/shirt", {}, id="validated"), pytest.param("f1/shirt", {"validation_data": None})]


def model(rate: float = 1e-9) -> Any:
    """It learns too slowly for any prediction to change, so the first epoch stays the best."""
    import keras

    return functional(optimizer=keras.optimizers.SGD(rate))


def trained(key: str, given: dict[str, Any], callbacks: list[Any], of: Any = None) -> dict[str, list[float]]:
    history: dict[str, list[float]] = fit(of or model(), Y, *callbacks, **{"epochs": EPOCHS, **given})
    assert len(set(history[key])) == 1
    return history


@pytest.mark.parametrize(("key", "given"), VALIDATED)
def test_early_stopping_stops_on_a_class(key: str, given: Any, ordered: Callable[[Any], list[Any]]) -> None:
    import keras

    stop = keras.callbacks.EarlyStopping(monitor=key, mode="max", patience=1, restore_best_weights=True)
    history = trained(key, given, ordered(stop))
    assert len(history["loss"]) == 2
    assert stop.best == history[key][0]


@pytest.mark.parametrize(("key", "given"), VALIDATED)
def test_model_checkpoint_keeps_the_best_of_a_class_and_names_it(
    key: str, given: Any, ordered: Callable[[Any], list[Any]], tmp_path: Path
) -> None:
    import keras

    name = str(tmp_path / "{epoch}") + "-{" + key + ":.4f}.weights.h5"
    best = {"monitor": key, "mode": "max", "save_best_only": True, "save_weights_only": True}
    history = trained(key, given, ordered(keras.callbacks.ModelCheckpoint(name, **best)))
    assert [path.name for path in tmp_path.glob("*.h5")] == [f"1-{history[key][0]:.4f}.weights.h5"]


@pytest.mark.parametrize(("key", "given"), VALIDATED)
def test_the_learning_rate_is_reduced_where_a_class_stands_still(
    key: str, given: Any, ordered: Callable[[Any], list[Any]], listener: Listener
) -> None:
    import keras

    reduce = keras.callbacks.ReduceLROnPlateau(monitor=key, mode="max", factor=0.5, patience=1)
    trained(key, given, ordered(reduce))
    per_epoch = listener.series("learning_rate")[1][:: -(-SAMPLES // 16)]
    assert per_epoch == pytest.approx([1e-9, 1e-9, 5e-10, 2.5e-10])


@pytest.mark.parametrize(("key", "given"), VALIDATED)
def test_csv_logger_writes_every_class(
    key: str, given: Any, ordered: Callable[[Any], list[Any]], tmp_path: Path
) -> None:
    import keras

    history = trained(key, given, ordered(keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))))
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"epoch", *history} <= set(rows[0])  # without validation Keras leaves room for it
    for column, values in history.items():
        assert [float(row[column]) for row in rows] == pytest.approx(values, nan_ok=True)


@pytest.mark.parametrize(("key", "given"), VALIDATED)
def test_tensorboard_shows_every_class(
    key: str, given: Any, ordered: Callable[[Any], list[Any]], tmp_path: Path
) -> None:
    import keras

    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = keras.callbacks.TensorBoard(str(tmp_path), write_graph=False)
    history = trained(key, given, ordered(board))
    seen = {}
    for split in ("train", "validation"):
        if (tmp_path / split).exists():
            events = accumulator.EventAccumulator(str(tmp_path / split), size_guidance={"tensors": 0})
            events.Reload()
            prefix = "val_" if split == "validation" else ""
            for tag in events.Tags()["tensors"]:
                seen[prefix + tag.removeprefix("epoch_")] = len(events.Tensors(tag))
    assert dict.fromkeys(history, EPOCHS) == {name: seen.get(name) for name in history}


@pytest.mark.parametrize(("key", "given"), VALIDATED)
def test_a_callback_of_ones_own_sees_plain_floats(key: str, given: Any, ordered: Callable[[Any], list[Any]]) -> None:
    import keras

    seen: list[dict[str, Any]] = []
    history = trained(
        key, given, ordered(keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: seen.append(dict(logs))))
    )
    assert [logs[key] for logs in seen] == history[key]
    assert {type(value) for logs in seen for value in logs.values()} == {float}


@pytest.mark.parametrize("verbose", [1, 2])
def test_of_a_thousand_classes_the_progress_bar_shows_none(
    verbose: int, monitor: Callable[..., Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras
    from keras.src.utils import progbar

    def many() -> Any:
        keras.utils.set_random_seed(5)
        inputs = keras.Input((X.shape[1],))
        return compiled(keras.Model(inputs, keras.layers.Dense(1000, activation="softmax")(inputs)))

    shown = []
    for callbacks in ([], [monitor(class_names=None)]):
        seconds = (
            itertools.count()
        )  # each look at the clock is a second later, so that what is shown depends on nothing else
        monkeypatch.setattr(progbar, "time", SimpleNamespace(time=lambda clock=seconds: float(next(clock))))
        capsys.readouterr()
        history = fit(many(), Y, *callbacks, verbose=verbose)
        shown.append(capsys.readouterr().out)
        assert len([name for name in history if name.startswith("val_f1/")]) == (1000 if callbacks else 0)
    assert shown[0] == shown[1]
    assert "val_loss" in shown[1]
