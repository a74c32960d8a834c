"""What answers here: its version, and what it keeps runs in."""

from __future__ import annotations

import platform
from dataclasses import asdict

from epochscope import __version__
from fastapi import APIRouter
from pydantic import BaseModel, Field

from epochscope_server.api.answer import Json
from epochscope_server.api.rooms import InRooms
from epochscope_server.store.described import described

router = APIRouter(tags=["service"])


class ServiceAnswer(BaseModel):
    version: str
    python: str
    store: str = Field(description="the database and its version")
    schema_: str = Field(alias="schema", description="the schema of the store")
    bytes: int | None = Field(description="of the store's files")
    runs: int = Field(description="archived ones included")
    started_ms: int = Field(description="when the service was started, in milliseconds since 1970")


@router.get("/service", response_model=ServiceAnswer)
def service(rooms: InRooms) -> Json:
    """The service and its store, for who looks after them."""
    return Json(
        {
            "version": __version__,
            "python": platform.python_version(),
            **asdict(described(rooms.database)),
            "started_ms": rooms.started_ms,
        }
    )
