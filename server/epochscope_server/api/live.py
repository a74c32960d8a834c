"""What is new, as it happens: server-sent events that name a run and its revision, and nothing else.

A viewer that reads slowly is told only the latest of each run; it can never hold up a flush.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Any

import anyio
import msgspec
from fastapi import APIRouter, Header, Request
from sse_starlette import EventSourceResponse

from epochscope_server.errors import BusyError
from epochscope_server.store import runs
from epochscope_server.store.runs import Change

router = APIRouter(tags=["live"])

MAX_VIEWERS = 256
BREATH_S = 0.25  # changes that come together are told together


class Viewer:
    """One open stream: a mailbox that keeps the latest change of each run."""

    def __init__(self) -> None:
        self.waiting: dict[str, Change] = {}
        self.bell = asyncio.Event()


class Pulse:
    """Tells every viewer what changed. Lives on the event loop; nothing here waits for a viewer."""

    def __init__(self) -> None:
        self._viewers: set[Viewer] = set()
        self.announce: Callable[[], None] | None = None

    def tell(self, change: Change) -> None:
        """Something was changed here. With ``announce`` set, viewers learn it by way of the database, in order."""
        if self.announce is None:
            self.show([change])
        else:
            self.announce()

    def show(self, changes: Sequence[Change]) -> None:
        for viewer in self._viewers:
            for change in changes:
                viewer.waiting.pop(change.uid, None)  # so that it comes last: ids must grow within a stream
                viewer.waiting[change.uid] = change
            viewer.bell.set()

    def check_room(self) -> None:
        """Raises BusyError where one more viewer would be too many."""
        if len(self._viewers) >= MAX_VIEWERS:
            raise BusyError("too_many_viewers", f"{MAX_VIEWERS} pages watch this service already; close some", 30)

    def join(self) -> Viewer:
        viewer = Viewer()
        self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)


@router.get(
    "/live",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "event: run, id, data {run, rev, status}"}},
)
async def live(request: Request, last_event_id: Annotated[int | None, Header(ge=0)] = None) -> EventSourceResponse:
    """Runs that have something new; after a reconnect (Last-Event-ID), all that changed in between."""
    rooms = request.app.state.rooms
    rooms.pulse.check_room()

    leaving = anyio.Event()  # set when the service is told to stop: the stream then ends in order

    async def events() -> AsyncIterator[dict[str, Any]]:
        viewer = rooms.pulse.join()
        try:
            if last_event_id is not None:
                for change in await asyncio.to_thread(_missed, rooms.database, last_event_id):
                    viewer.waiting.setdefault(change.uid, change)
                    viewer.bell.set()
            while await _rings(viewer.bell, leaving):
                changes, viewer.waiting = list(viewer.waiting.values()), {}
                for change in changes:
                    data = {"run": change.uid, "rev": change.rev, "status": change.status}
                    yield {"event": "run", "id": str(change.number), "data": msgspec.json.encode(data).decode()}
                await asyncio.sleep(BREATH_S)
        finally:
            rooms.pulse.leave(viewer)

    return EventSourceResponse(
        events(), ping=15, send_timeout=10, shutdown_event=leaving, shutdown_grace_period=2 * BREATH_S
    )


async def _rings(bell: asyncio.Event, leaving: anyio.Event) -> bool:
    """Wait for either; True when it was the bell, which is quiet again afterwards."""
    waits = [asyncio.ensure_future(event.wait()) for event in (bell, leaving)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    bell.clear()
    return not leaving.is_set()


def _missed(database: Any, number: int) -> list[Change]:
    with database.read() as connection:
        return runs.changed_since(connection, number)
