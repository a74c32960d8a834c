"""Fixtures of all tests: a service on an empty folder, and a training that posts flushes to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

# Before anything imports Keras: its backend, and no chatter of TensorFlow's.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import postgres
import pytest
import stage
from stage import Service, Training, start_service


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    """A PostgreSQL for the whole session."""
    if postgres.binaries() is None:
        pytest.skip("there is no PostgreSQL here")
    running = postgres.start_cluster()
    yield running
    running.remove()


@pytest.fixture(scope="session", autouse=True)
def database(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where the stores of all tests lie: in files, or with EPOCHSCOPE_TEST_DATABASE=postgres in a PostgreSQL."""
    chosen = os.environ.get("EPOCHSCOPE_TEST_DATABASE", "sqlite")
    assert chosen in ("sqlite", "postgres")
    with stage.using(request.getfixturevalue("cluster") if chosen == "postgres" else None):
        yield


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for the whole session; tests tell their runs apart by id."""
    running = start_service(tmp_path_factory.mktemp("store"))
    yield running
    running.stop()


@pytest.fixture
def lone_service(tmp_path: Path) -> Iterator[Callable[[], Service]]:
    """Starts a service on a folder of this test's own; called again, it starts a new one on the same folder."""
    started: list[Service] = []

    def start() -> Service:
        started.append(start_service(tmp_path / "store"))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def training(service: Service) -> Training:
    return Training(service)
