"""SQLite's log is carried over beside the writer: it neither grows for ever nor keeps what it was trusted with."""

from __future__ import annotations

import functools
import os
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from epochscope_server.store import checkpoint
from epochscope_server.store.database import Database
from epochscope_server.store.schema import flush_body
from epochscope_server.store.sqlite import FILE
from epochscope_server.store.writer import Writer

COMMITS, BODY = 150, 40_000


def write(connection: sa.Connection, seq: int) -> None:
    connection.execute(
        flush_body.insert(),
        [{"run_id": 1, "stream_id": of, "seq": seq, "arrived": 1, "body": os.urandom(BODY // 20)} for of in range(20)],
    )


def test_the_log_is_begun_anew_while_the_writer_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "ROWS", 100)
    monkeypatch.setattr(checkpoint, "LONG", 100)
    database = Database(tmp_path)
    writer = Writer(database)
    for seq in range(COMMITS):
        writer.submit(functools.partial(write, seq=seq)).result()
    assert (tmp_path / f"{FILE}-wal").stat().st_size < COMMITS * BODY / 3
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(flush_body)) == 20 * COMMITS
    writer.close()
    database.close()
    assert not (tmp_path / f"{FILE}-wal").exists()
    with sqlite3.connect(tmp_path / FILE) as own:
        assert own.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_reader_that_stays_keeps_its_state_and_the_writer_going(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "ROWS", 20)
    monkeypatch.setattr(checkpoint, "LONG", 20)
    database = Database(tmp_path)
    writer = Writer(database)
    writer.submit(functools.partial(write, seq=0)).result()
    count = sa.select(sa.func.count()).select_from(flush_body)
    with database.read() as connection:
        assert connection.scalar(count) == 20
        for seq in range(1, 11):
            writer.submit(functools.partial(write, seq=seq)).result(timeout=5)
        assert connection.scalar(count) == 20
    with database.read() as connection:
        assert connection.scalar(count) == 220
    writer.close()
    database.close()
