"""The frame around every blob: magic, checksum, a header of fixed size, columns packed by zstd or as they are.

  0  4  magic; the last character is the version of the format
  4  4  CRC-32 of all that follows
  8  1  how the columns are kept: 0 as they are, 1 as one zstd frame
  9  h  header, fixed for each magic; it says how long the columns are
9+h  .  columns
"""

from __future__ import annotations

import struct
import sys
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_COLUMNS = 2**29  # bytes of one blob's columns when unpacked; both databases end at about 2^30 a value
LEAST_PACKED = 512  # bytes; fewer are not worth the 10 µs that it takes to make an unpacker
_START = struct.Struct("<4sIB")
_PLAIN, _ZSTD = 0, 1
# The checksum inside guards against a wrong unpacking, ours against damaged bytes.
_PACKING: dict[int, int] = {zstd.CompressionParameter.compression_level: 1, zstd.CompressionParameter.checksum_flag: 1}
_UNPACKING: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 20}  # level 1 needs 19 at most

# A compressor belongs to one thread: two threads would mix their blobs up in a shared one.
_of_thread = threading.local()


class FormatError(ValueError):
    """A blob that can't be read; the message says which one it is and what is wrong with it."""


@dataclass(frozen=True)
class Opened:
    """A blob whose checksum is right: its header, and its columns still packed."""

    header: bytes
    what: str
    _how: int
    _columns: memoryview

    def columns(self, length: int) -> memoryview:
        """The columns, which must be ``length`` bytes; no more than that is ever unpacked.

        Raises:
            FormatError: they are longer or shorter, or can't be unpacked.
        """
        if not 0 <= length <= MAX_COLUMNS:
            raise FormatError(
                f"{self.what} says that it has {length:,} bytes of columns; at most {MAX_COLUMNS:,} can be"
            )
        if self._how == _PLAIN:
            columns = self._columns
        else:
            unpacker = zstd.ZstdDecompressor(options=_UNPACKING)
            try:
                columns = memoryview(unpacker.decompress(self._columns, length + 1))
            except zstd.ZstdError as error:
                raise FormatError(f"{self.what} can't be unpacked: {error}") from error
            if not unpacker.eof or unpacker.unused_data:
                raise FormatError(f"{self.what} does not end where its columns do")
        if len(columns) != length:
            raise FormatError(f"{self.what} has {len(columns):,} bytes of columns where its header says {length:,}")
        return columns


def pack(magic: bytes, header: bytes, columns: Sequence[bytes], plain: bool = False) -> bytes:
    """The blob: ``columns`` one after the other, packed where that makes them smaller and ``plain`` does not forbid it.

    Each column becomes zstd blocks of its own, so that each has its own table of frequencies: 3 to 18 % smaller.

    Raises:
        FormatError: more than ``MAX_COLUMNS`` bytes.
    """
    length = sum(map(len, columns))
    if length > MAX_COLUMNS:
        raise FormatError(f"{length:,} bytes are too many for one blob; at most {MAX_COLUMNS:,} can be")
    how, kept = _PLAIN, columns
    if not plain and length >= LEAST_PACKED:
        compressor = _of_thread.__dict__.pop("compressor", None) or zstd.ZstdCompressor(options=_PACKING)
        *before, last = [column for column in columns if column]
        packed = [compressor.compress(column, zstd.ZstdCompressor.FLUSH_BLOCK) for column in before]
        packed.append(compressor.compress(last, zstd.ZstdCompressor.FLUSH_FRAME))
        _of_thread.compressor = compressor  # only now: one that failed half-way would carry on in the next blob
        if sum(map(len, packed)) < length:
            how, kept = _ZSTD, packed
    rest = b"".join((bytes((how,)), header, *kept))
    return magic + struct.pack("<I", zlib.crc32(rest)) + rest


def unpack(data: bytes, magic: bytes, header: int, what: str) -> Opened:
    """Check the frame of ``data``, whose header must have ``header`` bytes; ``what`` names it in errors: "leaf".

    Raises:
        FormatError: cut off, another format or version, or damaged.
    """
    if len(data) < _START.size + header:
        raise FormatError(f"{what} is cut off after {len(data)} bytes")
    found, checksum, how = _START.unpack_from(data)
    if found != magic:
        if found[:3] == magic[:3]:
            raise FormatError(f"{what} has format {found!r}; this version of epochscope reads {magic!r}")
        raise FormatError(f"{what} starts with {found!r} where {magic!r} should stand")
    whole = memoryview(data)
    if zlib.crc32(whole[8:]) != checksum:
        raise FormatError(f"{what} is damaged: its checksum is wrong")
    if how not in (_PLAIN, _ZSTD):
        raise FormatError(f"{what} is packed in a way ({how}) that this version of epochscope does not know")
    end = _START.size + header
    return Opened(bytes(whole[_START.size : end]), what, how, whole[end:])
