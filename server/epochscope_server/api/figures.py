"""The Plotly figure of any answer: reads as the route of that answer does, and draws it as a plain value."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from epochscope_server.analysis.order import ordered
from epochscope_server.api import cell, classes, compare, confused, confusion, groups, rulers
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.asked import AskedCurves, InCurves, InMatrix
from epochscope_server.api.cell import ClassName
from epochscope_server.api.fresh import FreshFigure
from epochscope_server.api.rooms import (
    InRooms,
    Rooms,
    chosen_classes,
)
from epochscope_server.errors import InvalidError
from epochscope_server.figures.blocks import Area
from epochscope_server.figures.cell import cell_figure
from epochscope_server.figures.classes import classes_figure
from epochscope_server.figures.confusion import LARGEST, confused_figure, confusion_figure
from epochscope_server.figures.overlay import classes_overlay_figure
from epochscope_server.store import runs as stored_runs

router = APIRouter(prefix="/figures", tags=["figures"], responses=ERRORS)

Theme = Annotated[Literal["light", "dark"], Query()]
Metric = Annotated[Literal["f1", "recall", "precision"], Query()]
Diagonal = Annotated[Literal["show", "hide"], Query(description="whether what is right has ink and numbers")]
InkOf = Annotated[
    Literal["root", "linear", "log"], Query(description="how ink grows with the value; log and root show small ones")
]
Order = Annotated[
    Literal["index", "name", "support", "error", "similar"],
    Query(description="of the classes, by the counts of the whole run, so that it stays while the window moves"),
]
Normalise = Annotated[Literal["none", "true", "predicted"], Query(description="counts, or shares of a row or column")]
AreaOf = Annotated[
    str | None,
    Query(
        description="of more than 200 classes, the part to be drawn finer, up to cell by cell: places of its first "
        "row, the row after its last, its first column, the column after its last, with commas between",
        pattern=r"^\d{1,6}(,\d{1,6}){3}$",
        examples=["0,150,300,450"],
    ),
]
OneRun = Annotated[str | None, Query(description="a run's id")]
Runs = Annotated[
    str | None, Query(description="several ids with commas between, drawn over each other", max_length=1200)
]
Groups = Annotated[
    list[str] | None,
    Query(
        description="the name of a run's group, once for each of the runs in their order: those of one group, which "
        "differ by their seeds, are drawn as their mean, with a band of one standard deviation"
    ),
]
Focus = Annotated[
    str | None,
    Query(description="class indices with commas between; left out: the worst three", max_length=200),
]


class Figure(BaseModel):
    """What `Plotly.react` and `plotly.graph_objects.Figure` take."""

    data: list[dict[str, Any]]
    layout: dict[str, Any]


@router.get("/classes", response_model=Figure)
def classes_route(
    rooms: InRooms,
    fresh: FreshFigure,
    asked: InCurves,
    run: OneRun = None,
    runs: Runs = None,
    metric: Metric = "f1",
    focus: Focus = None,
    x: rulers.Unit = None,
    group: Groups = None,
    theme: Theme = "light",
) -> Json:
    """Curves of each class with 95 % bands; of several runs, the classes in focus over each other.

    Several runs stand on any axis of training. What is not training counts steps of its own: there it is shown by
    epoch, each pass at the last training step of its epoch. By time counts from the run's beginning.
    """
    uids = chosen_runs(run, runs, group)
    if x is not None and runs is None:
        raise InvalidError("several_needed", "The axis is chosen where runs= are drawn over each other", "x")
    curves = [classes.read(rooms, uid, standing(asked, x)) for uid in uids]
    chosen = chosen_classes(focus, len(curves[0].class_names), "focus")
    if runs is None:
        return Json(classes_figure(curves[0], metric=metric, focus=chosen, theme=theme), headers=fresh)
    if any(one.class_names != curves[0].class_names for one in curves):
        raise InvalidError("other_classes", "The runs do not have the same classes in the same order", "runs")
    names = names_of(rooms, uids)
    axes = None if x is None else {name: rulers.ruler(rooms, uid, x) for uid, name in zip(uids, names, strict=True)}
    named = list(zip(names, curves, strict=True))
    figure = classes_overlay_figure(named, metric=metric, focus=chosen, rulers=axes, groups=group, theme=theme)
    return Json(figure, headers=fresh)


@router.get("/confusion", response_model=Figure)
def confusion_route(
    rooms: InRooms,
    fresh: FreshFigure,
    run: Annotated[str, Query(description="a run's id")],
    asked: InMatrix,
    normalise: Normalise = "none",
    diagonal: Diagonal = "show",
    ink: InkOf = "root",
    order: Order = "index",
    area: AreaOf = None,
    theme: Theme = "light",
) -> Json:
    """The confusion matrix of a window as a heatmap: true on y, predicted on x.

    Of more than 1,000 classes there is none; then `layout.meta` has the largest confusions alone.
    """
    found = confusion.fetch(rooms, run, asked)
    if not found.whole:
        _, most = confused.read(rooms, run, asked, "", LARGEST)
        window = found.window
        figure = confused_figure(most, found.chosen.class_names, start=window.start, stop=window.stop, theme=theme)
        return Json(figure, headers=fresh)
    shown = confusion.whole(found, asked)
    places = None
    if order != "index":
        course = confusion.read(rooms, run, replace(asked, start=None, stop=None, epoch=None))
        places = ordered(course.counts, course.class_names, order)
    figure = confusion_figure(
        shown,
        normalise=normalise,
        diagonal=diagonal == "show",
        way=ink,
        order=places,
        area=_area(area, len(shown.class_names)),
        theme=theme,
    )
    return Json(figure, headers=fresh)


@router.get("/cell", response_model=Figure)
def cell_route(
    rooms: InRooms,
    fresh: FreshFigure,
    run: Annotated[str, Query(description="a run's id")],
    true: ClassName,
    predicted: ClassName,
    asked: InCurves,
    theme: Theme = "light",
) -> Json:
    """The share of one class that was taken for another, over time; dashed, the other way round."""
    cells = [(true, predicted)] if true == predicted else [(true, predicted), (predicted, true)]
    curves = cell.read(rooms, run, cells, asked)
    return Json(cell_figure(curves, theme=theme), headers=fresh)


def _area(asked: str | None, classes: int) -> Area | None:
    """
    Raises:
        InvalidError: it is no part of the matrix.
    """
    if asked is None:
        return None
    ends = [int(end) for end in asked.split(",")]
    if not (0 <= ends[0] < ends[1] <= classes and 0 <= ends[2] < ends[3] <= classes):
        raise InvalidError("bad_area", f"The area must lie within places 0 to {classes}, first before last", "area")
    return Area(*ends)


def chosen_runs(run: str | None, runs: str | None, group: list[str] | None = None) -> list[str]:
    """The ids that are asked for; in groups they may be more.

    Raises:
        InvalidError: neither or both of ``run`` and ``runs`` are named, too many, or not a group for each.
    """
    if (run is None) == (runs is None):
        raise InvalidError("run_needed", "Name one run with run=, or several with runs=", "run")
    if group is None:
        return [run] if run is not None else compare.several(runs or "")
    uids = [] if runs is None else compare.several(runs, groups.MOST)
    if len(uids) != len(group):
        raise InvalidError("groups_and_runs", f"{len(group)} groups are named for {len(uids)} runs", "group")
    return uids


def standing(asked: AskedCurves, x: str | None) -> AskedCurves:
    """What has a place on an axis of training: steps of training, and of all else epochs."""
    return asked if x is None or asked.split == "train" else replace(asked, by="epoch", points=None, width=None)


def names_of(rooms: Rooms, uids: list[str]) -> list[str]:
    """The runs' names; where two are the same, the start of the id tells them apart, as much of it as that takes."""
    with rooms.database.read() as connection:
        names = [str(stored_runs.get(connection, uid)["name"]) for uid in uids]
    whole = max(map(len, uids), default=0)
    length = next((some for some in range(4, whole) if len({uid[:some] for uid in uids}) == len(set(uids))), whole)
    return [
        f"{name} · {uid[:length]}" if names.count(name) > 1 else name for name, uid in zip(names, uids, strict=True)
    ]
