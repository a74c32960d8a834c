"""Retention: runs are kept for ever unless the operator says for how long; then whole runs go, and never one in use."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from asked import asked
from epochscope import wire
from epochscope_server.store import keeper, retention, runs
from epochscope_server.store.keeper import Keeper
from epochscope_server.store.schema import OWNED, run_tag
from sealing import Store
from stage import Service, Training, counted

HEARD = 1_700_000_000_000  # when every run of a Store was last heard of
DAYS = 30
HOUR_MS = 60 * 60 * 1000
DAY_MS = 24 * HOUR_MS
FINISHED = wire.End("finished")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "store")
    yield made
    made.close()


def train(store: Store, uid: str, project: str = "fashion", end: wire.End | None = FINISHED, **more: Any) -> str:
    """A run of one flush, last heard of at HEARD."""
    info = wire.RunInfo(project, uid, 1, outputs=[wire.Output("output", ("a", "b"))], **more)
    series = [wire.SeriesColumns.of(f"s{number}", "train", "batch", [1], [0.5]) for number in range(5)]
    flush = wire.Flush(
        wire.VERSION, uid, "stream00", 1, 1, info, series, [counted([([0], [1])])], end=end
    )  # fmt: skip
    store.post(flush)
    return uid


def keep(store: Store, days: int | None = DAYS, project: str = "fashion", now_ms: int = HEARD) -> None:
    store.writer.submit(lambda connection: retention.keep(connection, project, days, now_ms)).result()


def due(store: Store, days: float, most: int = 100, since_ms: int = HEARD) -> list[str]:
    """What is due so many days after all were heard of."""
    found: list[str] = store.ask(retention.due, HEARD + int(days * DAY_MS), since_ms, most)
    return found


def remove(store: Store, uid: str, days: float) -> runs.Change | None:
    now = HEARD + int(days * DAY_MS)
    return store.writer.submit(lambda connection: retention.remove(connection, uid, now, HEARD)).result()


def test_without_a_rule_nothing_ever_goes(store: Store) -> None:
    train(store, "run00001")
    assert due(store, 36_500) == []
    assert remove(store, "run00001", 36_500) is None
    assert store.ask(retention.projects, HEARD, HEARD) == [retention.Project("fashion", 1, None, 0, 0, None)]


def test_a_run_goes_when_its_days_are_over_and_not_a_moment_before(store: Store) -> None:
    train(store, "run00001")
    keep(store)
    assert due(store, DAYS) == []
    assert due(store, DAYS + 1e-6) == ["run00001"]
    keep(store, None)
    assert due(store, 36_500) == []


def test_the_oldest_go_first_and_no_more_at_once_than_asked(store: Store) -> None:
    for number in range(5):
        train(store, f"run0000{number}")
    keep(store)
    assert due(store, 40, most=2) == ["run00000", "run00001"]


def test_what_goes_on_is_tagged_archived_or_of_another_project_stays(store: Store) -> None:
    train(store, "other001", project="digits")
    train(store, "tagged01", tags=("best",))
    train(store, "archived")
    train(store, "promised", end=None)
    train(store, "plain001", end=wire.End("failed"))
    with store.database.writer.begin() as connection:
        runs.amend(connection, "archived", {"archived": True})
        connection.exec_driver_sql(f"UPDATE run SET next_ms = {400 * DAY_MS} WHERE uid = 'promised'")
    keep(store)
    assert due(store, 365) == ["plain001"]
    for uid in ("other001", "tagged01", "archived", "promised"):
        assert remove(store, uid, 365) is None
        assert store.run(uid)


def test_a_run_that_never_ended_goes_only_when_it_is_lost_while_the_service_listened(store: Store) -> None:
    train(store, "run00001", end=None)
    keep(store)
    restarted = HEARD + 40 * DAY_MS
    assert due(store, 40, since_ms=restarted) == []
    assert due(store, 40.01, since_ms=restarted) == ["run00001"]


def test_a_run_that_is_tagged_or_heard_of_after_it_was_found_due_stays(store: Store) -> None:
    train(store, "tagged01")
    train(store, "resumed1")
    keep(store)
    assert due(store, 31) == ["tagged01", "resumed1"]
    with store.database.writer.begin() as connection:
        runs.amend(connection, "tagged01", {"tags": ["keep"]})
        connection.exec_driver_sql(f"UPDATE run SET heard_ms = {HEARD + 31 * DAY_MS} WHERE uid = 'resumed1'")
    assert remove(store, "tagged01", 31) is None
    assert remove(store, "resumed1", 31) is None
    assert store.run("tagged01")


def test_a_rule_that_was_just_made_waits_an_hour(store: Store) -> None:
    train(store, "run00001")
    now = HEARD + 60 * DAY_MS
    keep(store, now_ms=now)
    assert store.ask(retention.due, now + HOUR_MS - 1, HEARD, 10) == []
    assert store.ask(retention.due, now + HOUR_MS, HEARD, 10) == ["run00001"]
    assert store.ask(retention.projects, now, HEARD)[0].due == 1, "it is said at once what will go"


class Clock:
    """The clock of a keeper, set by a test."""

    def __init__(self) -> None:
        self.now_ms = HEARD

    def __call__(self) -> int:
        return self.now_ms


def until(true: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def rows(store: Store) -> int:
    return sum(
        store.ask(lambda one, of=table: one.scalar(sa.select(sa.func.count()).select_from(of))) for table in OWNED
    )


def test_the_keeper_deletes_what_is_due_bit_by_bit_and_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeper, "now_ms", clock := Clock())
    monkeypatch.setattr(keeper, "TICK_S", 0.02)
    monkeypatch.setattr(keeper, "RETIRE_S", 0.0)
    monkeypatch.setattr(keeper, "RETIRED", 2)
    monkeypatch.setattr(keeper, "START_S", 0.0)
    for number in range(5):
        train(store, f"run0000{number}", tags=("kept",) if number == 4 else ())
    keep(store)
    told: list[runs.Change] = []
    working = Keeper(store.database, store.writer)
    working.tell = told.append
    try:
        clock.now_ms += DAYS * DAY_MS
        time.sleep(0.2)
        assert told == []
        clock.now_ms += 1
        with caplog.at_level(logging.WARNING):
            until(lambda: len(told) == 4 and rows(store) < 20)
    finally:
        working.close()
    assert [(change.uid, change.status) for change in told] == [(f"run0000{number}", "deleted") for number in range(4)]
    assert "2 runs were deleted: their project keeps runs for a while only" in caplog.text
    assert store.run("run00004")
    (left,) = store.ask(retention.projects, clock.now_ms, HEARD)
    assert (left.runs, left.due, left.removed, left.removed_ms) == (1, 0, 4, clock.now_ms)
    assert store.ask(lambda connection: connection.scalars(sa.select(run_tag.c.tag)).all()) == ["kept"]


def test_a_service_that_has_just_started_deletes_nothing_yet(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "now_ms", clock := Clock())
    monkeypatch.setattr(keeper, "TICK_S", 0.02)
    monkeypatch.setattr(keeper, "RETIRE_S", 0.0)
    train(store, "run00001")
    keep(store)
    clock.now_ms += 365 * DAY_MS
    working = Keeper(store.database, store.writer)
    time.sleep(0.2)
    working.close()
    assert store.run("run00001")


def test_a_clock_that_jumps_years_ahead_deletes_nothing_yet(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeper, "now_ms", clock := Clock())
    monkeypatch.setattr(keeper, "TICK_S", 0.02)
    monkeypatch.setattr(keeper, "RETIRE_S", 0.0)
    train(store, "run00001")
    keep(store)
    working = Keeper(store.database, store.writer)
    working._believed -= 2 * keeper.START_S  # it has run for hours
    try:
        with caplog.at_level(logging.WARNING):
            clock.now_ms += 5 * 365 * DAY_MS
            until(lambda: "the clock went 43800.0 hours ahead" in caplog.text)
        time.sleep(0.2)
        assert store.run("run00001")
    finally:
        working.close()


def put(service: Service, project: str, keep_days: Any) -> tuple[int, Any]:
    answer = service.ask("/projects/retention", "PUT", params={"project": project}, json={"keep_days": keep_days})
    return answer.status_code, answer.json()


def test_the_rule_is_set_and_told_over_http(service: Service) -> None:
    training = Training(service, info={"project": "a project/with a slash"})
    training.send()
    code, told = put(service, "a project/with a slash", 90)
    assert (code, told["keep_days"], told["runs"], told["due"], told["removed"]) == (200, 90, 1, 0, 0)
    assert told in service.get("/projects")["projects"]
    assert put(service, "a project/with a slash", None)[1]["keep_days"] is None
    for days in (0, -1, 1.5, 36_501, "soon"):
        code, told = put(service, "a project/with a slash", days)
        assert (code, told["error"]["field"]) == (422, "keep_days")
    code, told = put(service, "nobody's", 90)
    assert (code, told["error"]["code"]) == (404, "unknown_project")


def test_the_command_shows_the_rules_and_makes_one(service: Service) -> None:
    Training(service, info={"project": "command's own"}).send()
    answer = asked("keep", "command's own", "--days", 30, "--url", service.url)
    assert answer.returncode == 0, answer.stderr
    assert "runs of command's own are deleted 30 days after they were last heard of" in answer.stdout
    assert "unless they go on, have a tag or are archived" in answer.stdout
    assert "due now: 0 of 1 run" in answer.stdout
    shown = asked("keep", "--url", service.url).stdout
    assert next(line for line in shown.splitlines() if line.startswith("command's own")).split()[2:4] == ["30", "days"]
    answer = asked("keep", "command's own", "--forever", "--url", service.url)
    assert "runs of command's own are kept for ever" in answer.stdout
    answer = asked("keep", "nobody's", "--days", 30, "--url", service.url)
    assert (answer.returncode, "There is no project" in answer.stderr) == (1, True)
    answer = asked("keep", "--days", 30, "--url", service.url)
    assert (answer.returncode, "name the project" in answer.stderr) == (1, True)
