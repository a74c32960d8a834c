"""GET, PATCH, DELETE /runs: the list, one run, and what a viewer may change."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from epochscope import wire
from epochscope_server.api import rooms
from epochscope_server.api import runs as api
from epochscope_server.store import runs
from stage import Service, Training, counted


def loss(value: float, by: wire.By = "epoch", split: wire.Split = "train") -> wire.SeriesColumns:
    return wire.SeriesColumns.of("loss", split, by, [1], [value])


def test_a_run_says_what_there_is_to_be_asked_of_it(training: Training) -> None:
    training.info = {
        "params": {"lr": 0.1, "decay": float("nan")},
        "tags": ["b", "a"],
        "epochs": 3,
        "environment": {"keras": "3"},
    }
    training.send(
        series=[loss(0.5, "batch"), loss(0.4), loss(0.6, split="val")],
        confusion=[counted([([0, 1], [0, 1])] * 3)],
        spans=[wire.Span("train", 1, 1, 3), wire.Span("train", 2, 3, 0)],
    )
    run = training.get()
    assert run["id"] == training.run
    assert (run["project"], run["name"], run["status"]) == ("animals", "zoo", "running")
    assert run["params"] == {"lr": 0.1, "decay": "NaN"}
    assert run["tags"] == ["a", "b"]
    assert run["steps"] == {"train": 3}
    assert (run["epoch"], run["epochs"]) == (2, 3)
    assert run["outputs"] == [{"name": "output", "class_names": ["cat", "dog", "eel"]}]
    assert run["spans"] == [
        {"split": "train", "epoch": 1, "from": 1, "to": 3},
        {"split": "train", "epoch": 2, "from": 3, "to": 4},
    ]
    assert {"key": "loss", "split": "val", "by": "epoch"} in run["series"]
    assert run["summary"] == {"loss": 0.4, "val_loss": 0.6}


def test_a_run_ends_as_its_last_flush_says(training: Training) -> None:
    training.send()
    training.send(end=wire.End("failed", "ValueError"))
    run = training.get()
    assert (run["status"], run["reason"]) == ("failed", "ValueError")
    assert run["ended_ms"] >= run["created_ms"]


def test_what_an_earlier_process_said_before_the_end_does_not_undo_the_end(training: Training) -> None:
    training.send(sent_ms=1_000)
    again = Training(training.service, run=training.run, stream="stream01")
    again.send(sent_ms=5_000, end=wire.End("finished"))
    ended = training.get()
    training.send(sent_ms=2_000, series=[loss(0.5)])  # it lay in a spool
    training.send(sent_ms=3_000, end=wire.End("failed", "KeyError"))
    run = training.get()
    assert run["summary"] == {"loss": 0.5}
    assert {name: run[name] for name in ("status", "reason", "heard_ms", "ended_ms")} == {
        name: ended[name] for name in ("status", "reason", "heard_ms", "ended_ms")
    }
    again.send(sent_ms=6_000)  # and this was said after it
    assert (training.get()["status"], training.get()["ended_ms"]) == ("running", None)


def test_families_of_series_are_left_out_of_the_summary(training: Training) -> None:
    training.send(series=[wire.SeriesColumns.of("class_weight/cat", "train", "epoch", [1], [0.5]), loss(0.4)])
    assert training.get()["summary"] == {"loss": 0.4}
    assert len(training.get()["series"]) == 2


def test_every_flush_moves_the_revision_on(training: Training) -> None:
    training.send()
    before = training.get()["rev"]
    training.send(series=[loss(1.0)])
    assert training.get()["rev"] == before + 1


@pytest.fixture(scope="module")
def many(service: Service) -> list[str]:
    """Seven runs of a project of their own, oldest first."""
    made = []
    for index in range(7):
        info = {"project": "many", "name": f"run {index % 3}", "tags": ["odd"] if index % 2 else ["even", "50%_off"]}
        training = Training(service, info=info)
        training.send(end=wire.End("finished") if index < 3 else None)
        made.append(training.run)
        time.sleep(0.002)  # so that no two are made in the same millisecond
    return made


def listed(service: Service, **query: object) -> list[str]:
    return [run["id"] for run in service.get("/runs", project="many", **query)["runs"]]


def test_the_list_is_newest_first(service: Service, many: list[str]) -> None:
    assert listed(service) == many[::-1]


@pytest.mark.parametrize("sort", ["-created", "created", "name", "-name", "heard", "project"])
def test_pages_together_are_the_whole_list(service: Service, many: list[str], sort: str) -> None:
    whole = listed(service, sort=sort)
    found, cursor = [], None
    while True:
        page = service.get("/runs", project="many", sort=sort, limit=2, **({"cursor": cursor} if cursor else {}))
        found += [run["id"] for run in page["runs"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == whole
    assert sorted(found) == sorted(many)


def test_filters_choose(service: Service, many: list[str]) -> None:
    assert listed(service, status="finished") == many[2::-1]
    assert listed(service, status="finished,running") == many[::-1]
    assert listed(service, status="lost") == []
    assert listed(service, tag="odd") == many[5::-2]
    assert listed(service, q="RUN 2") == [many[5], many[2]]
    assert listed(service, q=many[4]) == [many[4]]
    assert listed(service, q="%") == []  # not a wildcard


def test_bad_queries_are_refused(service: Service) -> None:
    for query in (
        {"sort": "mood"},
        {"status": "sad"},
        {"limit": 0},
        {"limit": 10_000},
        {"cursor": "!!"},
        {"cursor": "aGk="},
    ):
        assert service.ask("/runs", params=query).status_code == 422


def test_a_cursor_of_another_order_is_refused(service: Service, many: list[str]) -> None:
    cursor = service.get("/runs", project="many", sort="name", limit=1)["next"]
    assert service.ask("/runs", params={"sort": "created", "cursor": cursor}).status_code == 422


def test_a_viewer_renames_tags_annotates_and_archives(training: Training) -> None:
    training.send()
    change = {"name": "the good one", "tags": ["keep"], "notes": "lr was right", "archived": True}
    answer = training.service.ask(f"/runs/{training.run}", "PATCH", json=change)
    assert answer.status_code == 200
    assert answer.json() | change == answer.json()
    assert training.run not in [run["id"] for run in training.service.get("/runs", limit=500)["runs"]]
    assert training.run in [run["id"] for run in training.service.get("/runs", limit=500, archived=True)["runs"]]


def test_a_new_name_outlives_what_the_callback_says_later(training: Training) -> None:
    training.send()
    training.service.ask(f"/runs/{training.run}", "PATCH", json={"name": "mine"})
    training.send(info=training.told())
    assert training.get()["name"] == "mine"


@pytest.mark.parametrize(
    "change", [{"name": ""}, {"name": "a\0b"}, {"tags": ["\n"]}, {"status": "finished"}, {"name": 3}, []]
)
def test_what_a_viewer_may_not_set_is_refused(training: Training, change: object) -> None:
    training.send()
    assert training.service.ask(f"/runs/{training.run}", "PATCH", json=change).status_code == 422
    assert training.get()["name"] == "zoo"


def test_a_deleted_run_is_gone_with_all_it_had(training: Training) -> None:
    training.send(confusion=[counted([([0], [0])])])
    assert training.service.ask(f"/runs/{training.run}", "DELETE").status_code == 200
    for path in ("", "/confusion", "/classes", "/series"):
        assert training.ask(path).status_code == 404
    assert training.service.ask(f"/runs/{training.run}", "DELETE").status_code == 404


def test_a_run_that_is_not_heard_of_is_silent_then_lost(
    lone_service: Callable[[], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = lone_service()
    training = Training(service)
    training.send(next_in_s=5.0)
    assert training.get()["status"] == "running"
    told = runs.status
    for later_s, status in ((14, "running"), (16, "silent"), (59, "silent"), (61, "lost")):
        monkeypatch.setattr(runs, "status", lambda row, now, since, s=later_s: told(row, now + s * 1000, since))
        assert training.get()["status"] == status


def test_filters_by_silence_agree_with_the_state_that_is_shown(
    lone_service: Callable[[], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = lone_service()
    training = Training(service)
    training.send(next_in_s=5.0)
    now = rooms.now_ms
    for later_s, status in ((0, "running"), (16, "silent"), (59, "silent"), (61, "lost")):
        monkeypatch.setattr(api, "now_ms", lambda later_ms=1000 * later_s: now() + later_ms)
        assert training.get()["status"] == status
        for one in ("running", "silent", "lost", "finished"):
            assert [run["id"] for run in service.get("/runs", status=one)["runs"]] == [training.run] * (one == status)


def test_a_run_whose_process_lives_but_brings_nothing_new_has_stalled(
    lone_service: Callable[[], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = lone_service()
    training = Training(service)
    training.send()
    training.send(stalled_s=725.0)
    now = rooms.now_ms
    for later_s, status in ((0, "stalled"), (16, "silent"), (61, "lost")):
        monkeypatch.setattr(api, "now_ms", lambda later_ms=1000 * later_s: now() + later_ms)
        run = training.get()
        assert (run["status"], run["reason"]) == (status, "nothing new for 12 min")
        for one in api.STATUSES:
            assert [run["id"] for run in service.get("/runs", status=one)["runs"]] == [training.run] * (one == status)
    monkeypatch.undo()
    training.send(stalled_s=8000.0)
    assert training.get()["reason"] == "nothing new for 2 h"
    training.send(series=[loss(0.5)])
    assert (training.get()["status"], training.get()["reason"]) == ("running", "")
    training.send(end=wire.End("finished"))
    assert (training.get()["status"], training.get()["reason"]) == ("finished", "")


def test_a_store_without_runs_answers_an_empty_list(lone_service: Callable[[], Service]) -> None:
    assert lone_service().get("/runs") == {"runs": [], "next": None}
