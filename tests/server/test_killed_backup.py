"""kill -9 while a store is copied or put back: what has the name is whole, and the next try is not in its way."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from epochscope_server.store import backup
from epochscope_server.store.schema import series_chunk
from epochscope_server.store.sqlite import FILE
from killed import Nursery
from sealing import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("EPOCHSCOPE_TEST_DATABASE") == "postgres", reason="PostgreSQL has tools of its own for this"
    ),
]

ROUNDS = int(os.environ.get("EPOCHSCOPE_ROUNDS", "5"))


def save(data_dir: str, target: str) -> None:
    print("begun", flush=True)
    backup.save(Path(data_dir), Path(target))


def put_back(source: str, data_dir: str) -> None:
    print("begun", flush=True)
    backup.put_back(Path(source), Path(data_dir))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of 40 MB, so that a copy takes its time."""
    store = Store(tmp_path / "store")
    with store.database.writer.begin() as connection:
        for idx in range(40):
            row: dict[str, Any] = {"run_id": 1, "series_id": 0, "attempt": 0, "level": 0, "idx": idx, "written": 1}
            row |= {"step_min": idx, "step_max": idx, "n": 1, "data": os.urandom(1_000_000)}
            connection.execute(series_chunk.insert().values(row))
    store.close()
    return tmp_path / "store"


def blocks(path: Path) -> list[tuple[object, ...]]:
    """Every block in a file, by SQLite alone."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    chosen = sa.select(series_chunk.c.series_id, series_chunk.c.level, series_chunk.c.idx, series_chunk.c.data)
    found = connection.execute(str(chosen)).fetchall()
    connection.close()
    return sorted(found)


def test_a_backup_that_is_killed_is_whole_or_has_no_name(folder: Path, tmp_path: Path) -> None:
    expected = blocks(folder / FILE)
    target = tmp_path / "kept.db"
    with Nursery(save, folder, target) as nursery:
        parts = 0
        for _ in range(ROUNDS):
            nursery.live(0.5)
            if target.exists():
                assert blocks(target) == expected
                assert target.stat().st_mode & 0o077 == 0
                target.unlink()
            for left in tmp_path.glob("kept.db.part*"):
                assert left.stat().st_mode & 0o077 == 0
                left.unlink()
                parts += 1
        print(f"{parts} of {ROUNDS} kills came in the middle of a backup")
        nursery.live(None)
    assert blocks(target) == expected
    assert blocks(folder / FILE) == expected
    assert list(tmp_path.glob("kept.db.part*")) == []


def test_a_restore_that_is_killed_leaves_a_whole_store_or_none_and_the_next_one_clears_up(
    folder: Path, tmp_path: Path
) -> None:
    kept, again = tmp_path / "kept.db", tmp_path / "again"
    backup.save(folder, kept)
    expected, bytes_before = blocks(kept), kept.read_bytes()
    with Nursery(put_back, kept, again) as nursery:
        parts = 0
        for _ in range(ROUNDS):
            nursery.live(0.7)
            if (again / FILE).exists():
                assert blocks(again / FILE) == expected
                (again / FILE).unlink()
            parts += bool(list(again.glob("*.part*")))
        print(f"{parts} of {ROUNDS} kills came in the middle of a restore")
        nursery.live(None)
    assert blocks(again / FILE) == expected
    assert sorted(path.name for path in again.iterdir()) == ["LOCK", FILE]
    assert kept.read_bytes() == bytes_before
