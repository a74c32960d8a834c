"""Confusion counts that are none, or of another shape than they say: refused by name, and nothing of them is stored."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from epochscope import wire
from stage import Training, counted

GOOD = {"steps": [1, 2], "cells": [2, 1], "true": [0, 1, 2], "predicted": [0, 2, 2], "counts": [5, 1, 3]}


def columns(**changed: Any) -> dict[str, Any]:
    """Counts of two batches, as they are posted, with some columns as they should not be."""
    packed: dict[str, Any] = {"output": "output", "split": "train"}
    for name, value in {**GOOD, **changed}.items():
        dtype = wire.STEP_DTYPE if name == "steps" else wire.COUNT_DTYPE
        packed[name] = value if isinstance(value, bytes) else np.asarray(value, dtype).tobytes()
    return packed


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"counts": np.array([5, 1.5, 3], "<f8").tobytes()}, "confusion[0]"),
        ({"true": np.array([0, -1, 2], "<i4").tobytes()}, "confusion[0].true"),
        ({"predicted": [0, 2, 3]}, "confusion[0].predicted"),
        ({"true": [0, 1]}, "confusion[0]"),
        ({"predicted": [0, 2, 2, 2]}, "confusion[0]"),
        ({"counts": [5]}, "confusion[0]"),
        ({"counts": b"12345"}, "confusion[0].counts"),
        ({"counts": np.array([5, -1, 3], "<i4").tobytes()}, "confusion[0].counts"),
        ({"cells": [2]}, "confusion[0].cells"),
        ({"cells": [2, 2]}, "confusion[0]"),
        ({"cells": [2**32 - 1, 4]}, "confusion[0]"),
        ({"cells": np.array([-1, 4], "<i4").tobytes()}, "confusion[0]"),
        ({"steps": [1, -2]}, "confusion[0].steps"),
        ({"output": 3}, "body"),
        ({"counts": [1, 2, 3.5]}, "body"),
    ],
    ids=str,
)
def test_counts_that_are_none_or_not_of_the_shape_they_say_are_refused_by_name(
    training: Training, changed: dict[str, Any], field: str
) -> None:
    training.send(confusion=[counted([([0], [0])])])
    whole = msgspec.msgpack.decode(wire.encode(training.flush()))
    told = columns(**{name: value for name, value in changed.items() if field != "body"})
    told |= changed if field == "body" else {}
    answer = training.post(msgspec.msgpack.encode({**whole, "confusion": [told]}))
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["field"] == field
    assert training.get("/confusion")["counts"] == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    fine = training.post(msgspec.msgpack.encode({**whole, "confusion": [columns()]}))  # the number is still free
    assert fine.json() == {"acked": 2}
    assert training.get("/confusion")["counts"] == [[6, 0, 0], [0, 0, 1], [0, 0, 3]]


def test_the_largest_counts_add_up_exactly_and_none_adds_nothing(training: Training) -> None:
    most = 2**31 - 1
    whole = msgspec.msgpack.decode(wire.encode(training.flush()))
    told = [columns(counts=[most, 0, 1]), columns(counts=[most, 0, most])]
    answer = training.post(msgspec.msgpack.encode({**whole, "confusion": told}))
    assert answer.json() == {"acked": 1}
    assert training.get("/confusion")["counts"] == [[2 * most, 0, 0], [0, 0, 0], [0, 0, 2**31]]
