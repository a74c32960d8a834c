"""Any training, cut into flushes anyhow, some sent again: every window is what a plain count over all samples says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage import Service, Training, counted


@dataclass
class Told:
    """A random training: labels and guesses of each step, where its flushes end, which of them are sent twice."""

    classes: int
    batches: list[tuple[list[int], list[int]]]
    cuts: list[int]
    again: list[int]


@st.composite
def trainings(draw: st.DrawFn) -> Told:
    classes = draw(st.integers(1, 6))
    label = st.integers(0, classes - 1)
    pairs = st.lists(st.tuples(label, label), max_size=8)
    batches = draw(st.lists(pairs, min_size=1, max_size=30))
    cuts = sorted(draw(st.sets(st.integers(1, len(batches)), max_size=5)) | {len(batches)})
    again = draw(st.lists(st.integers(0, len(cuts) - 1), max_size=4))
    return Told(classes, [([t for t, _ in batch], [p for _, p in batch]) for batch in batches], cuts, again)


def counted_plainly(told: Told, start: int, stop: int) -> list[list[int]]:
    matrix = [[0] * told.classes for _ in range(told.classes)]
    for labels, guesses in told.batches[start - 1 : stop - 1]:
        for true, predicted in zip(labels, guesses, strict=True):
            matrix[true][predicted] += 1
    return matrix


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=trainings(), data=st.data())
def test_every_window_equals_a_plain_count(service: Service, told: Told, data: st.DataObject) -> None:
    training = Training(service, class_names=tuple(f"c{index}" for index in range(told.classes)))
    posted = []
    for first, stop in zip([0, *told.cuts], told.cuts, strict=False):
        flush = training.flush(confusion=[counted(told.batches[first:stop], first + 1)])
        assert training.post(flush).status_code == 200
        posted.append(flush)
    for index in told.again:
        assert training.post(posted[index]).json() == {"acked": len(posted)}
    total = len(told.batches)
    start = data.draw(st.integers(1, total))
    stop = data.draw(st.integers(start + 1, total + 1))
    answer = training.get("/confusion", **{"from": start, "to": stop})
    assert answer["counts"] == counted_plainly(told, start, stop)
    width = data.draw(st.integers(1, total + 1))
    curves = training.get("/classes", width=width)
    for point, (begin, end) in enumerate(zip(curves["from"], curves["to"], strict=True)):
        matrix: Any = np.array(counted_plainly(told, begin, end))
        hit = matrix.diagonal()
        assert [row[point] for row in curves["tp"]] == hit.tolist()
        assert [row[point] for row in curves["fn"]] == (matrix.sum(axis=1) - hit).tolist()
        assert [row[point] for row in curves["fp"]] == (matrix.sum(axis=0) - hit).tolist()
