"""SQLite files that are damaged on purpose."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def overwrite(path: Path, name: str, content: bytes) -> None:
    """Write ``content`` over the first page of a table or an index."""
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(content.ljust(size, content[-1:]))


def empty_index(path: Path, name: str) -> None:
    """Take all rows out of an index, but not out of its table."""
    overwrite(path, name, b"\x0a\0\0\0\0\x10\0\0\0")  # the head of a page of 4,096 bytes without entries
