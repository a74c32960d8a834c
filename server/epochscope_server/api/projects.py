"""Projects: how many runs each has, and for how long they are kept."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from epochscope_server.api.answer import ERRORS, Json
from epochscope_server.api.rooms import InRooms, Rooms, now_ms
from epochscope_server.store import retention

router = APIRouter(tags=["projects"], responses=ERRORS)


class OneProject(BaseModel):
    name: str
    runs: int
    keep_days: int | None = Field(description="days after a run was last heard of; null: for ever")
    due: int = Field(description="runs whose time is over, which go next")
    removed: int = Field(description="runs that went so far because their time was over")
    removed_ms: int | None = Field(description="when the last of them did")


class Projects(BaseModel):
    projects: list[OneProject]


class Retention(BaseModel):
    model_config = ConfigDict(extra="forbid")
    keep_days: int | None = Field(ge=1, le=36_500, description="whole days; null keeps the runs for ever")


@router.get("/projects", response_model=Projects)
def list_projects(rooms: InRooms) -> Json:
    """Every project, by name. Runs are kept for ever unless `keep_days` says otherwise."""
    return Json({"projects": [asdict(one) for one in _projects(rooms)]})


@router.put("/projects/retention", response_model=OneProject)
async def keep_runs(
    wanted: Retention, rooms: InRooms, project: Annotated[str, Query(description="the project", max_length=1000)]
) -> Json:
    """Keep the runs of a project for so many days after they were last heard of, then delete them, each as a whole.

    A run that goes on, has a tag or is archived is never deleted. The first go an hour after this was said.
    """
    now = now_ms()
    keeping = rooms.writer.submit(
        lambda connection: retention.keep(connection, project, wanted.keep_days, now), changes_runs=False
    )
    await asyncio.wrap_future(keeping)
    told = await asyncio.to_thread(_projects, rooms)
    return Json(next(asdict(one) for one in told if one.name == project))


def _projects(rooms: Rooms) -> list[retention.Project]:
    with rooms.database.read() as connection:
        return retention.projects(connection, now_ms(), rooms.started_ms)
