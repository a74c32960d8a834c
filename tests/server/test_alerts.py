"""Alerts of a running service: what is found while a training goes on, once for each cause, and where it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epochscope import wire
from epochscope_server.alerts import alerter
from epochscope_server.alerts.watches import Watches
from epochscope_server.store import runs
from epochscope_server.store.cache import Blocks
from sealing import Store
from stage import Service, Training, counted, start_service

pytestmark = pytest.mark.slow  # they wait for what the service finds by itself

NAMES = ("cat", "dog", "eel")
SIZE = 60


def predictions(steps: int, fallen: range = range(0), seed: int = 0, recall: float = 0.9) -> list[tuple[Any, Any]]:
    """Batches in which all classes are recognised alike, but eels are taken for dogs in the steps ``fallen``."""
    rng = np.random.default_rng(seed)
    batches = []
    for step in range(1, steps + 1):
        true = rng.integers(0, 3, SIZE)
        right = rng.random(SIZE) < np.where((true == 2) & (step in fallen), 0.2, recall)
        batches.append((true, np.where(right, true, np.where(true == 2, 1, (true + 1) % 3))))
    return batches


def until(check: Callable[[], Any], why: str, timeout_s: float = 20) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := check()):
        assert time.monotonic() < deadline, why
        time.sleep(0.05)
    return found


def alerts_of(training: Training, kind: str) -> list[dict[str, Any]]:
    return [one for one in training.get("/alerts")["alerts"] if one["kind"] == kind]


def fallen(service: Service, fall: range = range(201, 241), steps: int = 235, project: str = "animals") -> Training:
    """A training in which eels fall, once that is found."""
    training = Training(service, info={"project": project})
    training.send(confusion=[counted(predictions(steps, fall))])
    until(lambda: alerts_of(training, "change"), "the fall was not found")
    return training


def test_a_class_that_falls_is_told_once_named_dated_and_ended_when_it_is_back(service: Service) -> None:
    training = Training(service)
    batches = predictions(400, range(201, 241))
    training.send(confusion=[counted(batches[:200])])
    training.send(confusion=[counted(batches[200:235], 201)])
    (found,) = until(lambda: alerts_of(training, "change"), "the fall was not found")
    assert (found["class_name"], found["on"], found["details"]["taken_for"]) == ("eel", True, "dog")
    assert 195 <= found["steps"]["from"] <= 204
    assert found["steps"]["to"] <= 212
    assert "eel fell from a recall of 0.8" in found["says"]
    training.send(confusion=[counted(batches[235:], 236)])
    ended = until(lambda: [one for one in alerts_of(training, "change") if not one["on"]], "it was not ended")
    assert len(alerts_of(training, "change")) == len(ended) == 1
    assert 240 <= ended[0]["back"] <= 262


def test_a_training_in_which_nothing_is_wrong_has_no_alert(service: Service) -> None:
    training = Training(service)
    batches = predictions(300, seed=5)
    for first in range(0, 300, 60):
        training.send(
            confusion=[counted(batches[first : first + 60], first + 1)],
            series=[wire.SeriesColumns.of("loss", "train", "batch", range(first + 1, first + 61), np.ones(60))],
        )
        time.sleep(0.2)
    training.send(end=wire.End("finished"))
    marker = fallen(service)  # found after it, so the healthy one was looked at
    assert training.get("/alerts")["alerts"] == []
    assert training.get()["alerts"] == {"all": 0, "on": 0}
    assert len(marker.get("/alerts")["rules"]) == 5


def test_the_list_of_runs_counts_the_alerts_and_how_many_are_on(service: Service) -> None:
    training = fallen(service)
    listed = {run["id"]: run["alerts"] for run in service.get("/runs", limit=500)["runs"]}
    assert listed[training.run] == training.get()["alerts"] == {"all": 1, "on": 1}
    assert training.run in {one["run"] for one in service.get("/alerts", project="animals", on=True)["alerts"]}
    assert service.get("/alerts", project="no such project")["alerts"] == []


def test_one_infinite_loss_among_many_is_told_and_is_over_after_a_hundred_finite_ones(service: Service) -> None:
    training = Training(service)
    losses = np.ones(400)
    losses[149], losses[170] = np.nan, np.inf
    for first in (1, 201):
        steps = range(first, first + 200)
        training.send(series=[wire.SeriesColumns.of("loss", "train", "batch", steps, losses[first - 1 : first + 199])])
        until(lambda: alerts_of(training, "nan"), "NaN was not found")
    (found,) = until(lambda: [one for one in alerts_of(training, "nan") if not one["on"]], "it was not ended")
    assert found["says"] == "the loss is NaN since step 150, training"
    assert (found["steps"], found["back"]) == ({"from": 150, "to": 172}, 271)


def test_a_loss_of_validation_that_is_nan_is_told_by_its_epoch(service: Service) -> None:
    training = Training(service)
    training.send(series=[wire.SeriesColumns.of("loss", "val", "epoch", [1, 2], [0.5, np.nan])])
    (found,) = until(lambda: alerts_of(training, "nan"), "NaN was not found")
    assert (found["says"], found["steps"]) == ("the loss is NaN since epoch 2, validation", None)


def test_a_level_that_somebody_named_is_watched_from_the_epoch_on_that_they_said(service: Service) -> None:
    training = Training(service, info={"project": "levels"})
    rules = [
        {"kind": "below", "at": 0.8, "split": "val", "after_epoch": 2, "classes": ["eel", "cat"]},
        {"kind": "drop", "at": 0.1},
    ]
    answer = service.ask("/alerts/rules", "PUT", params={"project": "levels"}, json={"rules": rules})
    assert answer.status_code == 200
    assert answer.json()["rules"][0]["says"] == (
        "the recall of one of eel, cat is surely below 0.8, in validation, after the end of epoch 2"
    )
    spans, counts = [], []
    for epoch in (1, 2, 3, 4):
        # Eels are not recognised in the first three passes, dogs in none, cats in all.
        right = {"cat": 190, "dog": 20, "eel": 20 if epoch < 4 else 190}
        true = np.repeat([0, 1, 2], 200)
        guess = np.concatenate(
            [[at] * right[name] + [(at + 1) % 3] * (200 - right[name]) for at, name in enumerate(right)]
        )
        counts.append(counted([(true, guess)], epoch, "val"))
        spans += [wire.Span("train", epoch, epoch, epoch + 1), wire.Span("val", epoch, epoch, epoch + 1)]
    training.send(confusion=counts, spans=spans, end=wire.End("finished"))
    (found,) = until(lambda: alerts_of(training, "below"), "the class below was not found")
    assert (found["class_name"], found["on"], found["steps"], found["back"]) == ("eel", False, {"from": 2, "to": 3}, 4)
    assert found["details"]["now"]["value"] == pytest.approx(0.1)


def test_a_certified_drop_is_told_as_the_stability_of_the_run_has_it(service: Service) -> None:
    service.ask(
        "/alerts/rules", "PUT", params={"project": "drops"}, json={"rules": [{"kind": "drop", "at": 0.1}]}
    )  # fmt: skip
    training = Training(service, info={"project": "drops"})
    training.send(confusion=[counted(predictions(600, range(201, 321)))], end=wire.End("finished"))
    (found,) = until(lambda: alerts_of(training, "drop"), "the drop was not found")
    (told,) = (one for one in training.get("/stability")["classes"] if one["class_name"] == "eel")
    assert found["details"]["drop"] == pytest.approx(told["certified_drop"]["value"])
    assert (found["on"], found["back"]) == (False, told["certified_drop"]["back"])
    assert found["back"] is not None


def test_a_run_that_nothing_is_heard_of_is_told_once_and_is_over_when_it_is_heard(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, away = Training(service), [True]
    truly = runs.status

    def status(row: Any, *more: Any) -> str:
        return "lost" if away[0] and row["uid"] == training.run else truly(row, *more)

    monkeypatch.setattr(runs, "status", status)
    training.send(confusion=[counted(predictions(5))])
    (found,) = until(lambda: alerts_of(training, "lost"), "silence was not found")
    assert (found["on"], found["says"]) == (True, "nothing is heard of the run since step 5")
    away[0] = False
    (ended,) = until(lambda: [one for one in alerts_of(training, "lost") if not one["on"]], "it was not ended")
    assert ended["id"] == found["id"]


def test_a_run_that_stands_still_is_told_once_and_is_over_when_it_goes_on(service: Service) -> None:
    training = Training(service)
    training.send(confusion=[counted(predictions(5))])
    for seconds in (400.0, 405.0):
        training.send(stalled_s=seconds)
        (found,) = until(lambda: alerts_of(training, "stalled"), "standing still was not found")
        assert found["on"]
    training.send(confusion=[counted(predictions(1), 6)])
    (ended,) = until(lambda: [one for one in alerts_of(training, "stalled") if not one["on"]], "it was not ended")
    assert ended["id"] == found["id"]


def test_rules_are_kept_taken_back_and_refused_where_they_make_no_sense(service: Service) -> None:
    asked = {"params": {"project": "ruled"}}
    unasked = service.get("/alerts/rules", project="ruled")
    assert (unasked["set"], [one["kind"] for one in unasked["rules"]]) == (
        False, ["change", "drop", "nan", "stalled", "lost"],
    )  # fmt: skip
    assert service.ask("/alerts/rules", "PUT", **asked, json={"rules": [{"kind": "nan"}]}).json()["set"] is True
    assert [one["kind"] for one in service.get("/alerts/rules", project="ruled")["rules"]] == ["nan"]
    assert service.ask("/alerts/rules", "DELETE", **asked).json() == unasked
    assert service.get("/alerts/rules", project="ruled") == unasked
    for wrong, field in (
        ({"kind": "drop"}, "rules.0.at"),
        ({"kind": "below", "at": 1.5}, "rules.0.at"),
        ({"kind": "nan", "at": 0.5}, "rules.0.at"),
        ({"kind": "lost", "classes": ["cat"]}, "rules.0.classes"),
        ({"kind": "fire"}, "rules.0.kind"),
        ({"kind": "nan", "webhook": "https://evil.example"}, "rules.0.webhook"),
    ):
        refused = service.ask("/alerts/rules", "PUT", **asked, json={"rules": [wrong]})
        assert (refused.status_code, refused.json()["error"]["field"].removeprefix("body.")) == (422, field), wrong


def test_a_rule_that_is_taken_away_ends_what_it_found(service: Service) -> None:
    training = fallen(service, project="changing")
    service.ask("/alerts/rules", "PUT", params={"project": "changing"}, json={"rules": []})
    training.send()
    until(lambda: training.get()["alerts"] == {"all": 1, "on": 0}, "it was not ended")


@pytest.mark.slow
def test_alerts_outlive_the_service_and_are_not_told_again(tmp_path: Path) -> None:
    service = start_service(tmp_path)
    training = fallen(service)
    before = training.get("/alerts")["alerts"]
    service.stop()
    again = start_service(tmp_path)
    later = Training(again, run=training.run, seq=training.seq)
    later.send(confusion=[counted(predictions(20, range(20), seed=9), 1001)])
    marker = fallen(again)
    assert later.get("/alerts")["alerts"] == before
    later.send(confusion=[counted(predictions(300, seed=9), 1021)])
    until(lambda: later.get()["alerts"] == {"all": 1, "on": 0}, "an alert from before the restart was not ended")
    assert again.ask(f"/runs/{training.run}", "DELETE").status_code == 200
    assert {one["run"] for one in again.get("/alerts")["alerts"]} == {marker.run}
    again.stop()


def test_a_watch_that_was_kept_and_one_made_anew_say_the_same(tmp_path: Path) -> None:
    """Flushes of any size, sealed and not, against all counts at once."""
    store = Store(tmp_path)
    rng = np.random.default_rng(4)
    batches = predictions(700, range(450, 520), seed=2)
    kept, first, seq = Watches(store.database, Blocks()), 1, 0
    while first <= 700:
        last = min(first + int(rng.integers(1, 60)), 701)
        seq += 1
        info = wire.RunInfo("p", "n", 1, outputs=[wire.Output("output", NAMES)]) if seq == 1 else None
        columns = [counted(batches[first - 1 : last - 1], first)]
        # Losses may be ahead of the counts of their steps.
        ahead = range(first, last + 7)
        series = [wire.SeriesColumns.of("loss", "train", "batch", ahead, np.ones(len(ahead)))]
        store.post(wire.Flush(wire.VERSION, "keptrun0001", "stream00", seq, 1, info, series, columns))
        if seq % 5 == 0:
            store.seal("keptrun0001")
        kept.alarms(store.run("keptrun0001"), 0)
        first = last
    row = store.run("keptrun0001")
    anew = Watches(store.database, Blocks()).alarms(row, 0)
    assert kept.alarms(row, 0) == anew
    assert anew is not None
    (over,) = anew[1]
    assert (over.index, anew[0]) == (2, [])
    store.close()


def test_a_run_that_went_silent_long_before_the_start_is_no_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an old store would tell of all its dead runs at once."""
    monkeypatch.setattr(alerter, "LATELY_MS", 500)
    service = start_service(tmp_path)
    old = Training(service)
    old.send(confusion=[counted(predictions(5))])
    service.stop()
    time.sleep(0.6)
    monkeypatch.setattr(runs, "LOST_AFTER_MS", 0)
    monkeypatch.setattr(runs, "SILENT_AFTER", 0)
    again = start_service(tmp_path)
    assert again.ask(f"/runs/{old.run}", "PATCH", json={"notes": "looked at"}).status_code == 200
    lost = Training(again)
    lost.send(confusion=[counted(predictions(5))])
    until(lambda: alerts_of(lost, "lost"), "silence was not found")
    assert again.get(f"/runs/{old.run}")["status"] == "lost"
    assert again.get(f"/runs/{old.run}/alerts")["alerts"] == []
    again.stop()
