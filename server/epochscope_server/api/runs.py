"""Runs: the list, one of them, and what a viewer may change of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from epochscope import wire
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.rooms import InRooms, Rooms, RunId, now_ms
from epochscope_server.errors import InvalidError
from epochscope_server.store import attempts, runs, spans

router = APIRouter(tags=["runs"], responses=ERRORS)

STATUSES = ("running", "stalled", "silent", "lost", "finished", "failed", "interrupted", "terminated")


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


class OneRun(ListedRun):
    splits: list[str]
    series: list[dict[str, str]]
    spans: list[dict[str, Any]]
    attempts: list[dict[str, Any]] = Field(description="who told which steps, of a run that went back to a checkpoint")
    environment: dict[str, str]


class RunPage(BaseModel):
    runs: list[ListedRun]
    next: str | None = Field(description="the cursor of the next page, null on the last")


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
    tag: Annotated[str | None, Query()] = None,
    archived: Annotated[bool, Query(description="the archived ones instead of the others")] = False,
    sort: Annotated[str, Query(description="created, heard, name or project; - before it reverses")] = "-created",
    limit: Annotated[int, Query(ge=1, le=runs.MAX_PAGE)] = 100,
    cursor: Annotated[str | None, Query(description="next of the page before", max_length=1000)] = None,
) -> Json:
    """A page of runs, newest first unless sorted otherwise."""
    statuses = status.split(",") if status else []
    if unknown := [name for name in statuses if name not in STATUSES]:
        raise InvalidError("unknown_status", f"{unknown[0]!r} is no state; they are {', '.join(STATUSES)}", "status")
    now = now_ms()
    with rooms.database.read() as connection:
        rows, following = runs.page(
            connection, project=project, q=q, tag=tag, statuses=statuses, archived=archived, sort=sort,
            limit=limit, cursor=cursor, now_ms=now, since_ms=rooms.started_ms,
        )  # fmt: skip
        ids = [row["id"] for row in rows]
        tags, epochs = runs.tags(connection, ids), runs.latest_epochs(connection, ids)
    listed = [_listed(row, rooms, now, tags[row["id"]], epochs.get(row["id"], 0)) for row in rows]
    return Json({"runs": listed, "next": following})


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
    """Delete a run and everything that is stored of it, for good."""
    deleted_ms = now_ms()
    change = await asyncio.wrap_future(rooms.writer.submit(lambda connection: runs.delete(connection, run, deleted_ms)))
    rooms.pulse.tell(change)
    return {"deleted": run}


def _whole(uid: str, rooms: Rooms) -> dict[str, Any]:
    with rooms.database.read() as connection:
        row = runs.get(connection, uid)
        tags = runs.tags(connection, [row["id"]])[row["id"]]
        series = runs.series_of(connection, row["id"])
        covered = spans.of_run(connection, row)
        tried = attempts.of_run(connection, row["id"]).told(row["steps"])
    epoch = max((one["epoch"] for one in covered), default=0)
    return {
        **_listed(row, rooms, now_ms(), tags, epoch),
        "outputs": row["outputs"],
        "environment": row["environment"],
        "splits": [split for split in ("train", "val", "test") if split in row["steps"]],
        "series": series,
        "spans": covered,
        "attempts": tried,
    }


def _listed(row: runs.Row, rooms: Rooms, now: int, tags: Sequence[str], epoch: int) -> dict[str, Any]:
    plain = (
        "project", "name", "reason", "created_ms", "started_ms", "heard_ms", "ended_ms", "params", "notes",
        "group", "archived", "epochs", "batches_per_epoch", "capture", "rev", "steps",
    )  # fmt: skip
    return {
        "id": row["uid"],
        "status": runs.status(row, now, rooms.started_ms),
        **{name: row[name] for name in plain},
        "tags": list(tags),
        "epoch": epoch,
        "summary": {
            **row["last"].get("batch", {}),
            **row["last"].get("run", {}),
            **row["last"].get("epoch", {}),
        },
        "outputs": [{"name": output["name"], "classes": len(output["class_names"])} for output in row["outputs"]],
    }
