"""One class by itself, as figures and tables: how it is recognised, where its mistakes go, where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query

from epochscope_server import window
from epochscope_server.analysis.confused import largest
from epochscope_server.analysis.curves import CellCurve, ClassCurves
from epochscope_server.analysis.rates import Whole
from epochscope_server.api import cell, classes, confusion
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.asked import AskedCurves, AskedMatrix, InCurves
from epochscope_server.api.figures import Figure, Theme, names_of
from epochscope_server.api.fresh import FreshFigure
from epochscope_server.api.rooms import InRooms, Rooms, chosen_output
from epochscope_server.api.sheet import Csv
from epochscope_server.api.tables import RunOf, of_classes
from epochscope_server.figures.one_class import class_figure, mistakes_figure
from epochscope_server.store import pyramid
from epochscope_server.store import runs as stored_runs

router = APIRouter(responses=ERRORS)

TOP = 5  # confusions apart; the others are the rest

OneClass = Annotated[
    str, Query(alias="class", description="a class by name, or by index where none is called so", max_length=256)
]
Direction = Annotated[
    Literal["went", "came"], Query(description="what the class was taken for, or what was taken for it")
]


@router.get("/figures/class", response_model=Figure, tags=["figures"])
def class_route(
    rooms: InRooms, fresh: FreshFigure, run: RunOf, one: OneClass, asked: InCurves, theme: Theme = "light"
) -> Json:
    """Recall, precision and F1 of one class, each with its 95 % band."""
    return Json(class_figure(_curves(rooms, run, one, asked), theme=theme), headers=fresh)


@router.get("/figures/mistakes", response_model=Figure, tags=["figures"])
def mistakes_route(
    rooms: InRooms,
    fresh: FreshFigure,
    run: RunOf,
    one: OneClass,
    asked: InCurves,
    direction: Direction = "went",
    theme: Theme = "light",
) -> Json:
    """Where the mistakes of one class go, or come from, over time: its five largest confusions, and the rest."""
    found = _mistakes(rooms, run, one, asked, direction)
    came = direction == "came"
    figure = mistakes_figure(found.name, found.parts, found.colours, found.wrong, found.of, came=came, theme=theme)
    return Json(figure, headers=fresh)


@router.get("/tables/class", response_class=Csv, tags=["tables"])
def class_table(rooms: InRooms, fresh: FreshFigure, run: RunOf, one: OneClass, asked: InCurves) -> Csv:
    """Support, hits and misses of the class in each window, and its rates with their intervals."""
    curves = _curves(rooms, run, one, asked)
    (name,) = names_of(rooms, [run])
    header, rows = of_classes(name, curves)
    return Csv(f"{name} {curves.class_names[0]} {asked.split}", header, rows, fresh)


@router.get("/tables/mistakes", response_class=Csv, tags=["tables"])
def mistakes_table(
    rooms: InRooms, fresh: FreshFigure, run: RunOf, one: OneClass, asked: InCurves, direction: Direction = "went"
) -> Csv:
    """The largest confusions of the class in each window, the rest of its mistakes, and what they are shares of."""
    found = _mistakes(rooms, run, one, asked, direction)
    (name,) = names_of(rooms, [run])
    others = [part.true if direction == "came" else part.predicted for part in found.parts]
    header = ["run", "split", "class", "direction", "from", "to", *others, "the rest", "mistakes", "of"]
    counts = [part.count for part in found.parts]
    rest = found.wrong - sum(counts)
    columns = [found.curves.start, found.curves.stop, *counts, rest, found.wrong, found.of]
    rows = (
        [name, asked.split, found.name, direction, *row]
        for row in zip(*(np.asarray(column).tolist() for column in columns), strict=True)
    )
    return Csv(f"{name} {found.name} mistakes {direction} {asked.split}", header, rows, fresh)


@dataclass(frozen=True)
class _Mistakes:
    """The largest confusions of a class over windows, and int64 [P]: all its mistakes, and what they are shares of."""

    name: str
    curves: ClassCurves
    parts: Sequence[CellCurve]
    colours: Sequence[int]
    wrong: Whole
    of: Whole


def _curves(
    rooms: Rooms,
    uid: str,
    one: str,
    asked: AskedCurves,
    unit: int = window.UNIT,
    unasked: int = window.MOST_POINTS,
) -> ClassCurves:
    with rooms.database.read() as connection:
        chosen = chosen_output(stored_runs.get(connection, uid), asked.output, asked.label)
    return classes.read(rooms, uid, asked, str(cell.index_of(one, chosen.class_names, "class")), unit, unasked)


def _mistakes(rooms: Rooms, uid: str, one: str, asked: AskedCurves, direction: str) -> _Mistakes:
    curves = _curves(rooms, uid, one, asked, pyramid.LEAF, cell.POINTS)  # in the windows of its confusions
    (name,) = curves.class_names
    matrix = AskedMatrix(asked.split, asked.start, asked.stop, asked.output, asked.label)
    window = confusion.fetch(rooms, uid, matrix)
    names = window.chosen.class_names
    here = cell.index_of(one, names, "class")
    true, predicted, count = window.cells()
    went = largest(true, predicted, count, names, TOP, only=(here, None)).predicted.tolist()
    came = largest(true, predicted, count, names, TOP, only=(None, here)).true.tolist()
    known = list(dict.fromkeys([*went, *came]))  # the same other class has the same colour in both
    colours = [known.index(other) for other in (came if direction == "came" else went)]
    pairs = [(other, here) for other in came] if direction == "came" else [(here, other) for other in went]
    parts = cell.of_pairs(rooms, uid, pairs, asked) if pairs else []
    if direction == "came":
        return _Mistakes(name, curves, parts, colours, curves.fp[0], curves.tp[0] + curves.fp[0])
    return _Mistakes(name, curves, parts, colours, curves.fn[0], curves.support[0])
