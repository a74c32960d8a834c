"""What the service says of itself and its store, and the pages of the list of alerts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from epochscope import __version__
from epochscope_server.alerts.alerter import Alerter
from epochscope_server.store import alerts
from epochscope_server.store.alerts import New
from sealing import sealer
from stage import Service, Training, start_service, url_of


def test_the_service_says_what_it_is_and_how_large_its_store_is(tmp_path: Path) -> None:
    service = start_service(tmp_path)
    Training(service).send()
    told = service.get("/service")
    assert told["version"] == __version__
    assert told["runs"] == 1
    assert told["store"].startswith("PostgreSQL 1" if url_of(tmp_path) else "SQLite 3.")
    assert told["bytes"] >= (1 if url_of(tmp_path) else (tmp_path / "epochscope.db").stat().st_size)
    assert int(told["schema"]) >= 7
    assert str(tmp_path) not in str(told), "where it lies is not the viewers' business"
    service.stop()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with 7 alerts in two projects, at which nobody looks any more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Alerter, "_round", lambda self: None)
        service = start_service(tmp_path_factory.mktemp("found"))
        for place, project in enumerate(("birds", "fish")):
            training = Training(service, info={"project": project, "name": f"run {place}"})
            training.send()
            for number in range(3 + place):
                kind = ("stalled", "nan", "lost")[number % 3]
                details = {"step": 5, "value": "NaN", "by": "batch", "first": 3}
                one = New(f"cause {number}", kind, split="train", over=number == 1, details=details)
                record = partial(
                    alerts.record, uid=training.run, new=[one], over={}, webhooks=[], now_ms=100 * (number // 2)
                )
                sealer(service)._writer.submit(record).result()
        yield service
        service.stop()


def listed(service: Service, **query: Any) -> list[tuple[str, int]]:
    """All pages of the list, one after another."""
    rows, cursor = [], ""
    while cursor is not None:
        page = service.get("/alerts", **query, **({"cursor": cursor} if cursor else {}))
        rows += [(one["project"], one["id"]) for one in page["alerts"]]
        cursor = page["next"]
    return rows


def test_pages_of_alerts_follow_each_other_without_a_hole(found: Service) -> None:
    every = listed(found)
    assert every == [("fish", 4), ("fish", 3), ("birds", 3), ("fish", 2), ("fish", 1), ("birds", 2), ("birds", 1)]
    for limit in (1, 2, 3, 6, 7):
        assert listed(found, limit=limit) == every


def test_alerts_are_filtered_by_project_rule_and_state(found: Service) -> None:
    assert listed(found, project="birds") == [("birds", 3), ("birds", 2), ("birds", 1)]
    assert listed(found, kind="nan") == [("fish", 2), ("birds", 2)]
    assert listed(found, on=True, limit=2) == [one for one in listed(found) if one[1] != 2]
    assert found.ask("/alerts", params={"kind": "odd"}).status_code == 422


@pytest.mark.parametrize("cursor", ["x", "1.2", "1.2.3.4", "1.2.-3", "9" * 40 + ".1.1", "१.2.3x"])
def test_what_is_no_cursor_is_refused(found: Service, cursor: str) -> None:
    answer = found.ask("/alerts", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "cursor")
