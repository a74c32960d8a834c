"""Many runs at once: params and results as parallel coordinates, and the table of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from epochscope_server.analysis import parallel
from epochscope_server.analysis.parallel import Axis, Brush, Fields
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.figures import Figure, Theme
from epochscope_server.api.fresh import FreshFigure
from epochscope_server.api.rooms import InRooms, Rooms
from epochscope_server.api.sheet import Csv
from epochscope_server.errors import InvalidError
from epochscope_server.figures.parallel import parallel_figure
from epochscope_server.store import runs as stored

router = APIRouter(responses=ERRORS)

MOST = 200  # runs
MOST_AXES = 12


@dataclass(frozen=True)
class Asked:
    """Which runs, on which axes, and what they must pass."""

    runs: Annotated[str, Query(description=f"ids of up to {MOST} runs, with commas between", max_length=33 * MOST)]
    axis: Annotated[
        list[str] | None,
        Query(description="params.NAME or summary.NAME, several; left out: params that differ, and results"),
    ] = None
    colour: Annotated[str | None, Query(description="the result that colours the lines; left out: the first")] = None
    brush: Annotated[
        list[str] | None,
        Query(
            description="NAME:LOW:HIGH, a stretch that runs must pass; of words their number in order, from 0",
            examples=["params.lr:0.001:0.01"],
        ),
    ] = None

    @property
    def brushes(self) -> list[Brush]:
        """
        Raises:
            InvalidError: one that is no stretch.
        """
        return [_brush(one) for one in self.brush or []]


InMany = Annotated[Asked, Depends()]


@dataclass(frozen=True)
class Many:
    """The runs that are asked for, and all that is known of each."""

    uids: list[str]
    names: list[str]
    fields: list[Fields]


@router.get("/figures/parallel", response_model=Figure, tags=["figures"])
def parallel_route(rooms: InRooms, fresh: FreshFigure, asked: InMany, theme: Theme = "light") -> Json:
    """Every run a line over axes of params and results; those that leave a chosen stretch are grey."""
    many = read(rooms, asked.runs)
    axes, colour = _axes(many, asked)
    kept = parallel.passing(axes, asked.brushes, len(many.uids))
    figure = parallel_figure(many.names, axes, colour, kept, asked.brushes, uids=many.uids, theme=theme)
    return Json(figure, headers=fresh)


@router.get("/tables/parallel", response_class=Csv, tags=["tables"])
def parallel_table(rooms: InRooms, fresh: FreshFigure, asked: InMany) -> Csv:
    """A row a run: all its params and results, and whether it passes the stretches."""
    many = read(rooms, asked.runs)
    axes, _ = _axes(many, asked)
    kept = parallel.passing(axes, asked.brushes, len(many.uids))
    columns = sorted({name for one in many.fields for name in one})
    rows = (
        [uid, name, bool(passes), *(_cell(fields.get(column)) for column in columns)]
        for uid, name, fields, passes in zip(many.uids, many.names, many.fields, kept, strict=True)
    )
    return Csv("runs compared", ["run", "name", "passes", *columns], rows, fresh)


def read(rooms: Rooms, runs: str) -> Many:
    """Params and results of the runs.

    Raises:
        InvalidError: none, or too many.
    """
    uids = list(dict.fromkeys(uid for uid in runs.split(",") if uid))
    if not 1 <= len(uids) <= MOST:
        raise InvalidError("bad_runs", f"Name 1 to {MOST} runs, with commas between their ids", "runs")
    with rooms.database.read() as connection:
        rows = [stored.get(connection, uid) for uid in uids]
    names = [str(row["name"]) for row in rows]
    told = [f"{name} · {uid[:4]}" if names.count(name) > 1 else name for name, uid in zip(names, uids, strict=True)]
    fields: list[Fields] = [
        {f"params.{name}": value for name, value in row["params"].items()}
        | {f"summary.{name}": value for name, value in stored.summary(row["last"]).items()}
        for row in rows
    ]
    return Many(uids, told, fields)


def _axes(many: Many, asked: Asked) -> tuple[list[Axis], Axis | None]:
    """
    Raises:
        InvalidError: more axes than can be told apart, or one that no run has.
    """
    names = list(dict.fromkeys(asked.axis or parallel.chosen(many.fields)))
    if len(names) > MOST_AXES:
        raise InvalidError("too_many_axes", f"Name up to {MOST_AXES} axes", "axis")
    there = {name for one in many.fields for name in one}
    if unknown := [name for name in names if name not in there]:
        raise InvalidError("unknown_axis", f"None of these runs has {unknown[0]!r}", "axis")
    results = parallel.results(many.fields)
    by = asked.colour if asked.colour in there else (results[0] if results else None)
    colour = parallel.axis(by, many.fields) if by is not None else None
    return [
        parallel.axis(name, many.fields) for name in names
    ], None if colour and colour.kind == "category" else colour


def _brush(said: str) -> Brush:
    name = ""
    try:
        name, low, high = said.rsplit(":", 2)
        ends = float(low), float(high)
    except ValueError:
        ends = math.nan, math.nan
    if any(math.isnan(end) for end in ends):
        raise InvalidError("bad_brush", f"{said!r} is not NAME:LOW:HIGH", "brush")
    return Brush(name, *ends)


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
