"""Per-class curves: support, recall, precision and F1 of consecutive windows, or epoch by epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, Field

from epochscope_server import window
from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.rates import Whole
from epochscope_server.api.answer import ERRORS, Json, RateAnswer, rate
from epochscope_server.api.asked import AskedCurves, InCurves
from epochscope_server.api.fresh import Fresh
from epochscope_server.api.rooms import (
    ChosenOutput,
    ClassChoice,
    InRooms,
    Rooms,
    RunId,
    chosen_classes,
    chosen_output,
)
from epochscope_server.errors import InvalidError
from epochscope_server.store import classes as stored
from epochscope_server.store import runs, spans

router = APIRouter(tags=["classes"], responses=ERRORS)

MAX_VALUES = 500_000  # classes times points of one answer


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
    fresh: Fresh,
    asked: InCurves,
    classes: ClassChoice = None,
) -> Json:
    """Exact window sums and the rates that follow, each with its 95 % Wilson interval.

    Of an output whose samples may have several labels: how each label fared at saying yes; with `label=` the two
    classes of that label, no and yes.
    """
    curves = read(rooms, run, asked, classes)
    return Json(
        {
            "split": asked.split,
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
        },
        headers=fresh,
    )


def read(
    rooms: Rooms,
    uid: str,
    asked: AskedCurves,
    classes: str | None = None,
    unit: int = window.UNIT,
    unasked: int = window.MOST_POINTS,
) -> ClassCurves:
    """The curves of run ``uid``, of all its classes or of those chosen, for every route that shows them.

    Args:
        unit, unasked: see ``window.cut``.
    """
    with rooms.database.read() as connection:
        run = runs.get(connection, uid)
        chosen = chosen_output(run, asked.output, asked.label)
        indices = chosen_classes(classes, len(chosen.class_names))
        shown = len(chosen.class_names) if indices is None else len(indices)
        hint = f" for all {shown:,} classes. Choose some with classes=, by index" if indices is None else ""
        covered = spans.of_run(connection, run, asked.split) if asked.by == "epoch" else None
        last = run["steps"].get(asked.split, 0)
        starts, stops, epochs = stretches(asked, covered, last, MAX_VALUES // shown, unit, hint, unasked)
        fetched = stored.fetch(connection, rooms.blocks, run, chosen.index, asked.split, starts, stops)
    return _curves(chosen, indices, fetched, asked.split, starts, stops, epochs)


def stretches(
    asked: AskedCurves,
    covered: list[dict[str, Any]] | None,
    last: int,
    most: int,
    unit: int = window.UNIT,
    hint: str = "",
    unasked: int = window.MOST_POINTS,
) -> tuple[Whole, Whole, Whole | None]:
    """The windows ``[start, stop)`` that are asked for, at most ``most``, and their epochs where they are epochs.

    Args:
        covered: the spans, where the windows are epochs.
        last: the last step there is.
        unit, hint, unasked: see ``window.cut``.
    """
    points, width = asked.points, asked.width
    if points is not None and width is not None:
        raise InvalidError("two_widths", "Ask for points or for width, not for both", "width")
    first, end = window.clip(asked.start, asked.stop, last)
    if covered is None:
        return *window.cut(first, end, points, width, max(most, 1), unit, hint, unasked), None
    if points is not None or width is not None:
        raise InvalidError("two_widths", "By epoch each point is an epoch; points and width go with by=batch", "by")
    inside = [span for span in covered if first <= span["from"] < end]
    starts, stops, epochs = (np.array([span[name] for span in inside], np.int64) for name in ("from", "to", "epoch"))
    return starts, stops, epochs


def _curves(
    chosen: ChosenOutput,
    indices: list[int] | None,
    fetched: stored.Curves,
    split: str,
    starts: Whole,
    stops: Whole,
    epochs: Whole | None,
) -> ClassCurves:
    """Of labels: how each fared at saying yes; of one label: its two classes, no and yes."""
    class_names = chosen.class_names
    counted = None if indices is None else np.array(indices)
    if indices is not None:
        class_names = tuple(class_names[index] for index in indices)
    if chosen.labels:
        counted = 2 * (np.arange(len(class_names)) if counted is None else counted) + 1
    elif chosen.label is not None:
        counted = 2 * chosen.label + (np.arange(2) if counted is None else counted)
    support, fn, fp = fetched.sums(counted)
    return ClassCurves(split, class_names, starts, stops, epochs, tp=support - fn, fp=fp, fn=fn)
