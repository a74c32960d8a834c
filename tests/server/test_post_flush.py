"""POST .../flushes: stored exactly once, refused with a sentence."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import msgspec
import numpy as np
import pytest
from epochscope import wire
from stage import Service, Training, counted


def loss(value: float, step: int = 1) -> wire.SeriesColumns:
    return wire.SeriesColumns.of("loss", "train", "batch", [step], [value])


def error(answer: httpx2.Response) -> dict[str, object]:
    found: dict[str, object] = answer.json()["error"]
    assert set(found) >= {"code", "message", "field"}
    assert str(found["message"])
    return found


def test_a_flush_is_acknowledged_with_its_number(training: Training) -> None:
    assert training.send(series=[loss(0.5)]) == 1
    assert training.send(series=[loss(0.4, 2)]) == 2


def test_an_acknowledgement_tells_whether_somebody_looks_at_the_run(service: Service) -> None:
    name, watched = wire.WATCHED
    looked_at, other = Training(service), Training(service)
    for training in (looked_at, other):
        assert name not in training.post(training.flush(series=[loss(0.5)])).headers
    service.get("/figures/series", run=looked_at.run, keys="loss", split="train")
    answers = [training.post(training.flush()) for training in (looked_at, other)]
    assert [answer.headers.get(name) for answer in answers] == [watched, None]
    assert answers[0].json() == {"acked": 2}


def test_a_flush_sent_twice_is_stored_once(training: Training) -> None:
    flush = training.flush(confusion=[counted([([0, 1], [0, 2])])])
    assert training.post(flush).json() == {"acked": 1}
    assert training.post(flush).json() == {"acked": 1}
    assert sum(map(sum, training.get("/confusion")["counts"])) == 2


def test_an_old_flush_sent_again_is_acknowledged_with_the_latest(training: Training) -> None:
    first = training.flush(series=[loss(0.5)])
    training.post(first)
    training.send(series=[loss(0.4, 2)])
    assert training.post(first).json() == {"acked": 2}


def test_another_flush_of_the_same_number_is_a_conflict(training: Training) -> None:
    training.send(series=[loss(0.5)])
    training.seq = 0
    answer = training.post(training.flush(series=[loss(0.9)]))
    assert answer.status_code == 409
    assert error(answer)["code"] == "conflict"


def test_a_flush_that_comes_too_early_names_the_one_it_waits_for(training: Training) -> None:
    training.send(series=[loss(0.5)])
    training.seq = 4
    answer = training.post(training.flush(series=[loss(0.4, 2)]))
    assert answer.status_code == 409
    assert error(answer) | {"message": ""} == {"code": "out_of_order", "field": "seq", "expected": 2, "message": ""}


def test_two_streams_of_one_run_count_for_themselves(training: Training) -> None:
    training.send(confusion=[counted([([0], [1])])])
    other = Training(training.service, run=training.run, stream="stream01")
    assert other.send(confusion=[counted([([0], [1])])]) == 1
    assert training.get("/confusion")["counts"][0][1] == 2


def test_a_first_flush_without_info_is_refused(training: Training) -> None:
    answer = training.post(training.flush(info=None))
    assert answer.status_code == 422
    assert error(answer)["field"] == "info"


def test_what_was_stored_is_there_after_a_restart(lone_service: Callable[[], Service]) -> None:
    first = lone_service()
    before = Training(first)
    before.send(confusion=[counted([([0, 1, 2], [0, 1, 1])])], series=[loss(float("nan"))])
    first.stop()
    again = Training(lone_service(), run=before.run, seq=1)
    assert again.get("/confusion")["counts"] == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert again.send(series=[loss(0.3, 2)]) == 2


@pytest.mark.parametrize(
    ("kind", "status"), [("application/json", 415), ("text/plain", 415), ("", 415), ("application/msgpack", 422)]
)
def test_only_msgpack_is_read(training: Training, kind: str, status: int) -> None:
    answer = training.post(b"{}", **{"content-type": kind})
    assert answer.status_code == status
    error(answer)


def test_every_truncation_is_refused(training: Training) -> None:
    body = wire.encode(training.flush(confusion=[counted([([0, 1], [0, 2])])]))
    for length in range(len(body)):
        assert training.post(body[:length]).status_code == 422
    assert training.ask().status_code == 404  # none of them left a trace
    assert training.post(body).status_code == 200


def test_a_body_longer_than_its_limit_is_refused_unread(training: Training) -> None:
    answer = training.post(b"x" * (wire.MAX_BODY + 1))
    assert answer.status_code == 413
    assert f"{wire.MAX_BODY:,}" in str(error(answer)["message"])


def test_a_body_without_a_length_is_refused(training: Training) -> None:
    answer = training.service.ask(
        f"/runs/{training.run}/streams/stream00/flushes",
        "POST",
        content=iter([b"abc"]),
        headers={"content-type": wire.CONTENT_TYPE},
    )
    assert answer.status_code == 411


def test_a_flush_at_a_foreign_address_is_refused(training: Training, service: Service) -> None:
    body = wire.encode(training.flush())
    answer = service.ask(
        "/runs/anotherrun/streams/stream00/flushes",
        "POST",
        content=body,
        headers={"content-type": wire.CONTENT_TYPE},
    )
    assert answer.status_code == 422


@pytest.mark.parametrize("column", ["true", "predicted"])
def test_a_class_that_does_not_exist_is_refused_by_name(training: Training, column: str) -> None:
    pair = ([0, 3], [0, 1]) if column == "true" else ([0, 1], [0, 3])
    answer = training.post(training.flush(confusion=[counted([pair])]))
    assert answer.status_code == 422
    found = error(answer)
    assert found["field"] == f"confusion[0].{column}"
    assert "3 classes, 0 to 2" in str(found["message"])


def test_an_output_that_does_not_exist_is_refused(training: Training) -> None:
    answer = training.post(training.flush(confusion=[counted([([0], [0])], output="other")]))
    assert error(answer)["code"] == "unknown_output"


def test_classes_may_be_told_later_but_never_taken_away(training: Training) -> None:
    told = wire.RunInfo("animals", "zoo", 1, outputs=[])
    training.send(info=told)
    told.outputs = [wire.Output("output", ("cat", "dog"))]
    training.send(info=told, confusion=[counted([([0, 1], [1, 1])])])
    told.outputs = [wire.Output("output", ("cat",))]
    answer = training.post(training.flush(info=told))
    assert error(answer)["code"] == "classes_changed"
    assert training.get("/confusion")["counts"] == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"version": 99}, "version"),
        ({"seq": 0}, "body"),
        ({"seq": 2**60}, "body"),
        ({"seq": True}, "body"),
        ({"run": "../../etc/passwd"}, "run"),
        ({"series": 3}, "body"),
        (
            {"series": [{"key": "loss", "split": "train", "by": "batch", "steps": b"12345678", "values": b""}]},
            "series[0]",
        ),
        (
            {"series": [{"key": "loss", "split": "train", "by": "batch", "steps": b"123", "values": b""}]},
            "series[0].steps",
        ),
        ({"series": [{"key": "\0", "split": "train", "by": "batch", "steps": b"", "values": b""}]}, "series[0].key"),
        ({"series": [{"key": "a", "split": "moon", "by": "batch", "steps": b"", "values": b""}]}, "body"),
        ({"spans": [{"split": "train", "epoch": 1, "start": 9, "stop": 3}]}, "spans[0]"),
        ({"next_in_s": -1.0}, "body"),
        ({"next_in_s": float("nan")}, "body"),
        ({"end": {"status": "vanished"}}, "body"),
        ({"info": {"project": "p", "name": "n" * 257, "started_ms": 1}}, "info.name"),
        ({"info": {"project": "p", "name": "n", "started_ms": 1, "params": {"a": [1]}}}, "info.params"),
        ({"info": {"project": "\u202ep", "name": "n", "started_ms": 1}}, "info.project"),
    ],
)
def test_what_makes_no_sense_is_refused_and_named(training: Training, change: dict[str, object], field: str) -> None:
    whole = msgspec.msgpack.decode(wire.encode(training.flush()))
    answer = training.post(msgspec.msgpack.encode({**whole, **change}))
    assert answer.status_code == 422
    assert error(answer)["field"] == field
    assert training.ask().status_code == 404


def test_a_step_below_one_or_beyond_what_a_browser_counts_is_refused(training: Training) -> None:
    for step in (0, -1, 2**60):
        columns = wire.ConfusionColumns.of("output", "train", [step], [1], [0], [0], [1])
        training.seq = 0
        assert training.post(training.flush(confusion=[columns])).status_code == 422


def test_numbers_that_are_not_finite_are_kept_and_answered_as_words(training: Training) -> None:
    values = [1.0, float("nan"), float("inf"), float("-inf"), -0.0]
    training.send(series=[wire.SeriesColumns.of("loss", "train", "batch", [1, 2, 3, 4, 5], values)])
    (series,) = training.get("/series", keys="loss")["series"]
    assert series["value"] == [1.0, "NaN", "Infinity", "-Infinity", 0.0]
    assert np.signbit(series["value"][4])
    assert series["nonfinite"] == [0, 1, 1, 1, 0]


def test_a_deleted_run_does_not_come_back(training: Training) -> None:
    training.send(series=[loss(0.5)])
    assert training.service.ask(f"/runs/{training.run}", "DELETE").json() == {"deleted": training.run}
    answer = training.post(training.flush(series=[loss(0.4, 2)]))
    assert answer.status_code == 410
    assert training.ask().status_code == 404
