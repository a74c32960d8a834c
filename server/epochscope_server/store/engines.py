"""What the engines of both databases have in common: how JSON is written, and that no stored value gets into a log."""

from __future__ import annotations

from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def as_json(value: Any) -> str:
    """The text of ``value`` in a column of JSON."""
    return _encoder.encode(value).decode()


# msgspec takes a tenth of the time of Python's json, and that is spent on every flush.
COMMON: dict[str, Any] = {"hide_parameters": True, "json_serializer": as_json, "json_deserializer": _decoder.decode}
