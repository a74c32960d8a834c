"""The axes on which a run's training can be shown: by step, epoch, samples seen or time, as far as it was recorded."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query

from epochscope_server.analysis import rulers
from epochscope_server.analysis.rulers import Ruler
from epochscope_server.api import classes, series
from epochscope_server.api.asked import AskedCurves
from epochscope_server.api.rooms import Rooms
from epochscope_server.errors import NotFoundError
from epochscope_server.store import runs, spans

SECONDS = "system/seconds"  # told now and then by the training side: how long it has trained
WINDOWS = 300  # in which samples are counted: between their ends it goes straight

Unit = Annotated[
    Literal["step", "epoch", "samples", "time"] | None,
    Query(description="what stands on x; left out: steps, or epochs where all of it is by epoch"),
]


def ruler(rooms: Rooms, uid: str, unit: str) -> Ruler:
    """The axis of ``unit`` for training steps of run ``uid``; where it was not recorded it knows no place."""
    with rooms.database.read() as connection:
        run = runs.get(connection, uid)
        covered = spans.of_run(connection, run, "train")
    if unit == "epoch":
        return rulers.by_epoch(covered, run["batches_per_epoch"])
    if unit == "samples":
        return _by_samples(rooms, uid, run, covered)
    if unit == "time":
        return _by_time(rooms, uid, covered)
    return rulers.by_step(covered)


def _by_samples(rooms: Rooms, uid: str, run: Any, covered: list[dict[str, Any]]) -> Ruler:
    """Every sample has one true class, or is or is not of a label: what an output counted is what was seen."""
    if not run["outputs"] or not run["steps"].get("train"):
        return Ruler("samples")
    output = run["outputs"][0]
    label = output["class_names"][0] if output.get("labels") else None
    windows = max(1, min(WINDOWS, classes.MAX_VALUES // max(len(output["class_names"]), 2)))
    seen = classes.read(rooms, uid, AskedCurves(output=output["name"], label=label, points=windows))
    counted = seen.support.sum(axis=0)
    return rulers.by_samples(covered, seen.stop, counted) if counted.any() else Ruler("samples")


def _by_time(rooms: Rooms, uid: str, covered: list[dict[str, Any]]) -> Ruler:
    try:
        (told,) = series.read(rooms, uid, "train", [SECONDS], "batch", None, None, None)
    except NotFoundError:
        return Ruler("time")
    return rulers.by_time(covered, told.step, told.value)
