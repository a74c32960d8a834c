"""The service as an operator meets it: settings, start, store on disk, pages, errors."""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
from pathlib import Path

import httpx2
import pytest
from epochscope_server import settings
from epochscope_server.errors import StartError
from epochscope_server.serving import listen
from epochscope_server.store import confusion
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


@pytest.mark.slow
def test_only_pages_of_charts_name_the_drawing_library(service: Service) -> None:
    named = {
        path: "/vendor/plotly" in httpx2.get(service.url + path).text
        for path in ("/", "/alerts", "/runs/a", "/compare")
    }
    assert named == {"/": False, "/alerts": False, "/runs/a": True, "/compare": True}
    assert 'rel="modulepreload" href="/main.js"' in httpx2.get(service.url + "/runs/a").text


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


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_service_in_order(tmp_path: Path, number: signal.Signals) -> None:
    process, _ = serve_process(tmp_path)
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert "Traceback" not in errors
    assert process.returncode in (0, -number)


@pytest.mark.slow
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


@pytest.mark.slow
def test_runs_lists_what_meets_conditions_in_the_order_that_is_asked_for(training: Training) -> None:
    project = training.run
    for name, lr in (("low", 0.1), ("high", 0.3), ("out", 0.9)):
        Training(training.service, info={"project": project, "name": name, "params": {"lr": lr}}).send()
    command = [*COMMAND, "runs", "--url", training.service.url, "--project", project]
    where = [*command, "--where", "params.lr<0.5", "--sort=-params.lr"]
    answer = subprocess.run(where, capture_output=True, text=True, check=True, timeout=60)
    assert [line.partition(" / ")[2] for line in answer.stdout.splitlines()] == ["high  lr=0.3", "low  lr=0.1"]
    wrong = subprocess.run([*command, "--where", "lr"], capture_output=True, text=True, check=False, timeout=60)
    assert wrong.returncode == 1
    assert "params.lr<0.001" in wrong.stderr


@pytest.mark.slow
def test_runs_says_so_when_no_service_answers() -> None:
    answer = subprocess.run(
        [*COMMAND, "runs", "--url", "http://127.0.0.1:9"], capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 1
    assert "epochscope serve" in answer.stderr


def test_an_error_inside_shows_no_traceback_to_a_viewer(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    training.send()
    monkeypatch.setattr(confusion, "fetch", lambda *_: 1 / 0)
    # The service hangs up after such an error; another request must not come on this connection.
    answer = training.service.ask(f"/runs/{training.run}/confusion", headers={"connection": "close"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "ZeroDivision" not in answer.text
    assert "content-security-policy" in answer.headers


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


@pytest.mark.slow
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
