"""Copies of a Monitor, by copy, pickle or a wrapper of scikit-learn: each records its own fits, and disturbs none."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from listener import Listener
from small_models import SAMPLES, Y, functional
from small_models import X as FEATURES

pytestmark = pytest.mark.keras

WAYS: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda monitor: pickle.loads(pickle.dumps(monitor)),
}
FIT: dict[str, Any] = {"x": FEATURES[:SAMPLES], "y": Y[:SAMPLES], "batch_size": 10, "verbose": 0}


@pytest.mark.parametrize("way", WAYS)
def test_copies_made_before_in_and_after_a_fit_record_runs_of_their_own(way: str, listener: Listener) -> None:
    import keras
    from epochscope.keras import Monitor

    monitor = Monitor("p", url=listener.url, class_names=["a", "b", "c"], params={"of": "mine"})
    copies = [WAYS[way](monitor)]
    model = functional()
    model.fit(
        **FIT, epochs=2, callbacks=[monitor, keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: copies.append(WAYS[way](monitor))
        )],
    )  # fmt: skip
    copies.append(WAYS[way](monitor))
    assert [one.run_id for one in copies] == [None] * 4
    for one in copies:
        assert one.model is None
        one.log("of no run yet", 1.0)
        functional().fit(**FIT, callbacks=[one])
    runs = [monitor.run_id, *(one.run_id for one in copies)]
    assert listener.runs == runs
    assert len(set(runs)) == 5
    for run, epochs in zip(runs, (2, 1, 1, 1, 1), strict=True):
        assert listener.series("loss", run=run)[0] == list(range(1, 5 * epochs + 1))
        assert sum(int(matrix.sum()) for matrix in listener.matrices(run=run).values()) == SAMPLES * epochs
        assert listener.info(run).params["of"] == "mine"
        assert [end.status for end in listener.ends(run)] == ["finished"]


def test_an_estimator_of_scikit_learn_clones_it(listener: Listener) -> None:
    from epochscope.keras import Monitor
    from sklearn.base import BaseEstimator, clone

    class Classifier(BaseEstimator):  # type: ignore[misc]
        def __init__(self, callbacks: list[Any]) -> None:
            self.callbacks = callbacks

        def fit(self) -> None:
            functional().fit(**FIT, callbacks=self.callbacks)

    first = Classifier([Monitor(url=listener.url)])
    first.fit()
    for _ in range(2):
        clone(first).fit()
    assert len(listener.runs) == 3
    for run in listener.runs:
        assert sum(int(matrix.sum()) for matrix in listener.matrices(run=run).values()) == SAMPLES


def test_a_copy_of_a_monitor_that_goes_on_with_a_run_does_so_too() -> None:
    from epochscope.keras import Monitor

    assert copy.deepcopy(Monitor(resume="run0000001")).run_id == "run0000001"
