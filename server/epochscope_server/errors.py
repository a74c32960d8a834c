"""Errors whose text a viewer may read, each with the status it is answered with; all others stay opaque."""

from __future__ import annotations

from typing import Any


class PublicError(Exception):
    """Answered as ``{"error": {"code", "message", "field", ...}}``; ``message`` says what to do about it."""

    status = 400

    def __init__(self, code: str, message: str, field: str | None = None, **more: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.more = more

    def body(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.message, "field": self.field, **self.more}}


class BadRequestError(PublicError):
    status = 400


class ForbiddenError(PublicError):
    status = 403


class NotFoundError(PublicError):
    status = 404


class ConflictError(PublicError):
    status = 409


class GoneError(PublicError):
    status = 410


class LengthRequiredError(PublicError):
    status = 411


class TooLargeError(PublicError):
    status = 413


class WrongTypeError(PublicError):
    status = 415


class InvalidError(PublicError):
    status = 422


class BusyError(PublicError):
    """Try again after ``retry_after`` seconds; sent as the header of that name."""

    status = 503

    def __init__(self, code: str, message: str, retry_after: int) -> None:
        super().__init__(code, message)
        self.retry_after = retry_after


class DamagedError(PublicError):
    """Something stored can't be read back; ``what`` says which, for the operator."""

    status = 500

    def __init__(self, what: str) -> None:
        super().__init__(
            "damaged",
            f"A part of this is damaged on disk ({what}). The rest can be read; if you have a copy of the data folder "
            "from before, stop the service and put it back",
        )


class StartError(Exception):
    """The service can't start; the message says why and what to do, and goes to the operator's terminal."""


class CareError(Exception):
    """A command that looks after a store can't be carried out; the message says why and what to do."""
