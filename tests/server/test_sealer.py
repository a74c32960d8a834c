"""The sealer: when it seals, in what order, and what it does about trouble."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from epochscope import wire
from epochscope_server.store import confusion, sealing
from epochscope_server.store import sealer as room
from epochscope_server.store.schema import count_node, flush_body, stream
from epochscope_server.store.sealer import Sealer
from sealing import Store, seal, sealer
from stage import Service, Training, counted

OUTPUTS = [wire.Output("output", ("a", "b"))]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    running = Store(tmp_path / "store")
    yield running
    running.close()


@pytest.fixture
def sealing_store(store: Store) -> Iterator[tuple[Store, Sealer]]:
    """A store with a sealer, which has found nothing to do."""
    running = Sealer(store.database, store.writer)
    assert running.settle()
    assert comes(lambda: running._look_at > 0.0)  # a look that was still to come would find what the test posts
    yield store, running
    running.close()


def post(store: Store, uid: str, seq: int, end: wire.End | None = None, **more: Any) -> int:
    """Flush ``seq`` of a run: one sample in one batch. Gives the run's number."""
    more = {"confusion": [counted([([0], [1])], seq)], **more}
    return store.post(
        wire.Flush(wire.VERSION, uid, "stream00", seq, 1, wire.RunInfo("p", "n", 1, outputs=OUTPUTS), end=end, **more)
    ).run_id


def waiting(store: Store, run_id: int) -> int:
    """How many flushes of a run are not sealed."""
    chosen = sa.select(stream.c.next_seq - 1 - stream.c.sealed_seq).where(stream.c.run_id == run_id)
    return int(store.ask(lambda connection: connection.scalar(chosen)))


def comes(what: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.005)
    return what()


def total(store: Store, uid: str) -> int:
    run = store.run(uid)
    last = run["steps"].get("train", 0)
    return int(store.ask(confusion.fetch, store.blocks, run, 0, "train", 1, last + 1).matrix().sum())


