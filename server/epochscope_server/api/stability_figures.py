"""The figures of stability: the raster of drops, and one small chart a class."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from epochscope_server.analysis.drawdown import drawdown
from epochscope_server.api import stability
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.figures import Figure, Metric, Theme
from epochscope_server.api.fresh import FreshFigure
from epochscope_server.api.rooms import From, InRooms, LabelName, OutputName, Split, To
from epochscope_server.figures.multiples import multiples_figure
from epochscope_server.figures.stability import ROWS, stability_figure

router = APIRouter(prefix="/figures", tags=["figures"], responses=ERRORS)

View = Annotated[Literal["raster", "multiples"], Query(description="rows of ink, or a small chart a class")]


@router.get("/stability", response_model=Figure)
def stability_route(
    run: Annotated[str, Query(description="a run's id")],
    rooms: InRooms,
    fresh: FreshFigure,
    split: Split = "train",
    view: View = "raster",
    from_: From = None,
    to: To = None,
    rows: Annotated[int, Query(ge=1, le=1000, description="of the raster, the class that fell furthest on top")] = ROWS,
    compact: Annotated[bool, Query(description="a raster for narrow places")] = False,
    columns: Annotated[int, Query(ge=1, le=6, description="small charts side by side")] = 4,
    metric: Metric = "recall",
    theme: Theme = "light",
    output: OutputName = None,
    label: LabelName = None,
) -> Json:
    """How far each class lies below its own best over time, and how far it surely fell; ordered by that."""
    told = stability.read(rooms, run, split, from_, to, output, label)
    down = drawdown(told.found.curves, told.found.drops.told_apart)
    if view == "multiples":
        figure = multiples_figure(told.found, down, metric=metric, columns_wide=columns, theme=theme)
    else:
        in_alarm = frozenset(alarm.index for alarm in told.alarms or ())
        figure = stability_figure(told.found, down, rows=rows, in_alarm=in_alarm, compact=compact, theme=theme)
    return Json(figure, headers=fresh)
