"""One cell of the matrix over the course of a training: how often a class was taken for another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from epochscope_server.analysis.curves import CellCurve
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.asked import AskedCurves, InCurves
from epochscope_server.api.classes import MAX_VALUES, stretches
from epochscope_server.api.fresh import Fresh
from epochscope_server.api.rooms import InRooms, Rooms, RunId, chosen_output
from epochscope_server.errors import InvalidError, NotFoundError
from epochscope_server.store import cell as stored
from epochscope_server.store import classes, pyramid, runs, spans

router = APIRouter(tags=["classes"], responses=ERRORS)

POINTS = 200  # unasked: nodes of 512 steps then do for a training of 100,000

ClassName = Annotated[str, Query(description="a class by name, or by index where none is called so", max_length=256)]


class CellRate(BaseModel):
    """With its 95 % Wilson interval; null is unknown (no support), never 0."""

    value: list[float | None]
    low: list[float | None]
    high: list[float | None]


class CellAnswer(BaseModel):
    """Window p is steps `[from[p], to[p])`."""

    split: str
    true: str
    predicted: str
    from_: list[int] = Field(alias="from")
    to: list[int]
    epoch: list[int] | None
    count: list[int] = Field(description="samples of the true class that were taken for the predicted one")
    support: list[int] = Field(description="samples of the true class")
    rate: CellRate = Field(description="count by support")


@router.get("/runs/{run}/cell", response_model=CellAnswer)
def get_cell(
    run: RunId,
    rooms: InRooms,
    fresh: Fresh,
    true: ClassName,
    predicted: ClassName,
    asked: InCurves,
) -> Json:
    """The trajectory of one confusion (or, with both classes the same, of a class's recall)."""
    if asked.by == "batch" and asked.points is None and asked.width is None:
        asked = replace(asked, points=POINTS)
    (curve,) = read(rooms, run, [(true, predicted)], asked)
    rate = curve.rate
    return Json(
        {
            "split": asked.split,
            "true": curve.true,
            "predicted": curve.predicted,
            "from": curve.start.tolist(),
            "to": curve.stop.tolist(),
            "epoch": None if curve.epoch is None else curve.epoch.tolist(),
            "count": curve.count.tolist(),
            "support": curve.support.tolist(),
            "rate": {name: getattr(rate, name).tolist() for name in ("value", "low", "high")},
        },
        headers=fresh,
    )


def read(
    rooms: Rooms,
    uid: str,
    cells: Sequence[tuple[str, str]],
    asked: AskedCurves,
) -> list[CellCurve]:
    """The trajectories of ``cells`` (true class, predicted class) of run ``uid`` over the same windows, for every
    route that shows one."""
    with rooms.database.read() as connection:
        names = chosen_output(runs.get(connection, uid), asked.output, asked.label).class_names
    pairs = [(index_of(true, names, "true"), index_of(predicted, names, "predicted")) for true, predicted in cells]
    return of_pairs(rooms, uid, pairs, asked)


def of_pairs(rooms: Rooms, uid: str, pairs: Sequence[tuple[int, int]], asked: AskedCurves) -> list[CellCurve]:
    """The same, the classes given by index."""
    with rooms.database.read() as connection:
        run = runs.get(connection, uid)
        chosen = chosen_output(run, asked.output, asked.label)
        if chosen.labels:
            raise InvalidError("label_needed", "Each label of this output has a matrix of its own; name one", "label")
        names = chosen.class_names
        covered = spans.of_run(connection, run, asked.split) if asked.by == "epoch" else None
        last = run["steps"].get(asked.split, 0)
        starts, stops, epochs = stretches(asked, covered, last, MAX_VALUES, pyramid.LEAF, unasked=POINTS)
        first = 2 * chosen.label if chosen.label is not None else 0
        counted = stored.fetch(connection, rooms.blocks, run, chosen.index, asked.split, starts, stops)
        summed = classes.fetch(connection, rooms.blocks, run, chosen.index, asked.split, starts, stops)
    support, _, _ = summed.sums(np.array([first + true for true, _ in pairs]))
    counts = counted.counts([(first + true, first + predicted) for true, predicted in pairs])
    return [
        CellCurve(asked.split, names[true], names[predicted], starts, stops, epochs, count, seen)
        for (true, predicted), count, seen in zip(pairs, counts, support, strict=True)
    ]


def index_of(name: str, class_names: tuple[str, ...], field: str) -> int:
    if name in class_names:
        return class_names.index(name)
    if name.isdecimal() and int(name) < len(class_names):
        return int(name)
    raise NotFoundError(
        "unknown_class", f"There is no class {name!r}; name one, or give its index, 0 to {len(class_names) - 1}", field
    )
