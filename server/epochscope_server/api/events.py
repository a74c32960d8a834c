"""What happened to a training while it ran: epochs that began, learning rates and class weights that changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from epochscope_server.analysis.changes import Event, jumps, near
from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.analysis.stability import Stability
from epochscope_server.api import series
from epochscope_server.api.rooms import Rooms
from epochscope_server.store import runs, spans

RATE, WEIGHT = "learning_rate", "class_weight/"
SUDDEN = 1.25  # times: a learning rate or weight that changes by less at once is a schedule's glide
MARGIN = 5  # steps beside a change in which an event counts as near, at least


def noted(rooms: Rooms, run: Mapping[str, Any], found: Stability) -> Stability:
    """``found`` with the events near each of its changes; learning is near everything and gets none."""
    told = [change for change in found.changes if change.kind != "learning"]
    if not told or found.curves.split != "train":
        return found
    margin = max(MARGIN, int(found.curves.stop[0] - found.curves.start[0]))
    weighted = {found.curves.class_names[change.index] for change in told}
    happened = _events(rooms, run, weighted)
    return replace(
        found,
        changes=[near(change, happened, margin) if change.kind != "learning" else change for change in found.changes],
    )


def _events(rooms: Rooms, run: Mapping[str, Any], weighted: set[str]) -> list[Event]:
    """The events of training in order of steps; class weights of the classes ``weighted`` alone."""
    with rooms.database.read() as connection:
        covered = spans.of_run(connection, run, "train")
        there = runs.series_of(connection, run["id"])
    begins = {span["epoch"]: span["from"] for span in covered}
    happened = [Event(step, "epoch", f"epoch {epoch} begins") for epoch, step in begins.items() if step > 1]
    wanted = [
        (one["key"], one["by"])
        for one in there
        if one["split"] == "train" and (one["key"] == RATE or _class_of(one["key"]) in weighted)
    ]
    by_batch = {key for key, by in wanted if by == "batch"}
    for key, by in wanted:
        if by == "run" or (by == "epoch" and key in by_batch):
            continue
        (points,) = series.read(rooms, run["uid"], "train", [key], by, None, None, None, 0.0)
        steps, values = (points.step, points.value) if by == "batch" else _at_steps(points.step, points.value, begins)
        what, name = (RATE, "learning rate") if key == RATE else ("class_weight", f"weight of {_class_of(key)}")
        happened += jumps(steps, values, what, name, SUDDEN)
    return sorted(happened, key=lambda event: event.step)


def _class_of(key: str) -> str | None:
    """The class whose weight ``key`` is: ``class_weight/<class>``, or so with the name of an output in front."""
    before, found, name = key.partition(WEIGHT)
    return name if found and (not before or before.endswith("/")) else None


def _at_steps(epochs: Whole, values: Numbers, begins: Mapping[int, int]) -> tuple[Whole, Numbers]:
    """What was recorded by epoch, at the steps at which these began."""
    known = np.array([int(epoch) in begins for epoch in epochs], bool)
    return np.array([begins[int(epoch)] for epoch in epochs[known]], np.int64), values[known]
