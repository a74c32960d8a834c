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
from dataclasses import dataclass

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_COLUMNS = 2**29  # bytes of one blob's columns when unpacked; both databases end at about 2^30 a value
_START = struct.Struct("<4sIB")
_PLAIN, _ZSTD = 0, 1
# The checksum inside guards against a wrong unpacking, ours against damaged bytes.
_PACKING: dict[int, int] = {zstd.CompressionParameter.compression_level: 1, zstd.CompressionParameter.checksum_flag: 1}
_UNPACKING: dict[int, int] = {
    zstd.DecompressionParameter.window_log_max: 20
}  # level 1 needs 19; a greater window is not ours

# A compressor belongs to one thread: a shared one would mix up two blobs, or make one thread wait for the other.
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
            columns: bytes | memoryview = self._columns
        else:
            unpacker = zstd.ZstdDecompressor(options=_UNPACKING)
            try:
                columns = unpacker.decompress(self._columns, length + 1)
            except zstd.ZstdError as error:
                raise FormatError(f"{self.what} can't be unpacked: {error}") from error
            if not unpacker.eof or unpacker.unused_data:
                raise FormatError(f"{self.what} does not end where its columns do")
        if len(columns) != length:
            raise FormatError(f"{self.what} has {len(columns):,} bytes of columns where its header says {length:,}")
        return memoryview(columns)


def pack(magic: bytes, header: bytes, columns: bytes, plain: bool = False) -> bytes:
    """The blob: ``columns`` packed where that makes them smaller and ``plain`` does not forbid it.

    Raises:
        FormatError: more than ``MAX_COLUMNS`` bytes.
    """
    if len(columns) > MAX_COLUMNS:
        raise FormatError(f"{len(columns):,} bytes are too many for one blob; at most {MAX_COLUMNS:,} can be")
    how = _PLAIN
    if not plain:
        packed = _compressor().compress(columns, zstd.ZstdCompressor.FLUSH_FRAME)
        if len(packed) < len(columns):
            how, columns = _ZSTD, packed
    rest = bytes((how,)) + header + columns
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
    if zlib.crc32(memoryview(data)[8:]) != checksum:
        raise FormatError(f"{what} is damaged: its checksum is wrong")
    if how not in (_PLAIN, _ZSTD):
        raise FormatError(f"{what} is packed in a way ({how}) that this version of epochscope does not know")
    end = _START.size + header
    return Opened(bytes(data[_START.size : end]), what, how, memoryview(data)[end:])


def _compressor() -> zstd.ZstdCompressor:
    compressor: zstd.ZstdCompressor | None = getattr(_of_thread, "compressor", None)
    if compressor is None:
        compressor = _of_thread.compressor = zstd.ZstdCompressor(options=_PACKING)
    return compressor
