"""What every route needs: the rooms of this service, and the parameters that many routes share."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from epochscope import wire
from fastapi import Depends, Path, Query, Request

from epochscope_server.api.live import Pulse
from epochscope_server.errors import InvalidError, NotFoundError
from epochscope_server.store.database import Database
from epochscope_server.store.writer import Writer


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Rooms:
    database: Database
    writer: Writer
    pulse: Pulse
    started_ms: int = field(default_factory=now_ms)


def _rooms(request: Request) -> Rooms:
    rooms: Rooms = request.app.state.rooms
    return rooms


InRooms = Annotated[Rooms, Depends(_rooms)]
RunId = Annotated[str, Path(description="The run's id, as GET /runs lists it", max_length=32)]
Split = Annotated[wire.Split, Query(description="train, val, or test (a standalone evaluate)")]
OutputName = Annotated[str | None, Query(description="The classified output, where the model has several")]
From = Annotated[int | None, Query(alias="from", description="First step of the window; left out: from the start")]
To = Annotated[int | None, Query(description="The window ends before this step; left out: to the end")]
EpochNumber = Annotated[int | None, Query(ge=1, description="The window is this epoch, instead of from and to")]


def chosen_output(run: Mapping[str, Any], name: str | None) -> tuple[int, tuple[str, ...]]:
    """Index and class names of the output that is asked for.

    Raises:
        NotFoundError: the run has no confusion counts, or no output of this name.
        InvalidError: it has several outputs and none was named.
    """
    outputs = run["outputs"]
    names = ", ".join(output["name"] for output in outputs)
    if not outputs:
        why = f" ({run['capture']})" if run["capture"] else ""
        raise NotFoundError("no_confusion", f"This run has no confusion counts{why}; its scalar series are there")
    if name is None:
        if len(outputs) > 1:
            raise InvalidError(
                "output_needed", f"This run has several outputs; name one with output=: {names}", "output"
            )
        return 0, tuple(outputs[0]["class_names"])
    for index, output in enumerate(outputs):
        if output["name"] == name:
            return index, tuple(output["class_names"])
    raise NotFoundError("unknown_output", f"This run has no output {name!r}; it has: {names}", "output")
