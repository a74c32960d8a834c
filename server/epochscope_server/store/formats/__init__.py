"""The bytes at rest: counts, marginals, points and rollups as canonical, checked blobs. No SQL, no clock, no files.

Every blob is a frame (``frame.py``): magic, CRC-32, header, columns. The same content gives the same columns, in
whatever order it arrived. docs/storage.md shows the bytes.
"""

from __future__ import annotations

from epochscope_server.store.formats.frame import FormatError

__all__ = ["FormatError"]
