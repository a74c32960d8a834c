"""Ids and names as they travel: what can be stored on every database, and shown as it is."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

MAX_NAME = 256  # bytes of one name in UTF-8

_ID = re.compile(r"[0-9a-z]{8,32}")
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # can disguise a name


class WireError(ValueError):
    """A flush that can't be taken: ``field`` says where, the message what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def check_id(field: str, value: str) -> None:
    """Ids of runs and streams: 8 to 32 digits and small letters, made by the client.

    Raises:
        WireError: it is none.
    """
    if not _ID.fullmatch(value):
        raise WireError(field, "must be 8 to 32 characters, digits and small letters only")


def check_name(field: str, value: str) -> None:
    """A name that can be stored on every database and shown as it is: not empty, no control characters.

    Raises:
        WireError: it is none.
    """
    if not value:
        raise WireError(field, "must not be empty")
    if len(value) > MAX_NAME or clean_name(value) != value:
        raise WireError(field, f"must be at most {MAX_NAME} bytes, without control characters")


def clean_name(value: object) -> str:
    """``value`` as a name that ``check_name`` takes: what can't be shown becomes U+FFFD, the rest stays."""
    return _clean(str(value)[: MAX_NAME + 1])  # no character is less than a byte: what follows is cut off anyway


@lru_cache(4096)  # the same names come with every flush
def _clean(value: str) -> str:
    text = "".join("\ufffd" if _unshowable(character) else character for character in value)
    while len(text.encode()) > MAX_NAME:
        text = text[:-1]
    return text or "\ufffd"


def _unshowable(character: str) -> bool:
    # Cc: NUL and escape sequences. Cs: lone surrogates, which no database takes.
    return unicodedata.category(character) in ("Cc", "Cs") or character in _BIDI
