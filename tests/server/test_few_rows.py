"""What SQLite reads for an answer does not grow with what lies beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from epochscope_server.store import blobs
from epochscope_server.store.database import Database
from epochscope_server.store.schema import count_node

RANGES = [(0, 3, 5), (0, 40, 44), (1, 1, 5), (2, 0, 1)]


def filled(folder: Path, rows: int) -> Database:
    """A pyramid with so many leaves."""
    database = Database(folder)
    every = [{"level": 0, "idx": idx} for idx in range(rows)]
    every += [{"level": level, "idx": idx} for level in (1, 2) for idx in range(6)]
    with database.writer.begin() as connection:
        connection.execute(
            count_node.insert(), [{"run_id": 1, "counts_id": 0, "written": 1, "data": b"x", **row} for row in every]
        )
    return database


def work(connection: sa.Connection, question: Callable[[], object]) -> int:
    """How many hundred instructions SQLite needs for an answer."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    raw.set_progress_handler(count, 100)
    question()
    raw.set_progress_handler(None, 0)
    return steps


def test_the_pieces_of_a_window_are_found_without_a_look_at_the_others(tmp_path: Path) -> None:
    needed, found = [], []
    for rows in (50, 5000):
        database = filled(tmp_path / str(rows), rows)
        with database.read() as connection:
            needed.append(
                work(
                    connection, lambda: found.append(sorted(blobs.chosen(connection, count_node, 1, 0, RANGES, "data")))
                )
            )
        database.close()
    assert found[0] == found[1]
    assert [tuple(row)[:2] for row in found[0]] == [
        (0, 3), (0, 4), (0, 40), (0, 41), (0, 42), (0, 43), (1, 1), (1, 2), (1, 3), (1, 4), (2, 0),
    ]  # fmt: skip
    assert needed[1] <= needed[0] + 1
