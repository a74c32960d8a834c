"""The service as an operator meets it: settings, start, store on disk, pages, errors."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from epochscope import wire
from epochscope_server import settings
from epochscope_server.errors import StartError
from epochscope_server.serving import listen
from epochscope_server.store import confusion
from epochscope_server.store.database import FILE, Database
from epochscope_server.store.schema import metadata
from openapi_spec_validator import validate
from stage import COMMAND, Service, Training, counted, serve_process, start_service


def read(*typed: str, **environment: str) -> settings.Settings:
    parser = argparse.ArgumentParser()
    settings.add_arguments(parser)
    return settings.read(vars(parser.parse_args(typed)), environment)


def test_what_is_typed_beats_the_environment_and_that_beats_the_default() -> None:
    assert read().port == 7010
    assert read(EPOCHSCOPE_PORT="8000").port == 8000
    assert read("--port", "9000", EPOCHSCOPE_PORT="8000").port == 9000
    assert read(EPOCHSCOPE_NO_BROWSER="1").no_browser
    assert read(XDG_DATA_HOME="/data").data_dir == Path("/data/epochscope")


@pytest.mark.parametrize(
    ("typed", "environment", "word"),
    [
        (["--host", "0.0.0.0"], {}, "--public-url"),
        ([], {"EPOCHSCOPE_HOST": "192.168.1.5"}, "--public-url"),
        (["--public-url", "scope.example"], {}, "https://"),
        (["--public-url", "https://scope.example/path"], {}, "https://"),
        (["--port", "70000"], {}, "65535"),
        ([], {"EPOCHSCOPE_PORT": "many"}, "EPOCHSCOPE_PORT"),
        ([], {"EPOCHSCOPE_NO_AUTH": "perhaps"}, "1 or 0"),
    ],
)
def test_a_setting_that_can_not_be_is_refused_with_a_sentence(
    typed: list[str], environment: dict[str, str], word: str
) -> None:
    with pytest.raises(StartError, match=word):
        read(*typed, **environment)


def test_another_address_may_be_bound_when_it_is_named() -> None:
    assert read("--host", "0.0.0.0", "--public-url", "https://scope.example").host == "0.0.0.0"


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


def test_the_migrated_schema_is_the_one_the_code_speaks_of(tmp_path: Path) -> None:

    database = Database(tmp_path)
    with database.writer.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_the_store_is_the_owners_alone(lone_service: Callable[[], Service]) -> None:
    service = lone_service()
    assert service.data_dir.stat().st_mode & 0o077 == 0
    assert (service.data_dir / FILE).stat().st_mode & 0o077 == 0


def test_an_acknowledged_flush_survives_kill_9(tmp_path: Path) -> None:
    process, url = serve_process(tmp_path / "store")
    client = httpx2.Client(base_url=url)
    training = Training(Service(url, tmp_path, client, client.close))
    for step in range(1, 21):
        training.send(confusion=[counted([([0], [1])], step)])
    process.kill()
    process.communicate()
    client.close()
    again = start_service(tmp_path / "store")
    try:
        assert again.get(f"/runs/{training.run}/confusion")["counts"][0][1] == 20
    finally:
        again.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_service_in_order(tmp_path: Path, number: signal.Signals) -> None:
    process, _ = serve_process(tmp_path)
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert "Traceback" not in errors
    assert process.returncode in (0, -number)


def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        answer = subprocess.run(
            [*COMMAND, "serve", "--port", port, "--data-dir", str(tmp_path), "--no-browser"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert answer.returncode == 1
    assert "epochscope open" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_answers_are_not_held_back_by_nagles_delay() -> None:
    # asyncio sets TCP_NODELAY only on sockets that say they are TCP; without it each answer takes 40 ms more.
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_runs_lists_what_is_there(training: Training) -> None:
    training.send()
    command = [*COMMAND, "runs", "--url", training.service.url, "--project", "animals", "--limit", "500"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert f"{training.run}  running" in answer.stdout


def test_runs_says_so_when_no_service_answers() -> None:
    answer = subprocess.run(
        [*COMMAND, "runs", "--url", "http://127.0.0.1:9"], capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 1
    assert "epochscope serve" in answer.stderr


def test_an_error_inside_shows_no_traceback_to_a_viewer(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    training.send()
    monkeypatch.setattr(confusion, "fetch", lambda *_: 1 / 0)
    answer = training.ask("/confusion")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "ZeroDivision" not in answer.text
    assert "content-security-policy" in answer.headers


def test_a_full_disk_refuses_flushes_and_recovers_without_a_restart(lone_service: Callable[[], Service]) -> None:
    service = lone_service()
    training = Training(service)
    training.send(confusion=[counted([([0], [0])])])
    database = service_database(service)
    with database.writer.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    refused = None
    for _ in range(200):
        flush = training.flush(series=[series_of(os.urandom(80_000))])
        answer = training.post(flush)
        if answer.status_code != 200:
            refused = answer
            break
    assert refused is not None
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    with database.writer.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1073741823")
    assert training.post(flush).json() == {"acked": training.seq}


def series_of(noise: bytes) -> wire.SeriesColumns:
    return wire.SeriesColumns("noise", "train", "batch", (b"\x01" + b"\0" * 7) * (len(noise) // 8), noise)


def service_database(service: Service) -> Database:
    """The store behind a service of this process."""
    return next(one for one in gc.get_objects() if isinstance(one, Database) and one.data_dir == service.data_dir)


def test_pages_and_files_are_served_by_exact_name(service: Service) -> None:
    for address in ("/", "/runs/anything", "/compare"):
        answer = service.client.get(address)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
    for address in (
        "/../pyproject.toml",
        "/..%2f..%2fpyproject.toml",
        "/%2e%2e/app.py",
        "/vendor",
        "/vendor/",
        "/x.js",
        "//etc/passwd",
    ):
        assert service.client.get(address).status_code == 404


def test_files_are_kept_only_where_their_name_carries_a_version(service: Service) -> None:
    assert service.client.get("/docs.js").headers["cache-control"] == "no-cache"
    big = service.client.get("/vendor/swagger-ui-5.35.0.css")
    assert "immutable" in big.headers["cache-control"]
    assert big.headers["content-encoding"] == "gzip"
    again = service.client.get("/docs.js", headers={"if-none-match": service.client.get("/docs.js").headers["etag"]})
    assert again.status_code == 304


def test_every_route_is_described_and_every_error_has_one_shape(service: Service) -> None:
    description = service.client.get("/api/openapi.json").json()
    validate(description)
    for path, methods in description["paths"].items():
        for method in methods:
            asked = path.replace("{run}", "nosuchrun").replace("{stream}", "nosuchstream")
            if asked == "/api/v1/live":
                continue
            answer = service.client.request(method.upper(), asked)
            if answer.status_code != 200:
                assert set(answer.json()["error"]) >= {"code", "message", "field"}, (method, path)
