"""The rows behind a figure as CSV, to take away: asked with the same query as the figure, and exact.

One row a class and window, a class, a change, a bucket; of a confusion matrix the matrix itself. Counts are whole,
rates stand beside them with their 95 % interval, and what is unknown is an empty field.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Annotated

from fastapi import APIRouter, Query

from epochscope_server.analysis.compare import METRICS
from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.api import cell, classes, confused, confusion, rulers, stability
from epochscope_server.api.answer import ERRORS
from epochscope_server.api.asked import InCurves, InMatrix, InWindow
from epochscope_server.api.cell import ClassName
from epochscope_server.api.figures import Groups, OneRun, Runs, chosen_runs, names_of, standing
from epochscope_server.api.fresh import FreshFigure
from epochscope_server.api.rooms import InRooms
from epochscope_server.api.sheet import Csv, Row
from epochscope_server.api.stability_answer import answered
from epochscope_server.figures.confusion import listed

router = APIRouter(prefix="/tables", tags=["tables"], responses=ERRORS)

RunOf = Annotated[str, Query(description="a run's id")]
RATE = ("value", "low", "high")


@router.get("/classes", response_class=Csv)
def classes_table(
    rooms: InRooms,
    fresh: FreshFigure,
    asked: InCurves,
    run: OneRun = None,
    runs: Runs = None,
    x: rulers.Unit = None,
    group: Groups = None,
) -> Csv:
    """Support, hits and misses of each class in each window, and recall, precision and F1 with their intervals."""
    uids = chosen_runs(run, runs, group)
    curves = [classes.read(rooms, uid, standing(asked, x)) for uid in uids]
    names = names_of(rooms, uids)
    tables = [of_classes(name, one) for name, one in zip(names, curves, strict=True)]
    rows = chain.from_iterable(rows for _, rows in tables)
    return Csv(f"{names[0]} classes {asked.split}", tables[0][0], rows, fresh)


@router.get("/confusion", response_class=Csv)
def confusion_table(
    rooms: InRooms,
    fresh: FreshFigure,
    run: RunOf,
    asked: InMatrix,
) -> Csv:
    """The counts of a window as a matrix: a row for each true class, a column for each predicted one."""
    found = confusion.read(rooms, run, asked)
    (name,) = names_of(rooms, [run])
    rows = ([true, *counts.tolist()] for true, counts in zip(found.class_names, found.counts, strict=True))
    title = f"{name} confusion {asked.split} {found.start}-{found.stop - 1}"
    return Csv(title, ["true class", *found.class_names], rows, fresh)


@router.get("/confused", response_class=Csv)
def confused_table(
    rooms: InRooms,
    fresh: FreshFigure,
    run: RunOf,
    asked: InMatrix,
    find: confused.Find = "",
    limit: confused.Most = 10_000,
) -> Csv:
    """Which class was taken for which, the most frequent first, with the share of the true class."""
    window, found = confused.read(rooms, run, asked, find, limit)
    (name,) = names_of(rooms, [run])
    names = window.chosen.class_names
    header = ["true class", "predicted class", "count", "of", "share", "low", "high", "covered"]
    rows = ([names[one["true"]], names[one["predicted"]], *(one[key] for key in header[2:])] for one in listed(found))
    title = f"{name} confused {asked.split} {window.window.start}-{window.window.stop - 1}"
    return Csv(title, header, rows, fresh)


@router.get("/cell", response_class=Csv)
def cell_table(
    rooms: InRooms,
    fresh: FreshFigure,
    run: RunOf,
    true: ClassName,
    predicted: ClassName,
    asked: InCurves,
) -> Csv:
    """How often one class was taken for another in each window, and which share of it that is."""
    (found,) = cell.read(rooms, run, [(true, predicted)], asked)
    (name,) = names_of(rooms, [run])
    epochs = found.epoch.tolist() if found.epoch is not None else [None] * len(found.start)
    columns = [found.start.tolist(), found.stop.tolist(), epochs, found.count.tolist(), found.support.tolist()]
    columns += [getattr(found.rate, part).tolist() for part in RATE]
    rows = ([name, asked.split, found.true, found.predicted, *row] for row in zip(*columns, strict=True))
    header = ["run", "split", "true", "predicted", "from", "to", "epoch", "count", "support", "share", "low", "high"]
    return Csv(f"{name} {found.true} taken for {found.predicted} {asked.split}", header, rows, fresh)


@router.get("/stability", response_class=Csv)
def stability_table(
    run: RunOf,
    rooms: InRooms,
    fresh: FreshFigure,
    asked: InWindow,
) -> Csv:
    """Each class's recall, instability, certified drop and forgetting; `/stability.html` explains them."""
    told = stability.read(rooms, run, asked, explain=False)
    (name,) = names_of(rooms, [run])
    header = ["run", "split", "class", "support", "recall", "recall_low", "recall_high", "instability", "null_low"]
    header += ["null_high", "verdict", "certified_drop", "drop_from", "drop_to", "recovered_at", "forgetting"]
    header += ["learnt_at", "changes"]
    rows = (
        [
            name, asked.split, one["class_name"], one["support"], *(one["recall"][part] for part in RATE),
            *(one["instability"][part] for part in (*RATE, "verdict")),
            *(one["certified_drop"][part] for part in ("value", "from", "to", "back")),
            one["forgetting"], one["learnt_at"], len(one["changes"]),
        ]
        for one in answered(told.found, told.averages, told.alarms)["classes"]
    )  # fmt: skip
    return Csv(f"{name} stability {asked.split}", header, rows, fresh)


@router.get("/changes", response_class=Csv)
def changes_table(
    run: RunOf,
    rooms: InRooms,
    fresh: FreshFigure,
    asked: InWindow,
) -> Csv:
    """Every change of a class's recall that noise does not explain: when, from what to what, and what was near it."""
    told = stability.read(rooms, run, asked)
    (name,) = names_of(rooms, [run])
    header = ["run", "split", "class", "kind", "direction", "from", "to", "at", "before", "before_low", "before_high"]
    header += ["after", "after_low", "after_high", "taken_for", "near"]
    rows = (
        [
            name, asked.split, one["class_name"],
            *(change[part] for part in ("kind", "direction", "from", "to", "at")),
            *(change[side][part] for side in ("before", "after") for part in RATE),
            change["taken_for"], "; ".join(event["says"] for event in change["near"]),
        ]
        for one in answered(told.found, told.averages, told.alarms)["classes"]
        for change in one["changes"]
    )  # fmt: skip
    return Csv(f"{name} changes {asked.split}", header, rows, fresh)


def of_classes(name: str, curves: ClassCurves) -> tuple[list[str], Iterator[Row]]:
    """Header and rows: what happened to each class in each window."""
    header = ["run", "split", "class", "from", "to", "epoch", "support", "tp", "fp", "fn"]
    header += [metric if part == "value" else f"{metric}_{part}" for metric in METRICS for part in RATE]
    return header, _of_classes(name, curves)


def _of_classes(name: str, curves: ClassCurves) -> Iterator[Row]:
    epochs = curves.epoch.tolist() if curves.epoch is not None else [None] * len(curves.start)
    windows = [curves.start.tolist(), curves.stop.tolist(), epochs]
    numbers = [curves.support, curves.tp, curves.fp, curves.fn]
    numbers += [getattr(curves.rate(metric), part) for metric in METRICS for part in RATE]
    for index, class_name in enumerate(curves.class_names):
        for row in zip(*windows, *(column[index].tolist() for column in numbers), strict=True):
            yield [name, curves.split, class_name, *row]
