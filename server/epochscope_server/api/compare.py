"""Two runs side by side: how their matrices, classes and averages differ, and which differences chance explains."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from epochscope_server.analysis import compare
from epochscope_server.analysis.averages import averages
from epochscope_server.analysis.compare import METRICS, REAL, Cells, Scores, difference, scores
from epochscope_server.analysis.confusion import Confusion
from epochscope_server.analysis.rates import Rate
from epochscope_server.api import confusion
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.asked import AskedPair, InPair
from epochscope_server.api.rooms import InRooms, Rooms
from epochscope_server.errors import InvalidError

router = APIRouter(tags=["compare"], responses=ERRORS)

MAX_RUNS = 8
TwoRuns = Annotated[
    str,
    Query(
        description="ids of two runs, with a comma between; or one, whose window is compared with the second window",
        max_length=300,
    ),
]


MOST_CELLS = 200  # of the cells that differ, the largest


class OneRate(BaseModel):
    """With its 95 % interval; null is unknown, never 0."""

    value: float | None
    low: float | None
    high: float | None


class DifferenceAnswer(BaseModel):
    first: OneRate
    second: OneRate
    difference: OneRate = Field(description="second minus first, with Newcombe's interval")
    p: float = Field(description="of chance alone, chi-square with Yates's correction")
    q: float = Field(description="false discovery rate among all classes; up to 0.05 it counts as real")
    real: bool


class ClassDifference(BaseModel):
    class_name: str
    recall: DifferenceAnswer
    precision: DifferenceAnswer
    f1: DifferenceAnswer


class CellDifference(BaseModel):
    true: str
    predicted: str
    first: int
    of_first: int
    second: int
    of_second: int
    difference: float = Field(description="share of the true class, second minus first")
    q: float


class AverageDifference(BaseModel):
    first: OneRate
    second: OneRate
    difference: OneRate


class ComparedRun(BaseModel):
    id: str
    from_: int = Field(alias="from")
    to: int
    epoch: int | None


class CompareAnswer(BaseModel):
    split: str
    class_names: list[str]
    runs: list[ComparedRun] = Field(description="the first is compared with")
    difference: list[list[float | None]] = Field(
        description="share of the true class in the second run minus that in the first; null without support"
    )
    classes: list[ClassDifference]
    averages: dict[str, AverageDifference] = Field(description="accuracy and macro averages")
    cells: list[CellDifference] = Field(description="the cells that really differ, the largest difference first")


@router.get("/compare", response_model=CompareAnswer)
def get_compare(
    runs: TwoRuns,
    rooms: InRooms,
    asked: InPair,
) -> Json:
    """The second run minus the first, over the same window of both or one of each; what is real, what may be chance."""
    uids = two(runs, asked)
    first, second = pair(rooms, uids, asked)
    differences = {name: told(scores(first.counts, name), scores(second.counts, name)) for name in METRICS}
    cells = compare.cells(first.counts, second.counts)
    return Json(
        {
            "split": asked.split,
            "class_names": first.class_names,
            "runs": [
                {"id": uid, "from": one.start, "to": one.stop, "epoch": one.epoch}
                for uid, one in zip(uids, (first, second), strict=True)
            ],
            "difference": cells.difference.tolist(),
            "classes": [
                {"class_name": class_name, **{name: listed[index] for name, listed in differences.items()}}
                for index, class_name in enumerate(first.class_names)
            ],
            "averages": _averages(first, second),
            "cells": _cells(first, second, cells),
        }
    )


def told(a: Scores, b: Scores) -> list[dict[str, Any]]:
    """Each class's rates, their difference, and whether it is real."""
    found = compare.differ(a, b)
    return [
        {
            "first": _one(a.rate, index),
            "second": _one(b.rate, index),
            "difference": _one(found.difference, index),
            "p": float(found.p[index]),
            "q": float(found.q[index]),
            "real": bool(found.q[index] <= REAL),
        }
        for index in range(len(a.hits))
    ]


def several(runs: str, most: int = MAX_RUNS) -> list[str]:
    """The ids in ``runs``, each once."""
    uids = list(dict.fromkeys(uid for uid in runs.split(",") if uid))
    if not 1 <= len(uids) <= most:
        raise InvalidError("bad_runs", f"Name 1 to {most} runs, with commas between their ids", "runs")
    return uids


def two(runs: str, asked: AskedPair) -> list[str]:
    """The ids of what is compared: two runs, or one run twice where a second window is asked for.

    Raises:
        InvalidError: more or fewer.
    """
    uids = several(runs)
    if len(uids) == 1 and asked.second is not None:
        return uids * 2
    if len(uids) != 2:
        raise InvalidError(
            "two_runs_needed",
            "A difference is of two runs, or of two windows of one; name two ids with a comma between, "
            "or one and a second window",
            "runs",
        )
    return uids


def pair(rooms: Rooms, uids: list[str], asked: AskedPair) -> tuple[Confusion, Confusion]:
    """The matrices of two runs, or of two windows of one.

    Raises:
        InvalidError: their classes are not the same, so there is nothing to subtract.
    """
    first = confusion.read(rooms, uids[0], asked)
    second = confusion.read(rooms, uids[1], asked.second or asked)
    if first.class_names != second.class_names:
        raise InvalidError("other_classes", "The two runs do not have the same classes in the same order", "runs")
    return first, second


def _averages(first: Confusion, second: Confusion) -> dict[str, Any]:
    a, b = averages(first.counts), averages(second.counts)
    return {
        name: {
            "first": _one(getattr(a, name)),
            "second": _one(getattr(b, name)),
            "difference": _one(difference(getattr(a, name), getattr(b, name))),
        }
        for name in ("accuracy", "macro_recall", "macro_precision", "macro_f1")
    }


def _cells(first: Confusion, second: Confusion, cells: Cells) -> list[dict[str, Any]]:
    size = np.where(cells.q <= REAL, np.abs(cells.difference), 0.0)
    names = first.class_names
    listed = []
    for flat in np.argsort(-size, axis=None, kind="stable")[:MOST_CELLS]:
        true, predicted = divmod(int(flat), len(names))
        if not size[true, predicted] > 0:
            break
        listed.append(
            {
                "true": names[true],
                "predicted": names[predicted],
                "first": int(first.counts[true, predicted]),
                "of_first": int(first.counts[true].sum()),
                "second": int(second.counts[true, predicted]),
                "of_second": int(second.counts[true].sum()),
                "difference": float(cells.difference[true, predicted]),
                "q": float(cells.q[true, predicted]),
            }
        )
    return listed


def _one(rate: Rate, index: int | tuple[()] = ()) -> dict[str, float]:
    return {name: float(getattr(rate, name)[index]) for name in ("value", "low", "high")}
