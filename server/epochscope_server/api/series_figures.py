"""Scalar series as a figure and as a table: of one run or several, by batch or by epoch, over any axis of training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from epochscope_server.analysis.series import SeriesPoints, only
from epochscope_server.api import rulers, series
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.figures import Figure, Groups, OneRun, Runs, Theme, chosen_runs, names_of
from epochscope_server.api.fresh import FreshFigure
from epochscope_server.api.rooms import From, InRooms, Rooms, To
from epochscope_server.api.series import SeriesBy, Sliding, Smooth
from epochscope_server.api.sheet import Csv, Row
from epochscope_server.errors import InvalidError, NotFoundError
from epochscope_server.figures.series import series_figure
from epochscope_server.nonfinite import said

router = APIRouter(responses=ERRORS)

SPLITS = ("train", "val", "test")
MAX_POINTS = 2000  # of one drawn series: about two to a pixel


@dataclass(frozen=True)
class Asked:
    """Which series of which runs, and what is made of their values before they are shown."""

    keys: series.Keys = None
    key: series.Key = None
    run: OneRun = None
    runs: Runs = None
    split: Annotated[str, Query(description="train, val, test, or several with commas between")] = "train"
    by: SeriesBy = "batch"
    start: From = None
    stop: To = None
    smooth: Smooth = 0.0
    sliding: Sliding = 1
    running: Annotated[bool, Query(description="also the means since the epoch began, of series by batch")] = False

    @property
    def named(self) -> list[str]:
        """
        Raises:
            InvalidError: no series is named, or too many are.
        """
        return series.named(self.keys, self.key)

    @property
    def splits(self) -> list[str]:
        """
        Raises:
            InvalidError: something that is no split.
        """
        found = self.split.split(",")
        if unknown := [name for name in found if name not in SPLITS]:
            raise InvalidError("unknown_split", f"{unknown[0]!r} is no split; they are {', '.join(SPLITS)}", "split")
        return found


InSeries = Annotated[Asked, Depends()]


@router.get("/figures/series", response_model=Figure, tags=["figures"])
def series_route(
    rooms: InRooms,
    fresh: FreshFigure,
    asked: InSeries,
    points: Annotated[int, Query(ge=1, le=MAX_POINTS)] = 600,
    x: rulers.Unit = None,
    log: Annotated[bool, Query(description="a logarithmic y axis")] = False,
    inliers: Annotated[bool, Query(description="a y axis over the middle 96 % of what is drawn")] = False,
    baseline: Annotated[str | None, Query(description="a run's id, whose lines are taken from the others'")] = None,
    group: Groups = None,
    theme: Theme = "light",
) -> Json:
    """Scalar series over each other; a series that a run or split does not have is left out.

    By batch beside train, the other splits are shown by epoch, each value at the last training step of its epoch:
    they count steps of their own, which say nothing on the axis of training. By time counts from the run's beginning;
    samples seen are those that its first output counted.
    """
    uids = chosen_runs(asked.run, asked.runs, group)
    names = names_of(rooms, uids) if asked.runs is not None else [""]
    if baseline is not None and group is not None:
        raise InvalidError("grouped_baseline", "Groups are shown as they are; leave baseline= or group= out", "group")
    if baseline is not None and baseline not in uids:
        raise InvalidError("unknown_baseline", "The baseline must be one of the runs", "baseline")
    drawn: list[tuple[str, SeriesPoints]] = []
    for uid, name in zip(uids, names, strict=True):
        drawn += [(name, series.first_odd_of(rooms, uid, one)) for one in _beside(rooms, uid, asked, points)]
    unit = x or ("step" if any(one.by == "batch" for _, one in drawn) else "epoch")
    apart = asked.by == "batch" and "train" not in asked.splits  # by steps of its own, not those of training
    figure = series_figure(
        drawn,
        theme=theme,
        rulers=None if apart else {name: rulers.ruler(rooms, uid, unit) for uid, name in zip(uids, names, strict=True)},
        log=log,
        inliers=inliers,
        baseline=None if baseline is None else names[uids.index(baseline)],
        smooth=asked.smooth > 0 or asked.sliding > 1,
        groups=None if group is None else dict(zip(names, group, strict=True)),
    )
    return Json(figure, headers=fresh)


@router.get("/tables/series", response_class=Csv, tags=["tables"])
def series_table(
    rooms: InRooms,
    fresh: FreshFigure,
    asked: InSeries,
    points: Annotated[int | None, Query(ge=1, le=100_000, description="left out: every point")] = None,
    group: Groups = None,
) -> Csv:
    """Every point of the series, or buckets of them with mean, least and greatest; NaN and ±Infinity by name.

    What a split has not by batch is given by epoch. Running means have rows of their own, after those of the values.
    """
    uids = chosen_runs(asked.run, asked.runs, group)
    names = names_of(rooms, uids)
    found: list[tuple[str, SeriesPoints]] = []
    for name, uid in zip(names, uids, strict=True):
        for split, key in ((split, key) for split in asked.splits for key in asked.named):
            for way in dict.fromkeys((asked.by, "epoch")):
                if read := _read(rooms, uid, asked, split, key, way, points):
                    found += [(name, one) for one in read]
                    break
    header = ["run", "key", "split", "by", "step", "n", "value", "min", "max", "nonfinite", "running"]
    rows = chain.from_iterable(_rows(name, one) for name, one in found)
    return Csv(f"{names[0]} {' '.join(asked.named)}", header, rows, fresh)


def _beside(rooms: Rooms, uid: str, asked: Asked, points: int) -> list[SeriesPoints]:
    """The series of one run as they stand on one axis; beside training, the epochs that end within its window."""
    found: list[SeriesPoints] = []
    ends = rulers.ruler(rooms, uid, "step").ends
    inside = {
        epoch
        for epoch, end in ends.items()
        if (asked.start is None or end >= asked.start) and (asked.stop is None or end < asked.stop)
    }
    for split in asked.splits:
        beside_train = asked.by == "batch" and split != "train" and "train" in asked.splits
        for key in asked.named:
            if not beside_train:
                found += _read(rooms, uid, asked, split, key, asked.by, points)
                continue
            try:
                for one in series.read(rooms, uid, split, [key], "epoch", None, None, points):
                    found.append(one if asked.start is None and asked.stop is None else only(one, inside))
            except NotFoundError as error:
                if error.code != "unknown_series":
                    raise
    return found


def _read(
    rooms: Rooms, uid: str, asked: Asked, split: str, key: str, by: str, points: int | None
) -> list[SeriesPoints]:
    """One series, and its running means where they are asked for; nothing where the run has none."""
    try:
        return series.read(
            rooms, uid, split, [key], by, asked.start, asked.stop, points, asked.smooth, asked.sliding, asked.running
        )
    except NotFoundError as error:
        if error.code != "unknown_series":
            raise
        return []


def _rows(name: str, points: SeriesPoints) -> Iterator[Row]:
    columns = (points.step, points.n, points.value, points.low, points.high, points.nonfinite)
    for step, n, value, low, high, nonfinite in zip(*(column.tolist() for column in columns), strict=True):
        yield [name, points.key, points.split, points.by, step, n, said(value), low, high, nonfinite, points.running]
