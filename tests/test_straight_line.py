"""The way of a number from ``fit()`` to the figure that a browser draws, in one walk, and the files it goes through.

The model learns nothing (its learning rate is 0), so what it predicted in every batch can be computed again by
Keras itself, and counted by scikit-learn.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sealing import seal
from sklearn.metrics import confusion_matrix, f1_score
from stage import Service

ROOT = Path(__file__).parent.parent
CLASSES, BATCH, SAMPLES = ("cat", "dog", "eel"), 16, 90


def array(column: Any) -> np.ndarray:
    """A column of a figure as Plotly reads it."""
    if not isinstance(column, dict):
        return np.array([np.nan if value is None else value for value in column], float)
    flat = np.frombuffer(base64.b64decode(column["bdata"]), np.dtype(column["dtype"]).newbyteorder("<"))
    return flat.reshape([int(side) for side in str(column.get("shape", len(flat))).split(",")])


class Walk:
    """One fit of two epochs with Monitor attached, and what Keras says that it predicted."""

    def __init__(self, service: Service, spool_dir: Path) -> None:
        import keras
        from epochscope.keras import Monitor

        keras.utils.set_random_seed(7)
        random = np.random.default_rng(7)
        self.x = random.normal(size=(SAMPLES, 4)).astype("float32")
        self.y = random.integers(0, len(CLASSES), SAMPLES)
        x_val, self.y_val = random.normal(size=(50, 4)).astype("float32"), random.integers(0, len(CLASSES), 50)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(len(CLASSES), activation="softmax")])
        model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
        self.monitor = Monitor(project="walk", class_names=CLASSES, url=service.url, spool_dir=spool_dir)
        self.history = model.fit(
            self.x, self.y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0,
            validation_data=(x_val, self.y_val), validation_batch_size=20, callbacks=[self.monitor],
        ).history  # fmt: skip
        self.guesses = model.predict(self.x, verbose=0).argmax(axis=1)
        self.guesses_val = model.predict(x_val, verbose=0).argmax(axis=1)
        one = slice(BATCH, 2 * BATCH)
        self.loss_of_second_batch = model.evaluate(self.x[one], self.y[one], verbose=0)[0]
        self.service, self.run = service, self.monitor.run_id
        seal(service)

    def get(self, path: str, **query: Any) -> Any:
        return self.service.get(f"/runs/{self.run}{path}", **query)

    def figure(self, name: str, **query: Any) -> Any:
        return self.service.get(f"/figures/{name}", run=self.run, **query)


@pytest.fixture(scope="module")
def walk(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return Walk(service, tmp_path_factory.mktemp("spool"))


@pytest.mark.keras
def test_the_run_arrives_whole(walk: Walk) -> None:
    run = walk.get("")
    assert (run["status"], run["steps"], run["epoch"]) == ("finished", {"train": 12, "val": 6}, 2)
    assert run["outputs"][0]["class_names"] == list(CLASSES)


@pytest.mark.keras
def test_the_counts_of_a_batch_are_those_of_its_predictions(walk: Walk) -> None:
    for step in range(1, 13):
        batch = slice((step - 1) % 6 * BATCH, ((step - 1) % 6 + 1) * BATCH)
        expected = confusion_matrix(walk.y[batch], walk.guesses[batch], labels=range(3))
        assert walk.get("/confusion", **{"from": step, "to": step + 1})["counts"] == expected.tolist()


@pytest.mark.keras
@pytest.mark.parametrize("epoch", [1, 2])
def test_an_epoch_is_the_whole_data_and_the_pass_after_it_the_whole_validation(walk: Walk, epoch: int) -> None:
    for split, labels, guesses in (("train", walk.y, walk.guesses), ("val", walk.y_val, walk.guesses_val)):
        expected = confusion_matrix(labels, guesses, labels=range(3)).tolist()
        assert walk.get("/confusion", split=split, epoch=epoch)["counts"] == expected


@pytest.mark.keras
def test_the_loss_of_a_batch_is_its_own(walk: Walk) -> None:
    (series,) = walk.get("/series", keys="loss", **{"from": 2, "to": 3})["series"]
    assert series["value"] == [pytest.approx(walk.loss_of_second_batch, rel=1e-5)]


@pytest.mark.keras
def test_the_matrix_that_is_drawn_is_the_matrix_that_was_counted(walk: Walk) -> None:
    figure = walk.figure("confusion", split="val", epoch=2)
    drawn = np.nansum([array(trace["z"]) for trace in figure["data"] if trace["type"] == "heatmap"][:1], axis=0)
    assert drawn.tolist() == confusion_matrix(walk.y_val, walk.guesses_val, labels=range(3)).tolist()


@pytest.mark.keras
def test_the_curve_that_is_drawn_is_scikit_learns_f1(walk: Walk) -> None:
    figure = walk.figure("classes", split="train", by="epoch", metric="f1", focus="0,1,2")
    expected = f1_score(walk.y, walk.guesses, average=None, labels=range(3))
    lines = {trace.get("name"): array(trace["y"]) for trace in figure["data"] if trace.get("name") in CLASSES}
    for name, value in zip(CLASSES, expected, strict=True):
        np.testing.assert_allclose(lines[name][~np.isnan(lines[name])], [value] * 2, rtol=1e-6)


@pytest.mark.keras
def test_history_holds_the_same_numbers_as_plain_floats(walk: Walk) -> None:
    expected = f1_score(walk.y_val, walk.guesses_val, average=None, labels=range(3))
    for name, value in zip(CLASSES, expected, strict=True):
        assert walk.history[f"val_f1/{name}"] == pytest.approx([value] * 2)
    assert {type(value) for values in walk.history.values() for value in values} == {float}


def test_every_file_on_the_readmes_line_is_there() -> None:
    text = (ROOT / "README.md").read_text()
    line = text[text.index("## The straight line") :]
    picture = line[line.index("```") : line.index("```", line.index("```") + 3)]
    rooms = [
        ROOT / "client_callback/epochscope",
        ROOT / "server/epochscope_server",
        ROOT / "frontend/epochscope_web/static",
    ]
    named = set(re.findall(r"[a-z_]+(?:/[a-z_]+)*\.(?:py|js)", picture))
    assert len(named) >= 12
    for name in named:
        assert any((room / name).exists() for room in rooms), name
