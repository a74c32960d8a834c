"""Runs: the list, one of them, and what a viewer may change of it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from epochscope import wire
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.rooms import InRooms, Rooms, RunId, now_ms
from epochscope_server.conditions import conditions, order
from epochscope_server.errors import InvalidError
from epochscope_server.store import alerts, attempts, fields, glances, listing, runs, spans
from epochscope_server.store.search import Wanted

router = APIRouter(tags=["runs"], responses=ERRORS)

STATUSES = ("running", "stalled", "silent", "lost", "finished", "failed", "interrupted", "terminated")

WHERE = (
    "a condition on a param or a summary value, such as `params.lr<0.001`, `summary.val_macro_f1>=0.9` or "
    "`params.optimizer=adam`; given several times, all of them. It compares with `=`, `!=`, `<`, `<=`, `>` or `>=`: "
    'what looks like a number with numbers, all else with texts, also what stands in double quotes (`"3"`). A name '
    'with one of `=!<>"` in it is put in double quotes, too. A run that lacks the value, or has NaN, meets no condition'
)
SORT = (
    "created, heard, name, project, worst (the F1 of the run's worst class), drop (its certified drop, 0 where none "
    "fell), a param or a summary value such as `summary.val_accuracy`; - before it reverses. Numbers come before "
    "texts; runs without a value, or with NaN, come last either way, newest first"
)


class AlertCount(BaseModel):
    all: int
    on: int = Field(description="how many of them have not ended")


class OfClassAnswer(BaseModel):
    class_name: str
    value: float


class GlanceAnswer(BaseModel):
    """Of the first output, worked out once an epoch and when the run ends."""

    split: str = Field(description="val where the run has validation, else train")
    macro_f1: list[float | None] = Field(description="its course in at most 32 points, the latest last")
    worst: OfClassAnswer | None = Field(description="the class of the least F1 at the end of that course")
    drop: OfClassAnswer | None = Field(description="the largest certified drop of recall in training; null: none fell")


class ListedRun(BaseModel):
    id: str
    project: str
    name: str
    status: str = Field(description=", ".join(STATUSES))
    reason: str = Field(description="why it ended so, in one line; empty if there is nothing to say")
    created_ms: int = Field(description="times are milliseconds since 1970, by the clock of the service")
    started_ms: int = Field(description="by the clock of the training machine")
    heard_ms: int
    ended_ms: int | None
    params: dict[str, Any]
    tags: list[str]
    notes: str
    group: str
    archived: bool
    epochs: int | None = Field(description="planned")
    batches_per_epoch: int | None
    epoch: int = Field(description="the latest begun, 0 before the first")
    capture: str = Field(description="what is captured of the model, and why no more, in one line")
    rev: int = Field(description="grows with everything that is stored of the run")
    steps: dict[str, int] = Field(description="last step of each split")
    summary: dict[str, float | str] = Field(
        description="last value of each scalar without a slash in its name, val_ before those of validation"
    )
    outputs: list[dict[str, Any]]
    alerts: AlertCount
    glance: GlanceAnswer | dict[str, Any] | None = Field(
        description="null before the first look at the run, empty where it has no classes"
    )


class OneRun(ListedRun):
    splits: list[str]
    series: list[dict[str, str]]
    spans: list[dict[str, Any]]
    attempts: list[dict[str, Any]] = Field(description="who told which steps, of a run that went back to a checkpoint")
    processes: int = Field(description="how many have told something of it; what they say of one step adds up")
    environment: dict[str, str]
    missing: dict[str, int] = Field(
        description="what was recorded and will never be here: updates `lost` to damage on the disk of the training, "
        "values by batch `thinned` where it was full, or `dropped` where memory was, too; updates `refused` here"
    )


class RunPage(BaseModel):
    runs: list[ListedRun]
    next: str | None = Field(description="the cursor of the next page, null on the last")


class NamedField(BaseModel):
    name: str
    kinds: list[str] = Field(description="number, text, or both in different runs")


class Fields(BaseModel):
    params: list[NamedField]
    summary: list[NamedField]


class Amendment(BaseModel):
    """Only what is given changes."""

    model_config = ConfigDict(extra="forbid")
    name: str | None = None
    notes: str | None = Field(default=None, max_length=10_000)
    tags: list[str] | None = Field(default=None, max_length=100)
    archived: bool | None = None


@router.get("/runs", response_model=RunPage)
def list_runs(
    rooms: InRooms,
    project: Annotated[str | None, Query(description="only of this project")] = None,
    q: Annotated[str | None, Query(description="part of the name, project, group, notes or id", max_length=256)] = None,
    status: Annotated[str | None, Query(description="one state, or several with commas")] = None,
    tag: Annotated[list[str] | None, Query(description="a tag; given several times, all of them")] = None,
    where: Annotated[list[str] | None, Query(description=WHERE, examples=["params.lr<0.001"])] = None,
    archived: Annotated[bool, Query(description="the archived ones instead of the others")] = False,
    sort: Annotated[str, Query(description=SORT, max_length=1000)] = "-created",
    limit: Annotated[int, Query(ge=1, le=listing.MAX_PAGE)] = 100,
    cursor: Annotated[str | None, Query(description="next of the page before", max_length=4000)] = None,
) -> Json:
    """A page of runs, newest first unless sorted otherwise. A run that is made meanwhile moves none that follow."""
    statuses = status.split(",") if status else []
    if unknown := [name for name in statuses if name not in STATUSES]:
        raise InvalidError("unknown_status", f"{unknown[0]!r} is no state; they are {', '.join(STATUSES)}", "status")
    wanted = Wanted(order(sort), project, q or "", statuses, tag or (), conditions(where or ()), archived)
    now = now_ms()
    with rooms.database.read() as connection:
        rows, following = listing.page(connection, wanted, limit, cursor, now, rooms.started_ms)
        ids = [row["id"] for row in rows]
        alerted, seen = alerts.counts(connection, ids), glances.of_runs(connection, ids)
    return Json({"runs": [_listed(row, alerted, seen, rooms, now) for row in rows], "next": following})


@router.get("/runs/fields", response_model=Fields)
def list_fields(
    rooms: InRooms, project: Annotated[str | None, Query(description="only of runs of this project")] = None
) -> Json:
    """The names of params and summary values that runs have, in order, for choosing columns, filters and sorts."""
    with rooms.database.read() as connection:
        found = fields.listed(connection, project)
    return Json(
        {
            kind: [{"name": name, "kinds": sorted(there[name])} for name in sorted(there)]
            for kind, there in found.items()
        }
    )


@router.get("/runs/{run}", response_model=OneRun)
def get_run(run: RunId, rooms: InRooms) -> Json:
    """One run, with what there is to be asked of it: splits, series, spans, outputs and their classes."""
    return Json(_whole(run, rooms))


@router.patch("/runs/{run}", response_model=OneRun)
async def amend_run(run: RunId, changes: Amendment, rooms: InRooms) -> Json:
    """Rename, tag, annotate, archive."""
    wanted = changes.model_dump(exclude_none=True)
    try:
        for name in ([wanted["name"]] if "name" in wanted else []) + wanted.get("tags", []):
            wire.check_name("name" if name == wanted.get("name") else "tags", name)
    except wire.WireError as error:
        raise InvalidError("bad_name", str(error), error.field) from None
    change = await asyncio.wrap_future(rooms.writer.submit(lambda connection: runs.amend(connection, run, wanted)))
    rooms.pulse.tell(change)
    return Json(await asyncio.to_thread(_whole, run, rooms))


@router.delete("/runs/{run}", status_code=200)
async def delete_run(run: RunId, rooms: InRooms) -> dict[str, str]:
    """Delete a run and everything that is stored of it, for good. It is gone at once, its space a little later."""
    deleted_ms = now_ms()
    change = await asyncio.wrap_future(rooms.writer.submit(lambda connection: runs.delete(connection, run, deleted_ms)))
    rooms.pulse.tell(change)
    rooms.keeper.wake()
    return {"deleted": run}


def _whole(uid: str, rooms: Rooms) -> dict[str, Any]:
    with rooms.database.read() as connection:
        row = runs.get(connection, uid)
        tags = runs.tags(connection, [row["id"]])[row["id"]]
        alerted, seen = alerts.counts(connection, [row["id"]]), glances.of_runs(connection, [row["id"]])
        series = runs.series_of(connection, row["id"])
        covered = spans.of_run(connection, row)
        processes = runs.processes_of(connection, row["id"])
        tried = attempts.of_run(connection, row["id"]).told(row["steps"])
    epoch = max((one["epoch"] for one in covered), default=0)
    return {
        **_listed(
            {**row, "tags": tags, "epoch": epoch, "summary": runs.summary(row["last"])}, alerted, seen, rooms, now_ms()
        ),
        "environment": row["environment"],
        "processes": processes,
        "missing": runs.missing(row["environment"]),
        "splits": [split for split in ("train", "val", "test") if split in row["steps"]],
        "series": series,
        "spans": covered,
        "attempts": tried,
    }


def _listed(
    row: runs.Row, alerted: dict[int, tuple[int, int]], seen: dict[int, Any], rooms: Rooms, now: int
) -> dict[str, Any]:
    shown = {name: row[name] for name in ListedRun.model_fields if name in row}
    every, on = alerted[row["id"]]
    return {
        **shown,
        "alerts": {"all": every, "on": on},
        "glance": seen.get(row["id"]),
        "id": row["uid"],
        "status": runs.status(row, now, rooms.started_ms),
    }
