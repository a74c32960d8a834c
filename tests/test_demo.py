"""The demo as a newcomer meets it: a process that trains, stores, serves, says what is wrong, and goes away whole."""

from __future__ import annotations

import gzip
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epochscope import keras_demo
from epochscope.fashion_mnist import SUBSET, load
from stage import start_service

TRAIN, TEST = 640, 200


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first few of the real pictures, as the four files."""
    folder = tmp_path_factory.mktemp("pictures")
    data = load(SUBSET)
    for part, n, images, labels in (
        ("train", TRAIN, data.x_train, data.y_train),
        ("t10k", TEST, data.x_test, data.y_test),
    ):
        for kind, array in (("images-idx3", images[:n]), ("labels-idx1", labels[:n])):
            header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes(), 1))
    return folder


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Demo:
    """``epochscope demo`` as a process of its own, its words collected."""

    def __init__(self, *arguments: str, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "epochscope", "demo", "--no-browser", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "XDG_DATA_HOME": str(home), "EPOCHSCOPE_URL": "http://127.0.0.1:1"},
        )
        self.said = ""

    def until(self, words: str) -> str:
        """Everything said up to the line with ``words``."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line
            if words in line:
                return self.said
        pytest.fail(f"the demo ended without saying {words!r}:\n{self.said}")

    def end(self) -> str:
        """Everything said until the end."""
        self.said += self.process.communicate(timeout=120)[0]
        return self.said


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Any]:
    started: list[Demo] = []

    def start(*arguments: str) -> Demo:
        started.append(Demo(*arguments, home=tmp_path))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/health", timeout=5):
            return True
    except OSError:
        return False


def eventually(fact: Any, seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if fact():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.keras
def test_the_scripted_demo_stores_every_picture_once_and_says_where(demo: Any, pictures: Path, tmp_path: Path) -> None:
    port = free_port()
    store = tmp_path / "store"
    running = demo("--epochs", "2", "--exit", "--data", str(pictures), "--data-dir", str(store), "--port", str(port))
    said = running.end()
    assert running.process.returncode == 0, said
    assert f"Fashion-MNIST from {pictures}" in said
    assert f"The data lies in {store}" in said
    assert not answers(port)
    (run,) = set(re.findall(rf"http://127\.0\.0\.1:{port}/runs/([0-9a-z]+)", said))

    service = start_service(store)
    try:
        answer = service.get(f"/runs/{run}")
        assert (answer["project"], answer["status"]) == ("demo", "finished")
        labels = load(pictures)
        for split, y in (("train", labels.y_train), ("val", labels.y_test)):
            counts = np.array(service.get(f"/runs/{run}/confusion", split=split, epoch=1)["counts"])
            assert counts.sum(axis=1).tolist() == np.bincount(y, minlength=10).tolist()
        assert np.sum(service.get(f"/runs/{run}/confusion", split="train")["counts"]) == 2 * TRAIN
    finally:
        service.stop()


@pytest.mark.keras
def test_the_page_stays_up_after_the_training_until_ctrl_c(demo: Any, pictures: Path, tmp_path: Path) -> None:
    port = free_port()
    running = demo("--epochs", "1", "--data", str(pictures), "--port", str(port))
    running.until("stays up until you press Ctrl-C")
    assert answers(port)
    running.process.send_signal(signal.SIGINT)
    said = running.end()
    assert running.process.returncode == 0, said
    assert "Traceback" not in said
    assert str(tmp_path / "epochscope" / "demo") in said
    assert not answers(port)


@pytest.mark.keras
def test_ctrl_c_in_mid_training_ends_cleanly_and_the_run_says_so(demo: Any, pictures: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    running = demo("--epochs", "5000", "--data", str(pictures), "--data-dir", str(store), "--port", "0")
    running.until("Epoch 3/5000")
    running.process.send_signal(signal.SIGINT)
    said = running.end()
    assert running.process.returncode == 0, said
    assert "Traceback" not in said
    service = start_service(store)
    try:
        (run,) = service.get("/runs")["runs"]
        assert run["status"] == "interrupted"
        assert run["steps"]["train"] >= 2 * TRAIN // 64
    finally:
        service.stop()


@pytest.mark.slow
def test_the_service_does_not_outlive_a_killed_demo(demo: Any, pictures: Path) -> None:
    port = free_port()
    running = demo("--data", str(pictures), "--port", str(port))
    running.until("Watch it at")
    assert answers(port)
    running.process.kill()
    assert eventually(lambda: not answers(port))


@pytest.mark.slow
def test_a_taken_port_is_no_obstacle(demo: Any, pictures: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = demo("--data", str(pictures), "--port", str(port)).until("Watch it at")
    assert f"Port {port} is taken" in said
    assert f"http://127.0.0.1:{port} " not in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "/nowhere"], "/nowhere lacks train-images-idx3-ubyte.gz"),
        (["--epochs", "0"], "must be a whole number of at least 1, not '0'"),
        (["--port", "70000"], "--port must lie between 0 and 65535"),
        (["--data-dir", "/proc/version/store"], "the service ended with status"),
    ],
)
@pytest.mark.slow
def test_what_can_not_be_is_answered_with_a_sentence(demo: Any, arguments: list[str], says: str) -> None:
    running = demo(*arguments)
    said = running.end()
    assert running.process.returncode in (1, 2)
    assert says in said
    assert "Traceback" not in said


def test_without_keras_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import argparse

    monkeypatch.setitem(sys.modules, "keras", None)
    parser = argparse.ArgumentParser()
    keras_demo.add_arguments(parser)
    assert keras_demo.main(parser.parse_args([])) == 1
    assert f"{sys.executable} -m pip install 'epochscope[server,tensorflow]'" in capsys.readouterr().err
