"""What two runs, or two windows of one, differ in: the signed matrix, bars of the classes, and the rows behind them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from epochscope_server.analysis.compare import METRICS, differ, scores
from epochscope_server.analysis.confusion import Confusion
from epochscope_server.api import compare
from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.asked import AskedPair, InPair
from epochscope_server.api.figures import Figure, Metric, Normalise, Theme, names_of
from epochscope_server.api.fresh import FreshFigure
from epochscope_server.api.rooms import InRooms, Rooms
from epochscope_server.api.sheet import Csv
from epochscope_server.figures.compare import compare_figure
from epochscope_server.figures.deltas import ROWS, deltas_figure

router = APIRouter(responses=ERRORS)

RATE = ("value", "low", "high")


@router.get("/figures/compare", response_model=Figure, tags=["figures"])
def compare_route(
    rooms: InRooms,
    fresh: FreshFigure,
    runs: compare.TwoRuns,
    asked: InPair,
    normalise: Normalise = "true",
    theme: Theme = "light",
) -> Json:
    """The matrix of the second run, or window, minus that of the first."""
    uids = compare.two(runs, asked)
    first, second = compare.pair(rooms, uids, asked)
    name_a, name_b = sides(rooms, uids, asked, first, second)
    return Json(compare_figure((name_a, first), (name_b, second), normalise=normalise, theme=theme), headers=fresh)


@router.get("/figures/deltas", response_model=Figure, tags=["figures"])
def deltas_route(
    rooms: InRooms,
    fresh: FreshFigure,
    runs: compare.TwoRuns,
    asked: InPair,
    metric: Metric = "f1",
    rows: Annotated[int, Query(ge=1, le=1000, description="of the classes, those that differ most")] = ROWS,
    theme: Theme = "light",
) -> Json:
    """How each class differs in the second run, or window, from the first: a bar with its 95 % interval."""
    uids = compare.two(runs, asked)
    first, second = compare.pair(rooms, uids, asked)
    names = sides(rooms, uids, asked, first, second)
    a, b = scores(first.counts, metric), scores(second.counts, metric)
    figure = deltas_figure(
        first.class_names, a.rate, b.rate, differ(a, b), names=names, metric=metric, rows=rows, theme=theme
    )
    return Json(figure, headers=fresh)


@router.get("/tables/compare", response_class=Csv, tags=["tables"])
def compare_table(rooms: InRooms, fresh: FreshFigure, runs: compare.TwoRuns, asked: InPair) -> Csv:
    """Each class's recall, precision and F1 in two runs, or windows, and their difference, second minus first."""
    uids = compare.two(runs, asked)
    first, second = compare.pair(rooms, uids, asked)
    names = sides(rooms, uids, asked, first, second)
    differences = {name: compare.told(scores(first.counts, name), scores(second.counts, name)) for name in METRICS}
    header = ["split", "class", "metric", *names, "difference", "low", "high", "p", "q", "real"]
    rows = (
        [
            asked.split, class_name, metric, one["first"]["value"], one["second"]["value"],
            *(one["difference"][part] for part in RATE), one["p"], one["q"], one["real"],
        ]
        for metric, listed in differences.items()
        for class_name, one in zip(first.class_names, listed, strict=True)
    )  # fmt: skip
    return Csv(f"compared {asked.split}", header, rows, fresh)


def sides(rooms: Rooms, uids: list[str], asked: AskedPair, first: Confusion, second: Confusion) -> tuple[str, str]:
    """What the two are called: by their runs, by their windows where the runs are one, by both where both differ."""
    if uids[0] == uids[1]:
        return _window(first), _window(second)
    a, b = names_of(rooms, uids)
    if asked.second is None:
        return a, b
    return f"{a}, {_window(first)}", f"{b}, {_window(second)}"


def _window(one: Confusion) -> str:
    return f"epoch {one.epoch}" if one.epoch is not None else f"steps {one.start:,}–{one.stop - 1:,}"
