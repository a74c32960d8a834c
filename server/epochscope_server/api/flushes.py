"""What comes in: one flush of one stream, stored exactly once, acknowledged once it is durable."""

from __future__ import annotations

import asyncio
import re
import zlib
from typing import Annotated

from epochscope import wire
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.responses import Response

from epochscope_server.api.answer import Error, Json, refused
from epochscope_server.api.rooms import InRooms, Rooms, RunId, now_ms
from epochscope_server.errors import (
    BadRequestError,
    BusyError,
    InvalidError,
    LengthRequiredError,
    TooLargeError,
    WrongTypeError,
)
from epochscope_server.guard import App, Receive, Scope, Send
from epochscope_server.store import log

router = APIRouter(tags=["ingest"])

_WATCHED = wire.WATCHED[0].encode(), wire.WATCHED[1].encode()
_ADDRESS = re.compile(r"/api/v1/runs/([^/]{1,32})/streams/([^/]{1,32})/flushes")


class Acknowledged(BaseModel):
    """Every flush of the stream up to this seq survives a power cut."""

    acked: int


@router.post(
    "/runs/{run}/streams/{stream}/flushes",
    response_model=Acknowledged,
    responses={status: {"model": Error} for status in (400, 409, 410, 411, 413, 415, 422, 503)},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {wire.CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def take(run: RunId, stream: Annotated[str, Path(max_length=32)], request: Request, rooms: InRooms) -> Json:
    """Store one flush (a msgpack map, see `epochscope.wire.Flush`). Posting it again changes nothing.

    The header `epochscope-watched: 1` says that somebody looks at the run, so that flushes are welcome more often.
    """
    acked = await _take(rooms, run, stream, request.headers, request.receive)
    return Json({"acked": acked}, headers=dict([wire.WATCHED]) if rooms.audience.watches(run) else None)


class FlushDoor:
    """In front of ``app``: takes flushes itself and passes on everything else.

    A flush comes some thousand times a second, and the way through the framework costs more than to store it. The
    route above does the same and describes it.
    """

    def __init__(self, app: App, rooms: Rooms) -> None:
        self._app = app
        self._rooms = rooms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = _ADDRESS.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if known is None:
            await self._app(scope, receive, send)
            return
        answer: Response
        try:
            acked = await _take(self._rooms, known[1], known[2], Headers(scope=scope), receive)
        except asyncio.CancelledError:  # the service stops and has waited long enough for the rest of this flush
            answer = refused(BusyError("stopping", "The service is being stopped; try again", 2))
        except Exception as error:
            answer = refused(error)
        else:
            content = b'{"acked":%d}' % acked
            headers = [(b"content-length", b"%d" % len(content)), (b"content-type", b"application/json")]
            if self._rooms.audience.watches(known[1]):
                headers.append(_WATCHED)
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": content})
            return
        await answer(scope, receive, send)


async def _take(rooms: Rooms, run: str, stream: str, headers: Headers, receive: Receive) -> int:
    """Store a flush; gives the highest seq of its stream that is stored."""
    body = await _body(headers, receive)
    try:
        posted = wire.decode(body)
    except wire.WireError as error:
        raise InvalidError("bad_flush", f"{error.field} {error.message}", error.field) from None
    if (posted.run, posted.stream) != (run, stream):
        raise InvalidError("wrong_address", "The flush belongs to another run or stream than the address says", "run")
    stored = await rooms.writer.append(log.Posted(posted, body, zlib.crc32(body), now_ms()))
    if stored.change is not None:
        rooms.pulse.tell(stored.change)
        rooms.sealer.heard(stored.run_id, len(body), posted.end is not None)
        rooms.alerter.wake()
    return stored.acked


async def _body(headers: Headers, receive: Receive) -> bytes:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != wire.CONTENT_TYPE:
        raise WrongTypeError("wrong_type", f"A flush comes as {wire.CONTENT_TYPE}, not {kind or 'without a type'}")
    length = headers.get("content-length", "")
    if not length.isdecimal():
        raise LengthRequiredError("length_required", "A flush comes with its Content-Length")
    too_large = TooLargeError("too_large", f"A flush has at most {wire.MAX_BODY:,} bytes; send several smaller ones")
    if int(length) > wire.MAX_BODY:
        raise too_large
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequestError("cut_off", "The sender hung up in the middle of the body")
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size > wire.MAX_BODY:
            raise too_large
        parts.append(part)
    if size != int(length):
        raise BadRequestError("cut_off", f"The body has {size} bytes, Content-Length says {length}")
    return b"".join(parts)
