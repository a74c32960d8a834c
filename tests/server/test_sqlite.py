"""The store in a SQLite file: held by one service, refused with a sentence where it can't be used."""

from __future__ import annotations

import gc
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stage
from epochscope import wire
from epochscope_server.errors import StartError
from epochscope_server.store import soundness, sqlite
from epochscope_server.store.database import Database
from epochscope_server.store.sqlite import FILE, network_file_system
from spoiled import overwrite
from stage import Service, Training, counted


@pytest.fixture(autouse=True)
def _files() -> Iterator[None]:
    """Whatever the other tests run on."""
    with stage.using(None):
        yield


def test_a_second_service_on_one_folder_is_refused(lone_service: Callable[[], Service]) -> None:
    service = lone_service()
    with pytest.raises(StartError, match="another epochscope service"):
        Database(service.data_dir)


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(StartError, match=r"Move it away|move the file away"):
        Database(tmp_path)
    assert (tmp_path / FILE).read_bytes() == content


@pytest.mark.parametrize("table", ["run", "stream", "alembic_version"])
def test_a_large_file_is_refused_where_what_every_flush_needs_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setattr(soundness, "SMALL", 0)
    Database(tmp_path).close()
    Database(tmp_path).close()
    overwrite(tmp_path / FILE, table, b"\xff")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StartError, match=r"Restore a backup|Move it away"):
        Database(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.slow
def test_damage_elsewhere_in_a_large_file_is_found_beside_the_service_and_ends_all_writing(
    lone_service: Callable[[], Service], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(soundness, "SMALL", 0)
    service = lone_service()
    training = Training(service)
    training.send()
    service.stop()
    overwrite(service.data_dir / FILE, "count_marginal", b"\xff")
    again = lone_service()
    training = Training(again, run=training.run, seq=1)
    end = time.monotonic() + 30
    while (answer := training.post(training.flush())).status_code == 200:
        assert time.monotonic() < end
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "damaged"
    assert again.ask(f"/runs/{training.run}", "DELETE").status_code == 503
    assert training.get()["status"] == "running"
    assert "Nothing more is written to it" in caplog.text
    assert "`epochscope doctor`" in caplog.text


def test_a_newer_store_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    Database(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StartError, match="newer epochscope"):
        Database(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_folder_that_can_not_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StartError, match="--data-dir"):
        Database(tmp_path / "file" / "store")


def test_a_file_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("CREATE TABLE recipe (name TEXT)")
    connection.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StartError, match="another program"):
        Database(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LOCK", FILE]


MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /home/local ext4 rw 0 0
host:/x /mnt/my\\040data fuse.sshfs rw,user_id=0 0 0
//nas/share /srv/nas cifs rw 0 0
C: /mnt/c 9p rw,aname=drvfs 0 0
portal /run/user/1000/doc fuse.portal rw 0 0
/dev/sdc1 /srv/nas/disk xfs rw 0 0
/dev/sdc1 /mnt/twice ext4 rw 0 0
host:/y /mnt/twice nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib/scope", None),
        ("/home/ada/.local/share/epochscope", "nfs4"),
        ("/home/local/scope", None),
        ("/homes/ada", None),
        ("/mnt/my data/scope", "fuse.sshfs"),
        ("/srv/nas", "cifs"),
        ("/srv/nas/disk/scope", None),
        ("/mnt/c/Users", "9p"),
        ("/run/user/1000/doc", None),
        ("/mnt/twice", "nfs"),
    ],
)
def test_a_network_file_system_is_known_by_the_mount_a_folder_lies_on(folder: str, kind: str | None) -> None:
    assert network_file_system(Path(folder), MOUNTS) == kind


def test_a_folder_on_a_network_file_system_is_refused_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/export {tmp_path} nfs rw 0 0\n")
    monkeypatch.setattr(sqlite, "MOUNTS", mounts)
    with pytest.raises(StartError, match=r"network file system \(nfs\).*--allow-network-folder"):
        Database(tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []
    Database(tmp_path / "store", allow_network_folder=True).close()


def test_the_store_is_the_owners_alone(lone_service: Callable[[], Service]) -> None:
    service = lone_service()
    assert service.data_dir.stat().st_mode & 0o077 == 0
    assert (service.data_dir / FILE).stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_a_full_disk_refuses_flushes_and_recovers_without_a_restart(lone_service: Callable[[], Service]) -> None:
    service = lone_service()
    training = Training(service)
    training.send(confusion=[counted([([0], [0])])])
    database = service_database(service)
    with database.writer.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    refused = None
    for step in range(2, 200):
        flush = training.flush(series=[series_of(os.urandom(80_000))], confusion=[counted([([0], [0])], step)])
        answer = training.post(flush)
        if answer.status_code != 200:
            refused = answer
            break
    assert refused is not None
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    other = Training(service)
    begins = other.flush(series=[series_of(os.urandom(80_000))], confusion=[counted([([0], [0])])])
    assert other.post(begins).status_code == 503
    with database.writer.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1073741823")
    assert other.post(begins).json() == {"acked": 1}
    assert training.post(flush).json() == {"acked": training.seq}
    service.stop()  # what is answered now was not kept in memory alone
    restarted = lone_service()
    for one in (training, other):
        assert Training(restarted, run=one.run).get("/confusion")["counts"][0][0] == one.seq


def series_of(noise: bytes) -> wire.SeriesColumns:
    return wire.SeriesColumns("noise", "train", "batch", (b"\x01" + b"\0" * 7) * (len(noise) // 8), noise)


def service_database(service: Service) -> Database:
    """The store behind a service of this process."""
    return next(one for one in gc.get_objects() if type(one) is Database and one.data_dir == service.data_dir)
