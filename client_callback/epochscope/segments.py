"""How updates lie on disk: frames with checksums, one after another in a segment, and the slots of the ack file.

A frame is

::

    u16 sync 0xA55A | u8 kind | u8 0 | u32 length | u64 seq | u32 crc32 of these 16 bytes
    payload         | u32 crc32 of the payload

little-endian. The first checksum keeps a damaged length from swallowing what follows; the sync word lets a reader find
the next frame behind damage. Both checksums are seeded with the stream, the second with the number too, so that no
frame of another is taken for this one. A slot is ``u64 seq | u32 crc32 of it | u32 0``; there are two, written in
turn, so that one of them is whole at any instant.

Nothing here touches a file.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

OVERHEAD = 24  # bytes of a frame besides its payload
MAX_PAYLOAD = 64 * 1024**2
SLOT_BYTES = 16

_SYNC = b"\x5a\xa5"  # 0xA55A
_FLUSH = 1  # the only kind
_HEAD = struct.Struct("<2sBBIQ")
_CRC = struct.Struct("<I")
_SLOT = struct.Struct("<QII")
_HEAD_BYTES = _HEAD.size + _CRC.size


class DamagedError(ValueError):
    """These bytes are not the frame that was written."""


@dataclass(frozen=True)
class Record:
    """A whole frame in a segment: of update ``seq``, at the bytes ``[start, stop)``."""

    seq: int
    start: int
    stop: int


@dataclass
class Recovered:
    """What a segment holds: every whole frame, the numbers of those whose payload is damaged, and where the last good
    byte ends. What lies behind is the torn tail of a write that never returned, unless a number is named for it.
    """

    records: list[Record] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    end: int = 0


def salt_of(stream: str) -> int:
    """What the checksums of a stream are seeded with."""
    return zlib.crc32(stream.encode())


def frame(seq: int, payload: bytes, salt: int) -> bytes:
    """The bytes of one frame."""
    head = _HEAD.pack(_SYNC, _FLUSH, 0, len(payload), seq)
    return b"".join((head, _CRC.pack(zlib.crc32(head, salt)), payload, _CRC.pack(_checksum(seq, payload, salt))))


def unframe(data: bytes, seq: int, salt: int) -> bytes:
    """The payload of the frame ``data``, which must be whole and of update ``seq``.

    Raises:
        DamagedError: it is not.
    """
    head = _head(data, 0, salt)
    if head is None or head != (seq, len(data)) or not _whole(data, 0, seq, len(data), salt):
        raise DamagedError(f"update {seq} is damaged on disk")
    return data[_HEAD_BYTES : -_CRC.size]


def recover(data: bytes, salt: int) -> Recovered:
    """Every frame of a segment that is whole, in order, whatever lies between them. Numbers only rise."""
    found = Recovered()
    at, last = 0, 0
    while 0 <= at < len(data):
        head = _head(data, at, salt)
        if head is not None and head[0] > last:
            seq, stop = head[0], at + head[1]
            if stop <= len(data) and _whole(data, at, seq, stop, salt):
                found.records.append(Record(seq, at, stop))
                found.end = at = stop
                last = seq
                continue
            if stop <= len(data):
                found.damaged.append(seq)
        at = data.find(_SYNC, at + 1)
    kept = {record.seq for record in found.records}
    found.damaged = sorted(set(found.damaged) - kept)
    return found


def slot(acked: int) -> bytes:
    """The bytes of one slot of the ack file: every update up to ``acked`` is stored at the service."""
    return _SLOT.pack(acked, zlib.crc32(acked.to_bytes(8, "little")), 0)


def acked_in(data: bytes) -> int | None:
    """The highest number that a whole slot of an ack file holds; None if there is no whole slot."""
    found: list[int] = []
    for start in range(0, len(data) - SLOT_BYTES + 1, SLOT_BYTES):
        acked, checksum, _ = _SLOT.unpack_from(data, start)
        if checksum == zlib.crc32(acked.to_bytes(8, "little")):
            found.append(acked)
    return max(found, default=None)


def _head(data: bytes, at: int, salt: int) -> tuple[int, int] | None:
    """The number and the bytes of the frame that begins at ``at``, by its own account; None if none does."""
    if data[at : at + 2] != _SYNC or at + _HEAD_BYTES > len(data):
        return None
    _, kind, _, length, seq = _HEAD.unpack_from(data, at)
    (checksum,) = _CRC.unpack_from(data, at + _HEAD.size)
    if checksum != zlib.crc32(data[at : at + _HEAD.size], salt) or kind != _FLUSH or length > MAX_PAYLOAD:
        return None
    return seq, length + OVERHEAD


def _whole(data: bytes, start: int, seq: int, stop: int, salt: int) -> bool:
    (checksum,) = _CRC.unpack_from(data, stop - _CRC.size)
    payload = memoryview(data)[start + _HEAD_BYTES : stop - _CRC.size]
    return bool(checksum == _checksum(seq, payload, salt))


def _checksum(seq: int, payload: bytes | memoryview, salt: int) -> int:
    return zlib.crc32(payload, zlib.crc32(seq.to_bytes(8, "little"), salt))
