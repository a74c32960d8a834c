"""Scalar series: loss, metrics, learning rate and whatever else was logged, smoothed first and thinned after."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query
from pydantic import BaseModel

from epochscope_server.analysis.series import SeriesPoints, bucketed, slid, smoothed, thinned
from epochscope_server.analysis.series import running as since_begins
from epochscope_server.api.answer import ERRORS, Json, numbers
from epochscope_server.api.fresh import Fresh
from epochscope_server.api.rooms import From, InRooms, Rooms, RunId, Split, To
from epochscope_server.errors import InvalidError
from epochscope_server.store import runs, spans
from epochscope_server.store import series as stored

router = APIRouter(tags=["series"], responses=ERRORS)

MAX_KEYS = 100

SeriesBy = Annotated[Literal["batch", "epoch", "run"], Query(description="by batch, by epoch, or once for the run")]
Points = Annotated[int | None, Query(ge=1, le=100_000, description="at most so many buckets; left out: every point")]
Smooth = Annotated[float, Query(ge=0, lt=1, description="weight of the debiased moving average, 0 for none")]
Sliding = Annotated[int, Query(ge=1, le=1_000_000, description="mean of the last so many values, instead of smooth")]
Keys = Annotated[str | None, Query(description="names with commas between")]
Key = Annotated[
    list[str] | None,
    Query(description="one name as it is, whatever is in it; given several times, all of them, after those of keys"),
]


class OneSeries(BaseModel):
    """Buckets of consecutive points. "NaN", "Infinity" and "-Infinity" are strings, since JSON has no such numbers."""

    key: str
    split: str
    by: str
    step: list[int]
    n: list[int]
    value: list[float | str]
    min: list[float | None]
    max: list[float | None]
    nonfinite: list[int]


class SeriesAnswer(BaseModel):
    series: list[OneSeries]


@router.get("/runs/{run}/series", response_model=SeriesAnswer)
def get_series(
    run: RunId,
    rooms: InRooms,
    fresh: Fresh,
    split: Split = "train",
    keys: Keys = None,
    key: Key = None,
    by: SeriesBy = "batch",
    from_: From = None,
    to: To = None,
    points: Points = None,
    smooth: Smooth = 0.0,
    sliding: Sliding = 1,
) -> Json:
    """Series of one split, all of them unless some are named.

    Each bucket keeps mean, least, greatest, and how many values were not finite.
    What smoothing makes of a value follows from all values before it, also from those before the window.
    """
    names = None if keys is None and not key else named(keys, key)
    found = read(rooms, run, split, names, by, from_, to, points, smooth, sliding)
    return Json(
        {
            "series": [
                {
                    "key": one.key,
                    "split": one.split,
                    "by": one.by,
                    "step": one.step.tolist(),
                    "n": one.n.tolist(),
                    "value": numbers(one.value),
                    "min": one.low.tolist(),
                    "max": one.high.tolist(),
                    "nonfinite": one.nonfinite.tolist(),
                }
                for one in found
            ]
        },
        headers=fresh,
    )


def read(
    rooms: Rooms,
    uid: str,
    split: str,
    keys: list[str] | None,
    by: str,
    start: int | None,
    stop: int | None,
    points: int | None,
    smooth: float = 0.0,
    sliding: int = 1,
    running: bool = False,
) -> list[SeriesPoints]:
    """Series of run ``uid``, for every route that shows them; the window counts epochs where ``by`` is "epoch".

    With ``running`` each series by batch is followed by its means since the epoch began.
    """
    if start is not None and stop is not None and start >= stop:
        raise InvalidError("empty_window", f"from must be less than to; {start} to {stop} holds nothing", "from")
    if smooth > 0 and sliding > 1:
        raise InvalidError("two_smoothings", "Ask for smooth or for sliding, not for both", "sliding")
    running = running and by == "batch"
    whole = smooth > 0 or sliding > 1 or running
    with rooms.database.read() as connection:
        run = runs.get(connection, uid)
        if keys is None:
            there = runs.series_of(connection, run["id"])
            keys = [one["key"] for one in there if (one["split"], one["by"]) == (split, by)][:MAX_KEYS]
        fetched = stored.fetch(
            connection, rooms.blocks, (run["id"], run["uid"]), split, by, keys,
            None if whole else start, stop, None if whole else points,
        )  # fmt: skip
        covered = spans.of_run(connection, run, split) if running else []
    begins = np.array(sorted(span["from"] for span in covered), np.int64)
    found = []
    for one in fetched:
        window = one.read()
        buckets = window.buckets()
        if buckets is not None and points is not None:
            found.append(bucketed(one.key, split, by, buckets, points))
            continue
        steps, values = window.points()
        inside = slice(int(np.searchsorted(steps, start)) if whole and start is not None else 0, None)
        curves = [slid(values, sliding) if sliding > 1 else smoothed(values, smooth)]
        if running:
            curves.append(since_begins(steps, values, begins))
        for place, curve in enumerate(curves):
            shown = thinned(one.key, split, by, steps[inside], values[inside], points, curve=curve[inside])
            found.append(replace(shown, running=place == 1))
    return found


def first_odd_of(rooms: Rooms, uid: str, points: SeriesPoints) -> SeriesPoints:
    """``points`` with the step of their first value that is not finite, looked up where a bucket hides it."""
    there = np.flatnonzero(points.nonfinite > 0)
    if not len(there) or points.odd is not None:
        return points
    at = int(there[0])
    start = int(points.step[at])
    stop = int(points.step[at + 1]) if at + 1 < len(points.step) else None
    (near,) = read(rooms, uid, points.split, [points.key], points.by, start, stop, None)
    return replace(points, odd=near.odd)


def named(keys: str | None, key: list[str] | None) -> list[str]:
    """The names that are asked for, each once.

    Raises:
        InvalidError: none, or too many.
    """
    names = list(dict.fromkeys([*(name for name in (keys or "").split(",") if name), *(key or ())]))
    if not 1 <= len(names) <= MAX_KEYS:
        raise InvalidError(
            "bad_keys",
            f"Name 1 to {MAX_KEYS} series: keys= with commas between them, or key= for each, also where there is a "
            "comma in its name",
            "keys",
        )
    return names
