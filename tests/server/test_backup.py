"""backup and restore: a copy made while a service writes is whole, and a store made of it is the one copied."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from asked import asked
from epochscope import wire
from epochscope_server.store.database import Database
from epochscope_server.store.sqlite import FILE
from spoiled import empty_index
from stage import COMMAND, Service, Training, counted, start_service

pytestmark = [
    pytest.mark.slow,  # processes and whole stores, copied
    pytest.mark.skipif(
        os.environ.get("EPOCHSCOPE_TEST_DATABASE") == "postgres", reason="PostgreSQL has tools of its own for this"
    ),
]


def command(*words: object) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, check=False, timeout=120)


def one_step(step: int) -> dict[str, list[object]]:
    """What a training says of one step; told often enough, some of it is always in the WAL."""
    noise = np.random.default_rng(step).random(500)
    series = wire.SeriesColumns.of("noise", "train", "batch", range(500 * step, 500 * step + 500), noise)
    return {"confusion": [counted([([0], [step % 3])], step)], "series": [series]}


@pytest.fixture
def saved(lone_service: Callable[[], Service], tmp_path: Path) -> tuple[Service, Training, Path]:
    """A service with a run of 5 steps, and a backup of it."""
    service = lone_service()
    training = Training(service)
    for step in range(1, 6):
        training.send(**one_step(step))
    answer = asked("backup", tmp_path / "runs.db", "--data-dir", service.data_dir)
    assert answer.returncode == 0, answer.stderr
    assert f"{tmp_path}/runs.db holds 1 run, " in answer.stdout
    assert answer.stdout.endswith("B, checked\n")
    return service, training, tmp_path / "runs.db"


def test_a_store_made_of_a_backup_answers_as_the_one_that_was_copied(
    saved: tuple[Service, Training, Path], tmp_path: Path
) -> None:
    _, training, backup = saved
    answer = asked("restore", backup, "--data-dir", tmp_path / "again")
    assert answer.returncode == 0, answer.stderr
    assert f"epochscope serve --data-dir {tmp_path}/again" in answer.stdout
    assert (tmp_path / "again" / FILE).stat().st_mode & 0o077 == 0
    again = start_service(tmp_path / "again")
    try:
        for path in ("", "/confusion", "/classes", "/series?points=10"):
            copied, told = again.get(f"/runs/{training.run}{path}"), training.get(path)
            for answer in (copied, told):
                answer.pop("glance", None)  # it is worked out when there is time for it
            assert copied == told, path
        copy = Training(again, run=training.run, seq=training.seq)
        assert copy.send(**one_step(6)) == 6  # the training goes on where the backup was taken
    finally:
        again.stop()


@pytest.mark.slow
def test_a_backup_under_load_holds_every_flush_that_was_acknowledged_before_and_none_in_part(
    lone_service: Callable[[], Service], tmp_path: Path
) -> None:
    service = lone_service()
    stop = threading.Event()
    acked: dict[str, int] = {}

    def train(training: Training) -> None:
        for step in range(1, 100_000):
            if stop.is_set():
                return
            acked[training.run] = training.send(**one_step(step))

    trainings = [Training(service) for _ in range(3)]
    threads = [threading.Thread(target=train, args=(training,)) for training in trainings]
    for thread in threads:
        thread.start()
    while len(acked) < 3 or min(acked.values()) < 15:
        stop.wait(0.01)
    before = dict(acked)
    answer = command("backup", tmp_path / "runs.db", "--data-dir", service.data_dir)
    after = dict(acked)
    looked = [asked("doctor", "--data-dir", service.data_dir) for _ in range(3)]
    stop.set()
    for thread in threads:
        thread.join()
    assert [one.stdout for one in looked if one.returncode] == [], "what is being sealed is no damage"
    assert answer.returncode == 0, answer.stderr
    assert asked("restore", tmp_path / "runs.db", "--data-dir", tmp_path / "again").returncode == 0
    assert asked("doctor", "--data-dir", tmp_path / "again").returncode == 0
    again = start_service(tmp_path / "again")
    try:
        for run, least in before.items():
            steps = again.get(f"/runs/{run}/confusion")["counts"][0]
            assert least <= sum(steps) <= after[run] + 1
            assert steps == [sum(step % 3 == column for step in range(1, sum(steps) + 1)) for column in range(3)]
            told = again.get(f"/runs/{run}/series", keys="noise", points=1)["series"][0]
            assert told["n"] == [500 * sum(steps)]
    finally:
        again.stop()


def test_a_file_that_is_there_is_left_as_it_is(saved: tuple[Service, Training, Path]) -> None:
    service, _, backup = saved
    before = backup.read_bytes()
    answer = asked("backup", backup, "--data-dir", service.data_dir)
    assert answer.returncode == 1
    assert "is there already" in answer.stderr
    assert backup.read_bytes() == before


def test_a_folder_that_has_a_store_or_a_service_is_left_as_it_is(
    saved: tuple[Service, Training, Path], tmp_path: Path
) -> None:
    service, _, backup = saved
    answer = asked("restore", backup, "--data-dir", service.data_dir)
    assert (answer.returncode, "another epochscope service" in answer.stderr) == (1, True)
    service.stop()
    before = (service.data_dir / FILE).read_bytes()
    answer = asked("restore", backup, "--data-dir", service.data_dir)
    assert (answer.returncode, "has a store already" in answer.stderr) == (1, True)
    assert (service.data_dir / FILE).read_bytes() == before


def damaged(backup: Path) -> str:
    content = bytearray(backup.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    backup.write_bytes(content)
    return "damaged"


def cut(backup: Path) -> str:
    backup.write_bytes(backup.read_bytes()[:5000])
    return "damaged"


def disordered(backup: Path) -> str:
    """A copy made of it would be well, and hide that rows may be missing."""
    empty_index(backup, "ix_run_change")
    return "damaged"


def foreign(backup: Path) -> str:
    backup.unlink()
    with sqlite3.connect(backup) as connection:
        connection.execute("CREATE TABLE other (a)")
    connection.close()
    return "not a backup of epochscope"


def newer(backup: Path) -> str:
    with sqlite3.connect(backup) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    return "newer epochscope"


def gone(backup: Path) -> str:
    backup.unlink()
    return "no file"


@pytest.mark.parametrize("spoil", [damaged, cut, disordered, foreign, newer, gone])
def test_nothing_is_restored_from_what_is_no_good_backup(
    saved: tuple[Service, Training, Path], tmp_path: Path, spoil: Callable[[Path], str]
) -> None:
    _, _, backup = saved
    word = spoil(backup)
    answer = asked("restore", backup, "--data-dir", tmp_path / "again")
    assert answer.returncode == 1
    assert word in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not list(tmp_path.glob("again/*.db*"))


def test_a_backup_that_can_not_be_written_leaves_nothing_behind(
    saved: tuple[Service, Training, Path], tmp_path: Path
) -> None:
    service, _, _ = saved
    answer = asked("backup", tmp_path / "no" / "such.db", "--data-dir", service.data_dir)
    assert (answer.returncode, "can't write" in answer.stderr) == (1, True)
    answer = asked("backup", tmp_path / "other.db", "--data-dir", tmp_path / "empty")
    assert (answer.returncode, "no store in" in answer.stderr) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs.db", "store"]


def test_an_older_backup_is_restored_and_brought_up_to_date_by_the_service(tmp_path: Path) -> None:
    Database(tmp_path / "old").close()
    with sqlite3.connect(tmp_path / "old" / FILE) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
    connection.close()
    assert asked("backup", tmp_path / "old.db", "--data-dir", tmp_path / "old").returncode == 0
    assert asked("restore", tmp_path / "old.db", "--data-dir", tmp_path / "new").returncode == 0


def test_of_a_store_in_postgresql_the_exact_command_is_said_without_the_password(tmp_path: Path) -> None:
    url = "postgresql://scope:s3cret@db.example.org:5433/epochscope"
    for words, expected in (
        (
            ("backup", "runs dump"),
            "pg_dump --format=custom --file='runs dump' postgresql://scope@db.example.org:5433/epochscope",
        ),
        (("restore", "x"), "pg_restore --no-owner --dbname=postgresql://scope@db.example.org:5433/epochscope x"),
    ):
        answer = asked(*words, "--database", url)
        assert answer.returncode == 1
        assert expected in answer.stderr
        assert "s3cret" not in answer.stderr
