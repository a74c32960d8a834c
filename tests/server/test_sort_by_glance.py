"""The list of runs by what it shows of each at a glance: the worst class, the certified drop, held against Python."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command
from asked import asked
from epochscope import wire
from epochscope_server import glancer
from epochscope_server.store import fields, keeper, search
from epochscope_server.store.database import Database, schemas
from stage import Service, Training, counted, start_service, url_of

NAMES = ("cat", "dog", "eel")
RUNS, STEPS = 24, 60


def _post(service: Service, number: int, chance: np.random.Generator) -> None:
    """A run whose class 1 falls by something in every third run; every fifth has no classes."""
    info = {
        "name": f"run {number}",
        "project": "pq"[number % 2],
        "tags": ["odd"] * (number % 2),
        "params": {"n": number},
    }
    training = Training(service, class_names=NAMES if number % 5 else (), info=info)
    parts: dict[str, Any] = {}
    if number % 5:
        true = chance.integers(0, 3, (STEPS, 64))
        right = np.full((STEPS, 3), 0.7 + 0.02 * (number % 8))
        if number % 3 == 0:
            right[STEPS // 2 :, 1] = 0.1 + 0.02 * (number % 7)
        hit = chance.random(true.shape) < np.take_along_axis(right, true, axis=1)
        predicted = np.where(hit, true, (true + 1) % 3)
        parts["confusion"] = [counted(list(zip(true, predicted, strict=True)))]
        parts["spans"] = [wire.Span("train", 1, 1, STEPS + 1)]
    training.send(**parts, end=wire.End("finished"))


@pytest.fixture(scope="module", params=["all have just changed", "all are indexed"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glancer, "TICK_S", 0.02)
        patch.setattr(glancer, "rest_s", lambda took_s, runs: 0.0)
        patch.setattr(keeper, "TICK_S", 0.02)
        indexed = threading.Event()
        index = fields.index

        def indexing(connection: sa.Connection, most: int, latest: int) -> int:
            done = index(connection, most, latest) if request.param == "all are indexed" else 0
            if begun.is_set() and not done:
                indexed.set()
            return done

        begun = threading.Event()
        patch.setattr(fields, "index", indexing)
        started = start_service(tmp_path_factory.mktemp("sorted"))
        chance = np.random.default_rng(3)
        for number in range(RUNS):
            _post(started, number, chance)
        deadline = time.monotonic() + 60
        while any(run["glance"] is None for run in started.get("/runs")["runs"]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.2)  # a run that has ended is looked at once more
        patch.setattr(glancer.Glancer, "_round", lambda self: None)
        time.sleep(0.1)
        _post(started, RUNS + 1, chance)  # at this one nobody has looked
        begun.set()
        assert indexed.wait(20)
        yield started
        started.stop()


def pages(service: Service, limit: int, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = service.get("/runs", limit=limit, **query, **cursor)
        found += page["runs"]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


def value_of(run: dict[str, Any], by: str) -> float | None:
    """What the list shows of a run in the column; a run that has classes, of which none fell, fell by 0."""
    if not run["glance"]:
        return None
    told = run["glance"][by]
    return told["value"] if told else 0.0 if by == "drop" else None


def in_order(runs: list[dict[str, Any]], sort: str) -> list[str]:
    """``runs``, given newest first, as plain Python sorts them."""
    by, down = sort.removeprefix("-"), sort.startswith("-")
    valued = [(value_of(run, by), -place, run["id"]) for place, run in enumerate(runs)]
    known = sorted((row for row in valued if row[0] is not None), reverse=down)
    return [run for *_, run in known] + [run for value, _, run in valued if value is None]


@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.parametrize("sort", ["worst", "-worst", "drop", "-drop"])
def test_runs_by_a_glance_are_those_of_plain_python_page_by_page(
    service: Service, sort: str, looks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not looks:
        monkeypatch.setattr(search, "MANY", 0)  # walk along the index whatever the conditions are
    every = pages(service, 100)
    assert len({value_of(run, "worst") for run in every}) > 10
    assert len({value_of(run, "drop") for run in every}) > 3
    assert {None, 0.0} <= {value_of(run, "drop") for run in every}
    for query, meets in (
        ({}, lambda run: True),
        ({"project": "p"}, lambda run: run["project"] == "p"),
        ({"tag": "odd", "project": "q"}, lambda run: "odd" in run["tags"]),
        ({"where": "params.n<9"}, lambda run: run["params"]["n"] < 9),
        ({"where": f"params.n>{RUNS - 3}"}, lambda run: run["params"]["n"] > RUNS - 3),
        ({"q": "run 1", "where": "params.n>3"}, lambda run: "run 1" in run["name"] and run["params"]["n"] > 3),
        ({"status": "finished"}, lambda run: True),
    ):
        expected = in_order([run for run in every if meets(run)], sort)
        for limit in (3, 100):
            assert [run["id"] for run in pages(service, limit, sort=sort, **query)] == expected, query


def test_a_cursor_of_one_glance_is_refused_by_the_other(service: Service) -> None:
    cursor = service.get("/runs", sort="worst", limit=1)["next"]
    answer = service.ask("/runs", params={"sort": "drop", "cursor": cursor})
    assert answer.json()["error"]["code"] == "bad_cursor"


def test_the_command_names_the_class_it_sorts_by(service: Service) -> None:
    told = asked("runs", "--sort=-drop", "--limit", "1", "--url", service.url)
    (first,) = service.get("/runs", sort="-drop", limit=1)["runs"]
    assert told.returncode == 0, told.stderr
    assert f"drop={first['glance']['drop']['class_name']} {first['glance']['drop']['value']}" in told.stdout


def test_glances_of_the_schema_before_are_sorted_without_another_look(tmp_path: Path) -> None:
    said: list[dict[str, Any]] = [
        {"split": "val", "macro_f1": [0.5], "worst": {"class_name": "a", "value": 0.25}, "drop": None},
        {"split": "val", "macro_f1": [], "worst": None, "drop": {"class_name": "a\"b'", "value": 1}},
        {},
    ]
    url = url_of(tmp_path)
    address = sa.make_url(url).set(drivername="postgresql+psycopg") if url else f"sqlite:///{tmp_path}/epochscope.db"
    engine = sa.create_engine(address)
    with engine.begin() as connection:
        config = schemas()
        config.attributes["connection"] = connection
        command.upgrade(config, "0008")
        for number, one in enumerate(said, 1):
            row = {"id": number, "rev": 7, "said": json.dumps(one)}
            connection.execute(sa.text("INSERT INTO glance (run_id, rev, said) VALUES (:id, :rev, :said)"), row)
    engine.dispose()
    database = Database(tmp_path, url)
    with database.read() as connection:
        rows = connection.execute(sa.text('SELECT run_id, rev, worst, "drop" FROM glance ORDER BY run_id')).all()
    database.close()
    assert [tuple(row) for row in rows] == [(1, 7, 0.25, 0.0), (2, 7, None, 1.0), (3, 7, None, None)]
