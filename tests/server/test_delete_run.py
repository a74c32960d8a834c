"""DELETE /runs/{run}: gone at once and whole; its space comes back bit by bit, whatever happens in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from epochscope import wire
from epochscope_server.store import keeper, removal
from epochscope_server.store.schema import OWNED, deleted_run
from stage import Service, Training, counted, url_of


def fill(training: Training, flushes: int = 6, series: int = 3) -> None:
    """Something in every table that a run owns."""
    chance = np.random.default_rng(3)
    training.info = {"params": {"lr": 0.1, "optimizer": "adam"}, "tags": ["a", "b"]}
    for number in range(flushes):
        first = 1 + 64 * number
        steps = range(first, first + 64)
        training.send(
            confusion=[counted([(chance.integers(0, 3, 32), chance.integers(0, 3, 32)) for _ in steps], first)],
            series=[
                wire.SeriesColumns.of(f"s{key}", "train", "batch", steps, chance.random(64)) for key in range(series)
            ],
            spans=[wire.Span("train", number + 1, first, first + 64)],
        )


class Store:
    """The tables behind a service, read beside it."""

    def __init__(self, data_dir: Path) -> None:
        url = url_of(data_dir)
        self._engine = sa.create_engine(
            url.replace("postgresql://", "postgresql+psycopg://") if url else f"sqlite:///{data_dir}/epochscope.db",
            poolclass=sa.NullPool,
        )
        self.is_file = url is None

    def rows(self) -> int:
        """How many rows there are that belong to some run."""
        with self._engine.connect() as connection:
            return sum(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in OWNED)

    def is_clear(self) -> bool:
        with self._engine.connect() as connection:
            return not connection.scalar(sa.select(sa.func.count()).where(deleted_run.c.cleared == sa.false()))

    def pages(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())


def until(true: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def delete(training: Training) -> None:
    assert training.service.ask(f"/runs/{training.run}", "DELETE").status_code == 200


def seen(service: Service) -> list[str]:
    """Every trace of runs in what the lists answer."""
    listed = [run["id"] for run in service.get("/runs", limit=500)["runs"]]
    listed += [run["id"] for run in service.get("/runs", where="params.lr=0.1", tag="a", q="o", limit=500)["runs"]]
    return [*listed, *(str(field) for fields in service.get("/runs/fields").values() for field in fields)]


@pytest.mark.slow
def test_a_deleted_run_is_gone_at_once_though_its_rows_are_still_there(
    lone_service: Callable[[], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "clear", lambda connection, run_id, most: most)
    service = lone_service()
    training = Training(service)
    fill(training)
    assert seen(service)
    before = Store(service.data_dir).rows()
    delete(training)
    assert seen(service) == []
    for path in ("", "/confusion", "/classes", "/series"):
        assert training.ask(path).status_code == 404
    answer = training.post(training.flush())
    assert answer.status_code == 410
    assert answer.json()["error"]["code"] == "run_deleted"
    assert Store(service.data_dir).rows() >= before / 2


@pytest.mark.slow
def test_its_rows_go_in_small_steps_and_leave_those_of_others_alone(
    lone_service: Callable[[], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[int, int]] = []
    clear = removal.clear

    def spied(connection: sa.Connection, run_id: int, most: int) -> int:
        steps.append((clear(connection, run_id, most), most))
        return steps[-1][0]

    monkeypatch.setattr(removal, "clear", spied)
    service = lone_service()
    first, second = Training(service), Training(service)
    fill(first)
    alone = Store(service.data_dir).rows()
    fill(second, series=150)
    counts = first.get("/confusion")["counts"]
    delete(second)
    until(Store(service.data_dir).is_clear)
    assert all(done <= most <= keeper.MOST for done, most in steps)
    assert sum(done for done, _ in steps) > 150
    until(lambda: Store(service.data_dir).rows() <= alone + 10)  # sealing may add to the first meanwhile
    assert first.get("/confusion")["counts"] == counts
    assert service.get("/runs", where="params.lr=0.1")["runs"][0]["id"] == first.run


@pytest.mark.slow
def test_the_next_start_goes_on_where_the_last_was_stopped(
    lone_service: Callable[[], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = lone_service()
    training = Training(service)
    fill(training)
    with monkeypatch.context() as patch:
        patch.setattr(removal, "clear", lambda connection, run_id, most: most)
        delete(training)
        service.stop()
    assert not Store(service.data_dir).is_clear()
    lone_service()
    until(Store(service.data_dir).is_clear)
    assert Store(service.data_dir).rows() == 0


@pytest.mark.slow
def test_a_number_of_a_deleted_run_is_never_given_again(
    lone_service: Callable[[], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "clear", lambda connection, run_id, most: most)
    service = lone_service()
    old, new = Training(service), Training(service, class_names=("cat", "dog", "eel"))
    fill(old)
    delete(old)
    new.send(confusion=[counted([([0], [1])])])
    assert new.get("/confusion")["counts"] == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert new.get()["tags"] == []


@pytest.mark.slow
def test_the_file_grows_shorter_when_nothing_is_written(
    lone_service: Callable[[], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "TICK_S", 0.05)
    service = lone_service()
    store = Store(service.data_dir)
    if not store.is_file:
        pytest.skip("PostgreSQL sees to its files itself")
    training = Training(service)
    for _ in range(12):
        noise = np.random.default_rng(1).random(20_000)
        training.send(series=[wire.SeriesColumns.of("noise", "train", "batch", range(20_000), noise)])
    long = store.pages()
    delete(training)
    until(lambda: store.pages() < long / 4)
    assert service.get("/runs")["runs"] == []
