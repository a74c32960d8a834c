"""How answers look: JSON whose unknown numbers are null, and one shape for everything that goes wrong."""

from __future__ import annotations

import logging
import secrets
from typing import Any

import msgspec
import numpy as np
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from epochscope_server.analysis.rates import Rate
from epochscope_server.errors import BusyError, PublicError
from epochscope_server.nonfinite import said

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()


class ErrorDetail(BaseModel):
    code: str
    message: str
    field: str | None


class Error(BaseModel):
    """Every answer that is not a success."""

    error: ErrorDetail


ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": Error, "description": "There is no such thing"},
    422: {"model": Error, "description": "What was asked makes no sense"},
}


class Json(Response):
    """``content`` as JSON; a float that is not finite becomes null, so say it as a string where it means something."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return _encoder.encode(content)


class RateAnswer(BaseModel):
    """A rate with its 95 % interval, curves as [class][point]; null is unknown (no support), never 0."""

    value: list[list[float | None]]
    low: list[list[float | None]]
    high: list[list[float | None]]


def rate(one: Rate) -> dict[str, Any]:
    return {"value": one.value.tolist(), "low": one.low.tolist(), "high": one.high.tolist()}


def numbers(values: np.ndarray) -> list[float | str]:
    """Floats, with NaN and ±Inf as the strings "NaN", "Infinity", "-Infinity"."""
    listed: list[float | str] = values.tolist()
    for index in np.flatnonzero(~np.isfinite(values)):
        listed[index] = said(float(values[index]))
    return listed


def refused(error: Exception) -> Response:
    """The answer to a request that ended in ``error``; what is not meant for a viewer goes to the log."""
    if isinstance(error, PublicError):
        headers = {"retry-after": str(error.retry_after)} if isinstance(error, BusyError) else None
        return Json(error.body(), error.status, headers)
    reference = secrets.token_hex(4)
    _log.error("request failed, reference %s", reference, exc_info=error)
    message = f"Something went wrong inside the service; its log tells more at reference {reference}"
    return Json(_body("internal", message), 500)


def add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(PublicError)
    async def public(_: Request, error: PublicError) -> Response:
        return refused(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
        return Json(_body("invalid", f"{field}: {first['msg']}", field), 422)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        words = {
            404: ("not_found", "There is nothing at this address"),
            405: ("wrong_method", "This address can't be asked that way"),
        }
        code, message = words.get(error.status_code, ("refused", "This can't be answered"))
        return Json(_body(code, message), error.status_code, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        return refused(error)


def _body(code: str, message: str, field: str | None = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "field": field}}
