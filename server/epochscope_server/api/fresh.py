"""Answers that a browser may keep: asked again, an answer about runs that did not change is 304 and costs nothing."""

from __future__ import annotations

import hashlib
from typing import Annotated

from epochscope import __version__
from fastapi import Depends, Request
from starlette.responses import Response

from epochscope_server.api.rooms import Rooms, rooms_of
from epochscope_server.store import revisions

# A browser asks each time, but says what it has; nobody between it and the service keeps anything.
KEPT = {"cache-control": "private, no-cache"}


class NotModifiedError(Exception):
    """What the viewer has is what it would get."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__()
        self.headers = headers


def not_modified(_: Request, error: Exception) -> Response:
    assert isinstance(error, NotModifiedError)
    return Response(status_code=304, headers=error.headers)


def headers_of(request: Request, rooms: Rooms, uids: list[str]) -> dict[str, str]:
    """Headers of an answer that follows from the runs ``uids`` and what is asked, alone.

    Raises:
        NotModifiedError: the viewer has this very answer.
    """
    with rooms.database.read() as connection:
        seen = revisions.of(connection, uids)
    rooms.audience.looks(uids)
    told = repr((seen, request.url.path, request.url.query, __version__)).encode()
    tag = f'"{hashlib.blake2b(told, digest_size=12).hexdigest()}"'
    headers = {"etag": tag, **KEPT}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known:
        raise NotModifiedError(headers)
    return headers


def _of_path(request: Request) -> dict[str, str]:
    return headers_of(request, rooms_of(request), [request.path_params["run"]])


def _of_query(request: Request) -> dict[str, str]:
    asked = request.query_params
    uids = [*asked.get("runs", "").split(","), asked.get("run", "")]
    return headers_of(request, rooms_of(request), [uid for uid in uids if uid])


Fresh = Annotated[dict[str, str], Depends(_of_path)]
FreshFigure = Annotated[dict[str, str], Depends(_of_query)]
