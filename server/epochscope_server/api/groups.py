"""Two groups of runs that differ by their seeds: mean and spread of each class, and whether the groups differ."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from epochscope_server.analysis.averages import averages
from epochscope_server.analysis.compare import METRICS, REAL, scores
from epochscope_server.analysis.confusion import Confusion
from epochscope_server.analysis.groups import Difference, Group, differ, group
from epochscope_server.analysis.rates import Numbers, Rate
from epochscope_server.api import confusion
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.asked import AskedMatrix, InMatrices
from epochscope_server.api.compare import OneRate
from epochscope_server.api.rooms import InRooms, Rooms
from epochscope_server.errors import InvalidError

router = APIRouter(tags=["compare"], responses=ERRORS)

MOST = 32  # runs of a group
AVERAGES = ("accuracy", "macro_recall", "macro_precision", "macro_f1")
Seeds = Query(description="ids of the runs of a group, with commas between", max_length=1200)


class GroupAnswer(BaseModel):
    mean: OneRate = Field(description="with Student's 95 % interval; null with fewer than two runs")
    spread: float | None = Field(description="standard deviation over the runs")
    runs: int


class GroupDifference(BaseModel):
    first: GroupAnswer
    second: GroupAnswer | None
    difference: OneRate | None = Field(description="second minus first, by Welch")
    p: float | None
    q: float | None = Field(description="false discovery rate among all classes; up to 0.05 it counts as real")
    real: bool


class ClassOfGroups(BaseModel):
    class_name: str
    recall: GroupDifference
    precision: GroupDifference
    f1: GroupDifference


class GroupsAnswer(BaseModel):
    split: str
    first: list[str]
    second: list[str]
    classes: list[ClassOfGroups]
    averages: dict[str, GroupDifference]


@router.get("/compare/groups", response_model=GroupsAnswer)
def get_groups(
    rooms: InRooms,
    asked: InMatrices,
    first: Annotated[str, Seeds],
    second: Annotated[str, Seeds] = "",
) -> Json:
    """Repeated runs as one: the mean over the seeds and its interval; with a second group, whether the two differ.

    Explained at `/stability.html#runs-and-seeds`.
    """
    uids, read = matrices(rooms, first, second, asked)
    return Json({"split": asked.split, "first": uids[0], "second": uids[1], **compared(read)})


def compared(read: list[list[Confusion]]) -> dict[str, Any]:
    """Classes and averages of one or two groups, as the answer has them."""
    by_metric = {metric: _told([_scored(group_of, metric) for group_of in read]) for metric in METRICS}
    by_average = _told([_averaged(group_of) for group_of in read])
    return {
        "classes": [
            {"class_name": name, **{metric: listed[index] for metric, listed in by_metric.items()}}
            for index, name in enumerate(read[0][0].class_names)
        ],
        "averages": dict(zip(AVERAGES, by_average, strict=True)),
    }


def matrices(
    rooms: Rooms, first: str, second: str, asked: AskedMatrix
) -> tuple[list[list[str]], list[list[Confusion]]]:
    """The ids of the runs of both groups, and the counts of each; ``second`` may be empty.

    Raises:
        InvalidError: no runs are named, or they do not have the same classes.
    """
    uids = [_listed(first, "first"), _listed(second, "second") if second else []]
    read = [[confusion.read(rooms, uid, asked) for uid in one] for one in uids]
    if any(one.class_names != read[0][0].class_names for group_of in read for one in group_of):
        raise InvalidError("other_classes", "The runs do not have the same classes in the same order", "second")
    return uids, read


def values(matrices: list[Confusion], metric: str) -> Numbers:
    """A rate of each class in each run, float64 [R, N]."""
    return np.stack([scores(one.counts, metric).rate.value for one in matrices])


def _listed(uids: str, field: str) -> list[str]:
    found = list(dict.fromkeys(uid for uid in uids.split(",") if uid))
    if not 1 <= len(found) <= MOST:
        raise InvalidError("bad_runs", f"Name 1 to {MOST} runs, with commas between their ids", field)
    return found


def _scored(matrices: list[Confusion], metric: str) -> Group | None:
    return group(values(matrices, metric)) if matrices else None


def _averaged(matrices: list[Confusion]) -> Group | None:
    rows = [[float(getattr(averages(one.counts), name).value) for name in AVERAGES] for one in matrices]
    return group(np.array(rows)) if rows else None


def _told(groups: list[Group | None]) -> list[dict[str, Any]]:
    first, second = groups
    assert first is not None
    found = None if second is None else differ(first, second)
    return [_one(first, second, found, index) for index in range(len(first.spread))]


def _one(first: Group, second: Group | None, found: Difference | None, index: int) -> dict[str, Any]:
    q = None if found is None else float(found.q[index])
    return {
        "first": _group(first, index),
        "second": None if second is None else _group(second, index),
        "difference": None if found is None else _rate(found.difference, index),
        "p": None if found is None else float(found.p[index]),
        "q": q,
        "real": q is not None and q <= REAL,
    }


def _group(one: Group, index: int) -> dict[str, Any]:
    return {"mean": _rate(one.mean, index), "spread": float(one.spread[index]), "runs": int(one.runs[index])}


def _rate(rate: Rate, index: int) -> dict[str, float]:
    return {name: float(getattr(rate, name)[index]) for name in ("value", "low", "high")}
