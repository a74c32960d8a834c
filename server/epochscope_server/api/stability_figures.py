"""The figures of stability: the raster of drops, one small chart a class, training against validation, seeds."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from epochscope_server.analysis.compare import differ, scores
from epochscope_server.analysis.drawdown import drawdown
from epochscope_server.analysis.gap import verdicts
from epochscope_server.analysis.groups import differ as differ_groups
from epochscope_server.analysis.groups import group
from epochscope_server.api import gap, groups, stability
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.asked import InMatrices, InWindow
from epochscope_server.api.figures import Figure, Metric, Theme
from epochscope_server.api.fresh import FreshFigure
from epochscope_server.api.rooms import InRooms, LabelName, OutputName
from epochscope_server.figures.gap import ROWS as GAP_ROWS
from epochscope_server.figures.gap import gap_figure
from epochscope_server.figures.groups import ROWS as GROUPS_ROWS
from epochscope_server.figures.groups import groups_figure
from epochscope_server.figures.multiples import multiples_figure
from epochscope_server.figures.stability import ROWS, stability_figure

router = APIRouter(prefix="/figures", tags=["figures"], responses=ERRORS)

View = Annotated[Literal["raster", "multiples"], Query(description="rows of ink, or a small chart a class")]


@router.get("/stability", response_model=Figure)
def stability_route(
    run: Annotated[str, Query(description="a run's id")],
    rooms: InRooms,
    fresh: FreshFigure,
    asked: InWindow,
    view: View = "raster",
    rows: Annotated[int, Query(ge=1, le=1000, description="of the raster, the class that fell furthest on top")] = ROWS,
    compact: Annotated[bool, Query(description="a raster for narrow places")] = False,
    columns: Annotated[int, Query(ge=1, le=6, description="small charts side by side")] = 4,
    metric: Metric = "recall",
    theme: Theme = "light",
) -> Json:
    """How far each class lies below its own best over time, and how far it surely fell; ordered by that."""
    told = stability.read(rooms, run, asked)
    down = drawdown(told.found.curves, told.found.drops.told_apart)
    if view == "multiples":
        figure = multiples_figure(told.found, down, metric=metric, columns_wide=columns, theme=theme)
    else:
        in_alarm = frozenset(alarm.index for alarm in told.alarms or ())
        figure = stability_figure(told.found, down, rows=rows, in_alarm=in_alarm, compact=compact, theme=theme)
    return Json(figure, headers=fresh)


@router.get("/gap", response_model=Figure)
def gap_route(
    run: Annotated[str, Query(description="a run's id")],
    rooms: InRooms,
    fresh: FreshFigure,
    epoch: gap.Epoch = None,
    metric: Metric = "recall",
    rows: Annotated[int, Query(ge=1, le=1000, description="of the classes, the greatest gap on top")] = GAP_ROWS,
    theme: Theme = "light",
    output: OutputName = None,
    label: LabelName = None,
) -> Json:
    """Training minus validation at the same weights, class by class."""
    chosen, train, val = gap.matrices(rooms, run, epoch, output, label)
    a, b = scores(val.counts, metric), scores(train.counts, metric)
    found = differ(a, b)
    figure = gap_figure(
        val.class_names, b.rate, a.rate, found.difference, verdicts(found), epoch=chosen,
        steps=(train.start, train.stop), metric=metric, rows=rows, theme=theme,
    )  # fmt: skip
    return Json(figure, headers=fresh)


@router.get("/groups", response_model=Figure)
def groups_route(
    rooms: InRooms,
    asked: InMatrices,
    first: Annotated[str, groups.Seeds],
    second: Annotated[str, groups.Seeds] = "",
    first_name: Annotated[str, Query(description="what the first group is called", max_length=256)] = "These runs",
    second_name: Annotated[str, Query(max_length=256)] = "The others",
    metric: Metric = "f1",
    rows: Annotated[int, Query(ge=1, le=1000)] = GROUPS_ROWS,
    theme: Theme = "light",
) -> Json:
    """Runs that differ by their seed as one: mean, interval and spread of each class, and where two groups differ."""
    _, read = groups.matrices(rooms, first, second, asked)
    named = []
    for name, matrices in zip((first_name, second_name), read, strict=True):
        if matrices:
            values = groups.values(matrices, metric)
            named.append((name, group(values), values))
    found = differ_groups(named[0][1], named[1][1]) if len(named) == 2 else None
    return Json(groups_figure(read[0][0].class_names, named, found, metric=metric, rows=rows, theme=theme))
