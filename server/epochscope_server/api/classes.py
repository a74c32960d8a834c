"""Per-class curves: support, recall, precision and F1 of consecutive windows, or epoch by epoch."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from epochscope_server import window
from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.rates import Whole
from epochscope_server.api.answer import ERRORS, Json, RateAnswer, rate
from epochscope_server.api.rooms import (
    ChosenOutput,
    From,
    InRooms,
    LabelName,
    OutputName,
    Rooms,
    RunId,
    Split,
    To,
    chosen_output,
)
from epochscope_server.errors import InvalidError
from epochscope_server.store import classes, runs, spans

router = APIRouter(tags=["classes"], responses=ERRORS)

MAX_VALUES = 500_000  # classes times points of one answer

By = Annotated[Literal["batch", "epoch"], Query(description="windows of steps, or epochs")]
Points = Annotated[int | None, Query(ge=1, le=10_000, description="at most so many windows, of equal width")]
Width = Annotated[int | None, Query(ge=1, description="steps of each window, instead of points")]


class ClassesAnswer(BaseModel):
    """Curves are [class][point]; window p of them is steps `[from[p], to[p])`."""

    split: str
    class_names: list[str]
    from_: list[int] = Field(alias="from")
    to: list[int]
    epoch: list[int] | None
    support: list[list[int]]
    tp: list[list[int]]
    fp: list[list[int]]
    fn: list[list[int]]
    recall: RateAnswer
    precision: RateAnswer
    f1: RateAnswer


@router.get("/runs/{run}/classes", response_model=ClassesAnswer)
def get_classes(
    run: RunId,
    rooms: InRooms,
    split: Split = "train",
    by: By = "batch",
    from_: From = None,
    to: To = None,
    points: Points = None,
    width: Width = None,
    output: OutputName = None,
    label: LabelName = None,
) -> Json:
    """Exact window sums and the rates that follow, each with its 95 % Wilson interval.

    Of an output whose samples may have several labels: how each label fared at saying yes; with `label=` the two
    classes of that label, no and yes.
    """
    curves = read(rooms, run, split, by, from_, to, points, width, output, label)
    return Json(
        {
            "split": split,
            "class_names": curves.class_names,
            "from": curves.start.tolist(),
            "to": curves.stop.tolist(),
            "epoch": None if curves.epoch is None else curves.epoch.tolist(),
            "support": curves.support.tolist(),
            "tp": curves.tp.tolist(),
            "fp": curves.fp.tolist(),
            "fn": curves.fn.tolist(),
            "recall": rate(curves.recall),
            "precision": rate(curves.precision),
            "f1": rate(curves.f1),
        }
    )


def read(
    rooms: Rooms,
    uid: str,
    split: str,
    by: str,
    start: int | None,
    stop: int | None,
    points: int | None,
    width: int | None,
    output: str | None,
    label: str | None,
) -> ClassCurves:
    """The curves of run ``uid``, for every route that shows them."""
    if points is not None and width is not None:
        raise InvalidError("two_widths", "Ask for points or for width, not for both", "width")
    if by == "epoch" and (points is not None or width is not None):
        raise InvalidError("two_widths", "By epoch each point is an epoch; points and width go with by=batch", "by")
    with rooms.database.read() as connection:
        run = runs.get(connection, uid)
        chosen = chosen_output(run, output, label)
        class_names = chosen.class_names
        first, end = window.clip(start, stop, run["steps"].get(split, 0))
        epochs = None
        if by == "epoch":
            covered = [span for span in spans.of_run(connection, run, split) if first <= span["from"] < end]
            starts, stops, epochs = (
                np.array([span[name] for span in covered], np.int64) for name in ("from", "to", "epoch")
            )
        else:
            starts, stops = window.cut(first, end, points, width, max(MAX_VALUES // len(class_names), 1))
        fetched = classes.fetch(connection, rooms.blocks, run, chosen.index, split, starts, stops)
    return _curves(chosen, fetched, split, starts, stops, epochs)


def _curves(
    chosen: ChosenOutput, fetched: classes.Curves, split: str, starts: Whole, stops: Whole, epochs: Whole | None
) -> ClassCurves:
    """Of labels: how each fared at saying yes; of one label: its two classes, no and yes."""
    indices = None
    if chosen.labels:
        indices = 2 * np.arange(len(chosen.class_names)) + 1
    elif chosen.label is not None:
        indices = 2 * chosen.label + np.arange(2)
    support, fn, fp = fetched.sums(indices)
    return ClassCurves(split, chosen.class_names, starts, stops, epochs, tp=support - fn, fp=fp, fn=fn)
