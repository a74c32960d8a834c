"""How stable each class is: what moved more than chance, fell surely, was forgotten, and when it changed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter

from epochscope_server import window
from epochscope_server.analysis.averages import Averages, averages
from epochscope_server.analysis.changes import Change, deciding, explained
from epochscope_server.analysis.changes_live import Alarm
from epochscope_server.analysis.confusion import Confusion
from epochscope_server.analysis.stability import Stability, stability, watched, windows_for
from epochscope_server.api import classes, confusion, events
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.asked import Asked, AskedCurves, AskedMatrix, InWindow
from epochscope_server.api.fresh import Fresh
from epochscope_server.api.rooms import (
    InRooms,
    Rooms,
    RunId,
    chosen_output,
    now_ms,
)
from epochscope_server.api.stability_answer import StabilityAnswer, answered
from epochscope_server.store import runs

router = APIRouter(tags=["stability"], responses=ERRORS)

EXPLAINED = 24  # changes of a run of few classes whose matrices are looked at; the surest first
CELLS = 1_000_000  # of these matrices in all


@dataclass(frozen=True)
class Told:
    """What the counts of a window of a run say; ``alarms`` is None where the run does not go on."""

    found: Stability
    averages: Averages | None
    alarms: list[Alarm] | None


@router.get("/runs/{run}/stability", response_model=StabilityAnswer)
def get_stability(
    run: RunId,
    rooms: InRooms,
    fresh: Fresh,
    asked: InWindow,
) -> Json:
    """Per class: instability beyond chance, certified drop, forgetting, when it was learnt, and its changes.

    Each number is explained in words, with its formula, its source and what it cannot tell, at `/stability.html`.
    Of `val`, each point is a validation pass.
    """
    told = read(rooms, run, asked)
    return Json(answered(told.found, told.averages, told.alarms), headers=fresh)


def read(rooms: Rooms, uid: str, asked: Asked, *, explain: bool = True) -> Told:
    """The stability of run ``uid``, for every route that shows it; not ``explain``: changes without their reasons."""
    split, start, stop = asked.split, asked.start, asked.stop
    with rooms.database.read() as connection:
        run = runs.get(connection, uid)
        chosen = chosen_output(run, asked.output, asked.label)
        going_on = runs.status(run, now_ms(), rooms.started_ms) in ("running", "stalled", "silent")
    if split == "val":
        curves = classes.read(rooms, uid, AskedCurves(**vars(asked), by="epoch"))
    else:
        first, end = window.clip(start, stop, run["steps"].get(split, 0))
        width = _width(end - first, windows_for(len(chosen.class_names)))
        curves = classes.read(rooms, uid, AskedCurves(**vars(asked), width=width))
    found = stability(curves, labels=chosen.labels)
    alarms = None
    if going_on and (split, start, stop, asked.label) == ("train", None, None, None):
        kept = rooms.watches.alarms(run, chosen.index)
        alarms = None if kept is None else kept[0]
    elif going_on:
        alarms = watched(curves, labels=chosen.labels).on
    if not explain or not len(curves.start):
        return Told(found, None, alarms)
    if not chosen.labels and len(chosen.class_names) <= confusion.MAX_CLASSES:
        whole = confusion.read(rooms, uid, AskedMatrix(**vars(asked)))
        found = _with_reasons(rooms, uid, found, asked)
        mean = averages(whole.counts)
    else:
        mean = None
    return Told(events.noted(rooms, run, found), mean, alarms)


def _width(steps: int, windows: int) -> int:
    """The least power of two: windows then stay the same while a run grows, and fall on the store's own."""
    return 1 << max(math.ceil(math.log2(max(steps, 1) / windows)), 0)


def _with_reasons(rooms: Rooms, uid: str, found: Stability, asked: Asked) -> Stability:
    """The surest changes with what the class was taken for and how the mix of classes changed."""
    seen: dict[tuple[int, int], Confusion] = {}

    def counts(start: int, stop: int) -> Any:
        if (start, stop) not in seen:
            here = AskedMatrix(asked.split, start, stop, asked.output, asked.label)
            seen[start, stop] = confusion.read(rooms, uid, here)
        return seen[start, stop].counts

    told = [change for change in found.changes if change.kind != "learning"]
    few = min(EXPLAINED, max(CELLS // len(found.curves.class_names) ** 2, 4))
    surest = sorted(told, key=lambda change: -change.gain)[:few]
    better: Mapping[int, Change] = {
        id(change): explained(change, *(counts(*steps) for steps in deciding(change))) for change in surest
    }
    return replace(found, changes=[better.get(id(change), change) for change in found.changes])
