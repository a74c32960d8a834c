"""What the service answered to a flush: the status, what the answer holds, and how long it asks to wait."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Self


@dataclass(frozen=True)
class Reply:
    """An answer as it came; nothing in it is believed before it is looked at."""

    status: int
    content: dict[str, Any]
    retry_after_s: float | None
    watched: bool = False  # somebody looks at the run

    @classmethod
    def of(cls, status: int, text: bytes, retry_after: str | None, watched: bool = False) -> Self:
        """The reply of a body that should be a JSON object, and of the header ``Retry-After``, if there is one."""
        return cls(status, _object(text), seconds_asked(retry_after), watched)

    @property
    def message(self) -> str:
        error = self.content.get("error")
        said = error.get("message") if isinstance(error, dict) else None
        return f"{said} (HTTP {self.status})" if said else f"HTTP {self.status}"

    @property
    def code(self) -> str:
        error = self.content.get("error")
        return str(error.get("code", "")) if isinstance(error, dict) else ""

    @property
    def expected(self) -> int | None:
        error = self.content.get("error")
        value = error.get("expected") if isinstance(error, dict) else None
        return value if isinstance(value, int) else None


def seconds_asked(header: str | None) -> float | None:
    """How long ``Retry-After`` asks to wait: seconds, or until a date; None if it says neither."""
    if header is None:
        return None
    if re.fullmatch(r"[0-9]+", header.strip()):
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(date.timestamp() - time.time(), 0.0)


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
