"""Scalar series: loss, metrics, learning rate and whatever else was logged, smoothed first and thinned after."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from epochscope_server.analysis.series import SeriesPoints, bucketed, thinned
from epochscope_server.api.answer import ERRORS, Json, numbers
from epochscope_server.api.fresh import Fresh
from epochscope_server.api.rooms import From, InRooms, Rooms, RunId, Split, To
from epochscope_server.errors import InvalidError
from epochscope_server.store import runs
from epochscope_server.store import series as stored

router = APIRouter(tags=["series"], responses=ERRORS)

MAX_KEYS = 100

SeriesBy = Annotated[Literal["batch", "epoch", "run"], Query(description="by batch, by epoch, or once for the run")]
Points = Annotated[int | None, Query(ge=1, le=100_000, description="at most so many buckets; left out: every point")]
Smooth = Annotated[float, Query(ge=0, lt=1, description="weight of the debiased moving average, 0 for none")]
Keys = Annotated[str | None, Query(description="names with commas between; left out: all of this split")]


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
    by: SeriesBy = "batch",
    from_: From = None,
    to: To = None,
    points: Points = None,
    smooth: Smooth = 0.0,
) -> Json:
    """Series of one split; each bucket keeps mean, least, greatest, and how many values were not finite."""
    found = read(rooms, run, split, _names(keys), by, from_, to, points, smooth)
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
    smooth: float,
) -> list[SeriesPoints]:
    """Series of run ``uid``, for every route that shows them; the window counts epochs where ``by`` is "epoch"."""
    if start is not None and stop is not None and start >= stop:
        raise InvalidError("empty_window", f"from must be less than to; {start} to {stop} holds nothing", "from")
    with rooms.database.read() as connection:
        run = runs.get(connection, uid)
        if keys is None:
            there = runs.series_of(connection, run["id"])
            keys = [one["key"] for one in there if (one["split"], one["by"]) == (split, by)][:MAX_KEYS]
        most = points if smooth == 0 else None
        fetched = stored.fetch(connection, rooms.blocks, (run["id"], run["uid"]), split, by, keys, start, stop, most)
    found = []
    for one in fetched:
        window = one.read()
        buckets = window.buckets()
        if buckets is None or points is None:
            found.append(thinned(one.key, split, by, *window.points(), points, smooth))
        else:
            found.append(bucketed(one.key, split, by, buckets, points))
    return found


def _names(keys: str | None) -> list[str] | None:
    if keys is None:
        return None
    names = [name for name in keys.split(",") if name]
    if not 1 <= len(names) <= MAX_KEYS:
        raise InvalidError("bad_keys", f"Name 1 to {MAX_KEYS} series, with commas between them", "keys")
    return names