def test_a_run_is_sealed_when_enough_flushes_have_come(
    sealing_store: tuple[Store, Sealer], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, running = sealing_store
    monkeypatch.setattr(sealing, "MOST_FLUSHES", 5)
    for seq in range(1, 5):
        run_id = post(store, "manyflushes", seq)
        running.heard(run_id, 10, ended=False)
    time.sleep(0.05)
    assert waiting(store, run_id) == 4
    running.heard(post(store, "manyflushes", 5), 10, ended=False)
    assert comes(lambda: waiting(store, run_id) == 0)


def test_a_run_is_sealed_when_enough_bytes_have_come(sealing_store: tuple[Store, Sealer]) -> None:
    store, running = sealing_store
    run_id = post(store, "manybytes", 1)
    running.heard(run_id, sealing.MOST_BYTES, ended=False)
    assert comes(lambda: waiting(store, run_id) == 0)


def test_a_run_that_has_ended_is_sealed_at_once(sealing_store: tuple[Store, Sealer]) -> None:
    store, running = sealing_store
    run_id = post(store, "endedrun", 1, end=wire.End("finished"))
    running.heard(run_id, 10, ended=True)
    assert comes(lambda: waiting(store, run_id) == 0)


def test_a_run_that_is_quiet_is_sealed_after_a_while(
    sealing_store: tuple[Store, Sealer], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, running = sealing_store
    monkeypatch.setattr(room, "QUIET_S", 0.2)
    run_id = post(store, "quietrun", 1)
    running.heard(run_id, 10, ended=False)
    time.sleep(0.05)
    assert waiting(store, run_id) == 1
    assert comes(lambda: waiting(store, run_id) == 0)


def test_what_a_service_left_waiting_is_sealed_by_the_next(store: Store) -> None:
    run_id = post(store, "leftover", 1)
    running = Sealer(store.database, store.writer)
    assert comes(lambda: waiting(store, run_id) == 0)
    running.close()


def test_what_another_service_left_waiting_is_found_while_this_one_runs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LOOK_S", 0.1)
    monkeypatch.setattr(room, "QUIET_S", 0.1)
    running = Sealer(store.database, store.writer)
    run_id = post(store, "orphaned", 1)  # nobody tells this sealer
    assert comes(lambda: waiting(store, run_id) == 0)
    running.close()


def test_a_long_run_does_not_hold_up_the_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "MOST_FLUSHES", 2)
    for seq in range(1, 21):
        post(store, "longrun0", seq)
    for uid in ("shortrun1", "shortrun2"):
        post(store, uid, 1)
    written: list[sealing.Step] = []
    write = sealing.write

    def noted(connection: sa.Connection, step: sealing.Step) -> bool:
        done = write(connection, step)
        if done and not any(step is each for each in written):  # the writer may have to do it again
            written.append(step)
        return done

    monkeypatch.setattr(sealing, "write", noted)
    running = Sealer(store.database, store.writer)
    assert running.settle()
    running.close()
    order = [step.uid for step in written]
    assert order[:4] == ["longrun0", "shortrun1", "shortrun2", "longrun0"]
    assert len(order) == 12


def test_a_damaged_flush_is_set_aside_and_the_run_is_still_read(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    for seq in range(1, 6):
        run_id = post(store, "damaged00", seq)
    third = (flush_body.c.run_id == run_id, flush_body.c.seq == 3)
    spoilt = flush_body.update().where(*third).values(body=b"no flush at all")
    store.writer.submit(lambda connection: connection.execute(spoilt)).result()
    assert total(store, "damaged00") == 4
    running = Sealer(store.database, store.writer)
    assert running.settle()
    running.close()
    assert total(store, "damaged00") == 4
    assert "run damaged00: flush 3 of stream 0 is damaged on disk" in caplog.text
    kept = sa.select(flush_body.c.seq)
    assert store.ask(lambda connection: connection.scalars(kept).all()) == [3]
    assert post(store, "damaged00", 6) == run_id
    assert total(store, "damaged00") == 5


def test_a_run_that_can_not_be_sealed_does_not_hold_up_the_others(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = post(store, "badrun000", 1)
    store.seal("badrun000")
    spoilt = count_node.update().where(count_node.c.run_id == bad).values(data=b"no leaf at all")
    store.writer.submit(lambda connection: connection.execute(spoilt)).result()
    post(store, "badrun000", 2)
    good = post(store, "goodrun00", 1)
    running = Sealer(store.database, store.writer)
    assert comes(lambda: waiting(store, good) == 0)
    assert waiting(store, bad) == 1
    assert "can't be sealed" in caplog.text
    assert not running.settle(0.3)
    running.close()
    caplog.clear()


def test_a_full_disk_stops_sealing_for_a_while_and_loses_nothing(
    sealing_store: tuple[Store, Sealer], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, running = sealing_store
    if store.database.shared:
        pytest.skip("a file's pages can be counted, a server's can't")
    noise = wire.SeriesColumns.of("noise", "train", "batch", range(1, 4001), list(os.urandom(4000)))
    run_id = post(store, "fulldisk0", 1, series=[noise])

    def bounded(connection: sa.Connection, pages: int | None = None) -> None:
        pages = pages or connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    store.writer.submit(bounded).result()  # the bound is one of the connection, of which there may be two
    monkeypatch.setattr(room, "TROUBLE_S", (0.2, 0.4))
    running.heard(run_id, sealing.MOST_BYTES, ended=False)
    assert comes(lambda: "nothing can be sealed now" in caplog.text)
    assert total(store, "fulldisk0") == 1
    store.writer.submit(lambda connection: bounded(connection, 1073741823)).result()
    assert comes(lambda: waiting(store, run_id) == 0)
    assert total(store, "fulldisk0") == 1


def test_a_step_that_another_service_has_taken_is_dropped(store: Store) -> None:
    post(store, "tworuns00", 1)
    ours, theirs = store.worked_out("tworuns00"), store.worked_out("tworuns00")
    assert ours is not None
    assert theirs is not None
    assert store.write(theirs)
    assert not store.write(ours)
    assert total(store, "tworuns00") == 1


def test_a_run_that_was_deleted_meanwhile_is_left_alone(service: Service, training: Training) -> None:
    training.send(confusion=[counted([([0], [1])])])
    store = sealer(service)
    with store._database.read() as connection:
        step = sealing.read(connection, max(sealing.waiting_runs(connection)))
    assert step is not None
    sealing.worked_out(step)
    assert service.ask(f"/runs/{training.run}", "DELETE").status_code == 200
    assert not store._writer.submit(lambda connection: sealing.write(connection, step)).result()
    seal(service)


def test_sealing_ends_in_order_with_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    for seq in range(1, 4):
        post(store, "lastrun00", seq)
    begun = threading.Event()
    worked_out = sealing.worked_out

    def slow(step: sealing.Step) -> sealing.Step:
        begun.set()
        time.sleep(0.2)
        return worked_out(step)

    monkeypatch.setattr(sealing, "worked_out", slow)
    running = Sealer(store.database, store.writer)
    begun.wait(5)
    running.close()  # in the middle of a step: that is finished
    assert not running._thread.is_alive()
    assert not waiting(store, store.run("lastrun00")["id"])
    assert total(store, "lastrun00") == 3
    store.close()


def test_retries_after_sealing_change_nothing(service: Service, training: Training) -> None:
    flushes = [training.flush(confusion=[counted([([0], [1])], step)]) for step in range(1, 6)]
    for one in flushes:
        assert training.post(one).status_code == 200
    seal(service)
    for one in reversed(flushes):
        assert training.post(one).json() == {"acked": 5}
    seal(service)
    assert training.get("/confusion")["counts"][0][1] == 5


@pytest.mark.parametrize(("flushes", "rests"), [(room.FAST, False), (room.FAST + 1, True)])
def test_the_sealer_rests_while_flushes_come_fast(
    sealing_store: tuple[Store, Sealer], monkeypatch: pytest.MonkeyPatch, flushes: int, rests: bool
) -> None:
    store, running = sealing_store
    real = sealing.worked_out
    run_id = post(store, "busyrun0", 1)
    pauses: list[float] = []

    def while_others_come(step: sealing.Step) -> sealing.Step:
        for _ in range(flushes):
            running.heard(run_id + 1, 10, ended=False)
        return real(step)

    monkeypatch.setattr(sealing, "worked_out", while_others_come)
    monkeypatch.setattr(running._closing, "wait", pauses.append)
    running.heard(run_id, 10, ended=True)
    assert comes(lambda: waiting(store, run_id) == 0)
    running.close()  # once it has rested
    assert bool(pauses) == rests
    assert all(pause > 0 for pause in pauses)
