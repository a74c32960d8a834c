"""What comes in: one flush of one stream, stored exactly once, acknowledged once it is durable."""

from __future__ import annotations

import asyncio
import zlib
from typing import Annotated

from epochscope import wire
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel

from epochscope_server.api.answer import Error, Json
from epochscope_server.api.rooms import InRooms, RunId, now_ms
from epochscope_server.errors import (
    BadRequestError,
    InvalidError,
    LengthRequiredError,
    TooLargeError,
    WrongTypeError,
)
from epochscope_server.store import log

router = APIRouter(tags=["ingest"])


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
    """Store one flush (a msgpack map, see `epochscope.wire.Flush`). Posting it again changes nothing."""
    body = await _body(request)
    try:
        posted = wire.decode(body)
    except wire.WireError as error:
        raise InvalidError("bad_flush", f"{error.field} {error.message}", error.field) from None
    if (posted.run, posted.stream) != (run, stream):
        raise InvalidError("wrong_address", "The flush belongs to another run or stream than the address says", "run")
    crc32 = zlib.crc32(body)
    received_ms = now_ms()
    job = rooms.writer.submit(lambda connection: log.append(connection, posted, body, crc32, received_ms))
    stored = await asyncio.wrap_future(job)
    if stored.change is not None:
        rooms.pulse.tell(stored.change)
        rooms.sealer.heard(stored.run_id, len(body), posted.end is not None)
    return Json({"acked": stored.acked})


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != wire.CONTENT_TYPE:
        raise WrongTypeError("wrong_type", f"A flush comes as {wire.CONTENT_TYPE}, not {kind or 'without a type'}")
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise LengthRequiredError("length_required", "A flush comes with its Content-Length")
    too_large = TooLargeError("too_large", f"A flush has at most {wire.MAX_BODY:,} bytes; send several smaller ones")
    if int(length) > wire.MAX_BODY:
        raise too_large
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > wire.MAX_BODY:
            raise too_large
        parts.append(part)
    if size != int(length):
        raise BadRequestError("cut_off", f"The body has {size} bytes, Content-Length says {length}")
    return b"".join(parts)
