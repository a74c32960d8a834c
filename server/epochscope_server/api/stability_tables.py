"""The rows behind the figures of gaps and groups as CSV, asked with the same query as the figure."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from epochscope_server.analysis.compare import METRICS
from epochscope_server.api import gap, groups
from epochscope_server.api.answer import ERRORS
from epochscope_server.api.asked import InMatrices
from epochscope_server.api.fresh import FreshFigure
from epochscope_server.api.rooms import InRooms, LabelName, OutputName
from epochscope_server.api.sheet import Csv

router = APIRouter(prefix="/tables", tags=["tables"], responses=ERRORS)

RATE = ("value", "low", "high")


@router.get("/gap", response_class=Csv)
def gap_table(
    run: Annotated[str, Query(description="a run's id")],
    rooms: InRooms,
    fresh: FreshFigure,
    epoch: gap.Epoch = None,
    output: OutputName = None,
    label: LabelName = None,
) -> Csv:
    """Each class's recall, precision and F1 in training, in validation, and the gap, with intervals and q."""
    found = gap.read(rooms, run, epoch, output, label)
    header = ["epoch", "class", "metric"]
    header += [name if part == "value" else f"{name}_{part}" for name in ("train", "val", "gap") for part in RATE]
    rows = (
        [
            found["epoch"], one["class_name"], metric,
            *(one[metric][name][part] for name in ("train", "val", "gap") for part in RATE),
            one[metric]["q"], one[metric]["verdict"],
        ]
        for metric in METRICS
        for one in found["classes"]
    )  # fmt: skip
    return Csv(f"gap epoch {found['epoch']}", [*header, "q", "verdict"], rows, fresh)


@router.get("/groups", response_class=Csv)
def groups_table(
    rooms: InRooms,
    asked: InMatrices,
    first: Annotated[str, groups.Seeds],
    second: Annotated[str, groups.Seeds] = "",
    first_name: Annotated[str, Query(description="what the first group is called", max_length=256)] = "These runs",
    second_name: Annotated[str, Query(max_length=256)] = "The others",
) -> Csv:
    """Mean, interval and spread of each class in each group, and q of their difference."""
    _, read = groups.matrices(rooms, first, second, asked)
    found = groups.compared(read)["classes"]
    header = ["split", "class", "metric", "group", "mean", "low", "high", "spread", "runs", "q", "real"]
    rows = (
        [
            asked.split, one["class_name"], metric, name, *(one[metric][group]["mean"][part] for part in RATE),
            one[metric][group]["spread"], one[metric][group]["runs"], one[metric]["q"], one[metric]["real"],
        ]
        for metric in METRICS
        for one in found
        for group, name in (("first", first_name), ("second", second_name))
        if one[metric][group] is not None
    )  # fmt: skip
    return Csv(f"groups {asked.split}", header, rows, {})
