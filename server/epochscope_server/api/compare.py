"""Two runs side by side: the signed difference of their matrices, and of each class's rates, with intervals."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from epochscope_server.analysis import rates
from epochscope_server.analysis.compare import difference, row_shares
from epochscope_server.analysis.confusion import Confusion
from epochscope_server.analysis.rates import Rate
from epochscope_server.api import confusion
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.rooms import EpochNumber, From, InRooms, LabelName, OutputName, Rooms, Split, To
from epochscope_server.errors import InvalidError

router = APIRouter(tags=["compare"], responses=ERRORS)

MAX_RUNS = 8
TwoRuns = Annotated[str, Query(description="ids of two runs, with a comma between", max_length=300)]


class CompareAnswer(BaseModel):
    split: str
    class_names: list[str]
    runs: list[dict[str, Any]] = Field(description="id and window of each: the first is compared with")
    difference: list[list[float | None]] = Field(
        description="share of the true class in the second run minus that in the first; null without support"
    )
    classes: list[dict[str, Any]] = Field(
        description="per class recall, precision, f1: first, second, difference, each {value, low, high}"
    )


@router.get("/compare", response_model=CompareAnswer)
def get_compare(
    runs: TwoRuns,
    rooms: InRooms,
    split: Split = "val",
    from_: From = None,
    to: To = None,
    epoch: EpochNumber = None,
    output: OutputName = None,
    label: LabelName = None,
) -> Json:
    """The second run minus the first, over the same window or epoch of both."""
    uids = several(runs)
    if len(uids) != 2:
        raise InvalidError("two_runs_needed", "A difference is of two runs; name two ids with a comma between", "runs")
    first, second = pair(rooms, uids, split, from_, to, epoch, output, label)
    values = {name: (_rates(first, name), _rates(second, name)) for name in ("recall", "precision", "f1")}
    classes = [
        {
            "class_name": class_name,
            **{
                name: {
                    "first": _one(a, index),
                    "second": _one(b, index),
                    "difference": _one(difference(a, b), index),
                }
                for name, (a, b) in values.items()
            },
        }
        for index, class_name in enumerate(first.class_names)
    ]
    return Json(
        {
            "split": split,
            "class_names": first.class_names,
            "runs": [
                {"id": uid, "from": one.start, "to": one.stop, "epoch": one.epoch}
                for uid, one in zip(uids, (first, second), strict=True)
            ],
            "difference": (row_shares(second.counts) - row_shares(first.counts)).tolist(),
            "classes": classes,
        }
    )


def several(runs: str) -> list[str]:
    """The ids in ``runs``, each once."""
    uids = list(dict.fromkeys(uid for uid in runs.split(",") if uid))
    if not 1 <= len(uids) <= MAX_RUNS:
        raise InvalidError("bad_runs", f"Name 1 to {MAX_RUNS} runs, with commas between their ids", "runs")
    return uids


def pair(
    rooms: Rooms,
    uids: list[str],
    split: str,
    start: int | None,
    stop: int | None,
    epoch: int | None,
    output: str | None,
    label: str | None,
) -> tuple[Confusion, Confusion]:
    """The matrices of two runs over the same window.

    Raises:
        InvalidError: their classes are not the same, so there is nothing to subtract.
    """
    first, second = (confusion.read(rooms, uid, split, start, stop, epoch, output, label) for uid in uids)
    if first.class_names != second.class_names:
        raise InvalidError("other_classes", "The two runs do not have the same classes in the same order", "runs")
    return first, second


def _rates(one: Confusion, name: str) -> Rate:
    tp = np.diagonal(one.counts)
    fp, fn = one.counts.sum(axis=0) - tp, one.counts.sum(axis=1) - tp
    return {"recall": rates.recall(tp, fn), "precision": rates.precision(tp, fp), "f1": rates.f1(tp, fp, fn)}[name]


def _one(rate: Rate, index: int) -> dict[str, float]:
    return {"value": float(rate.value[index]), "low": float(rate.low[index]), "high": float(rate.high[index])}
