"""Delivery: every flush arrives once, whatever the service answers, and the person is told in one line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from epochscope import Run, flusher, sender, spool, sync, wire
from listener import Answer, Listener, free_port, lines, until
from saved import updates

Console = pytest.CaptureFixture[str]


def losses(run: Run, first: int, last: int) -> None:
    for step in range(first, last + 1):
        run.log(step, loss=float(step))


def all_of(last: int) -> tuple[list[int], list[float]]:
    return list(range(1, last + 1)), [float(step) for step in range(1, last + 1)]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher, "GATHER_S", 0.05)
    monkeypatch.setattr(flusher, "_SOONEST_S", 0.02)
    monkeypatch.setattr(sender, "_SLOW_RETRY_S", 0.1)


def test_without_a_service_the_training_goes_on_and_one_line_says_so(spool_dir: Path, capsys: Console) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    began = time.monotonic()
    with Run(url=url) as run:
        losses(run, 1, 10)
        time.sleep(0.3)
        losses(run, 11, 20)
    assert time.monotonic() - began < flusher.END_WAIT_S  # nothing was waited for
    (line,) = lines(capsys.readouterr().err)
    assert line == (
        f"no service at {url}; training goes on, updates are saved in {spool_dir} "
        "and sent when it is back (or by `epochscope sync`)"
    )
    assert updates(spool_dir)


def test_what_was_saved_arrives_once_when_the_service_comes(spool_dir: Path, capsys: Console) -> None:
    port = free_port()
    run = Run(url=f"http://127.0.0.1:{port}")
    losses(run, 1, 50)
    until(lambda: len(updates(spool_dir)) >= 1)
    losses(run, 51, 80)
    until(lambda: len(updates(spool_dir)) >= 2)
    listener = Listener(port)
    try:
        losses(run, 81, 100)
        assert run.finish()
        assert listener.series("loss") == all_of(100)
        assert listener.ends() == [wire.End("finished")]
        assert list(spool_dir.iterdir()) == []
        assert [line.split(" ")[0] for line in lines(capsys.readouterr().err)] == ["no", "connected"]
    finally:
        listener.stop()


def test_a_lost_acknowledgement_stores_nothing_twice(listener: Listener) -> None:
    lost = iter(range(3))
    listener.judge = lambda flush: Answer(0, stored=True) if next(lost, None) is not None else None
    with Run(url=listener.url) as run:
        losses(run, 1, 30)
    assert listener.series("loss") == all_of(30)
    assert len(listener.posts) > len(listener.flushes)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500),
        Answer(503, headers={"Retry-After": "0"}),
        Answer(429, headers={"Retry-After": "0"}),
        Answer(302, headers={"Location": "http://127.0.0.1:1/elsewhere"}),
        Answer(200, text=b"<html>log in first</html>"),
        Answer(200, {"acked": 0}),
        Answer(401, {"code": "unauthorized", "message": "no token"}),
        Answer(404, {"code": "not_found", "message": "nothing here"}),
    ],
    ids=lambda answer: f"{answer.status}{'' if answer.text is None else '-page'}",
)
def test_after_a_refusal_for_now_everything_arrives(listener: Listener, answer: Answer) -> None:
    refusals = iter(range(2))
    listener.judge = lambda flush: answer if next(refusals, None) is not None else None
    run = Run(url=listener.url)
    losses(run, 1, 30)
    run.finish()
    until(lambda: run.finish())
    assert listener.series("loss") == all_of(30)


def test_a_refused_token_is_told_once_with_what_to_do(listener: Listener, capsys: Console) -> None:
    listener.judge = lambda flush: Answer(401, {"message": "this token is not known"})
    run = Run(url=listener.url)
    losses(run, 1, 5)
    until(lambda: len(listener.posts) >= 3)
    listener.judge = lambda flush: None
    until(lambda: run.finish())
    refused, back = lines(capsys.readouterr().err)
    assert "this token is not known (HTTP 401); set $EPOCHSCOPE_TOKEN" in refused
    assert back.startswith("connected to")


def test_a_flush_that_is_never_taken_is_set_aside_and_leaves_no_hole(
    listener: Listener, spool_dir: Path, capsys: Console
) -> None:
    def judge(flush: wire.Flush) -> Answer | None:
        poison = any(13 in series.arrays()[0] for series in flush.series)
        return Answer(422, {"message": "step 13 is unlucky"}) if poison else None

    listener.judge = judge
    run = Run(url=listener.url)
    losses(run, 1, 12)
    until(lambda: listener.flushes and len(listener.series("loss")[0]) == 12)
    losses(run, 13, 13)
    until(lambda: list(spool_dir.rglob("rejected/*.flush")))
    losses(run, 14, 30)
    assert run.finish()
    steps, _ = listener.series("loss")
    assert steps == [step for step in range(1, 31) if step != 13]
    assert [flush.seq for flush in listener.flushes] == list(range(1, len(listener.flushes) + 1))
    (kept,) = spool_dir.rglob("rejected/*.flush")
    assert wire.decode(kept.read_bytes()).series[0].arrays()[0].tolist() == [13]
    assert "unlucky" in kept.with_suffix(".txt").read_text()
    (line,) = lines(capsys.readouterr().err)
    assert "the service refused an update: step 13 is unlucky (HTTP 422)" in line
    assert f"; it lies in {kept.parent} (1 so far); everything else goes on" in line


def test_what_is_refused_and_can_not_be_saved_is_said_to_be_lost(
    listener: Listener, spool_dir: Path, capsys: Console
) -> None:
    listener.judge = lambda flush: Answer(422, {"message": "no"}) if flush.series else None
    run = Run(url=listener.url)
    until(lambda: listener.flushes)
    (spool_dir / run.id).rename(spool_dir.parent / "away")
    (spool_dir / run.id).write_text("in the way")  # where the folder was
    losses(run, 1, 1)
    until(lambda: listener.info().environment.get(wire.REFUSED) == "1")
    told = [line for line in lines(capsys.readouterr().err) if "refused an update" in line]
    assert len(told) == 1
    assert "it could not be saved in" in told[0]
    assert "and is lost (1 so far); everything else goes on" in told[0]


def test_what_no_flush_can_please_is_kept_not_thrown_away(listener: Listener, spool_dir: Path) -> None:
    listener.judge = lambda flush: Answer(422, {"message": "version: is 1; this service reads 2"})
    run = Run(url=listener.url)
    losses(run, 1, 5)
    until(lambda: len(listener.posts) >= 6)
    assert not list(spool_dir.rglob("rejected"))
    listener.judge = lambda flush: None
    until(lambda: run.finish())
    assert listener.series("loss") == all_of(5)


def test_a_conflict_goes_on_as_a_new_stream(listener: Listener, capsys: Console) -> None:
    first: set[str] = set()

    def judge(flush: wire.Flush) -> Answer | None:
        first.add(flush.stream)
        conflict = len(first) == 1 and flush.seq > 1
        return Answer(409, {"code": "conflict", "message": "other content"}) if conflict else None

    listener.judge = judge
    run = Run(url=listener.url)
    until(lambda: listener.flushes)
    losses(run, 1, 30)
    until(lambda: run.finish())
    assert listener.series("loss") == all_of(30)
    streams = list(dict.fromkeys(flush.stream for flush in listener.flushes))
    assert len(streams) == 2
    assert next(flush.seq for flush in listener.flushes if flush.stream == streams[1]) == 1
    assert "going on as a new stream" in lines(capsys.readouterr().err)[0]


def test_a_service_that_has_lost_its_data_is_told_again_what_the_run_is(spool_dir: Path) -> None:
    before = Listener()
    run = Run("p", "kept", url=before.url)
    losses(run, 1, 10)
    until(lambda: before.flushes and len(before.series("loss")[0]) == 10)
    before.stop()
    port = int(before.url.rsplit(":", 1)[1])
    losses(run, 11, 20)
    after = Listener(port)
    try:
        until(lambda: run.finish())
        assert after.series("loss")[0] == list(range(11, 21))
        assert after.info().name == "kept"
    finally:
        after.stop()


def test_a_deleted_run_is_left_alone(listener: Listener, spool_dir: Path, capsys: Console) -> None:
    run = Run(url=listener.url)
    until(lambda: listener.flushes)
    listener.judge = lambda flush: Answer(410, {"message": "deleted"})
    losses(run, 1, 5)
    until(lambda: len(listener.posts) >= 2)
    assert run.finish()
    posted = len(listener.posts)
    losses(run, 6, 9)
    time.sleep(0.2)
    assert len(listener.posts) == posted
    assert "deleted" in lines(capsys.readouterr().err)[0]


def test_a_kept_connection_that_the_service_has_closed_is_no_outage(listener: Listener, capsys: Console) -> None:
    run = Run(url=listener.url)
    until(lambda: listener.flushes)
    listener.hang_up()
    losses(run, 1, 9)
    assert run.finish()
    assert listener.series("loss") == all_of(9)
    assert lines(capsys.readouterr().err) == []


@pytest.mark.slow
def test_a_slow_service_holds_up_neither_log_nor_the_end(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epochscope.run.END_WAIT_S", 0.3)
    listener.judge = lambda flush: Answer(503, after_s=4)
    began = time.monotonic()
    run = Run(url=listener.url)
    losses(run, 1, 1000)
    assert not run.finish()
    assert time.monotonic() - began < 4  # nothing has waited for an answer
    listener.judge = lambda flush: None
    until(lambda: run.finish())
    assert listener.series("loss") == all_of(1000)


def test_a_quiet_run_shows_that_it_lives(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher, "HEARTBEAT_S", 0.1)
    run = Run(url=listener.url)
    until(lambda: len(listener.flushes) >= 4)
    run.finish()
    assert all(flush.next_in_s == 0.1 for flush in listener.flushes)
    assert listener.flushes[2].series == []


def test_much_does_not_wait_for_the_clock(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher, "GATHER_S", 60.0)
    monkeypatch.setattr("epochscope.run.git_state", dict)  # it comes when it comes
    run = Run(url=listener.url)
    until(lambda: listener.flushes)
    losses(run, 1, 500)
    time.sleep(0.2)
    assert len(listener.flushes) == 1
    losses(run, 501, 2000)
    until(lambda: len(listener.flushes) >= 2)
    run.finish()


def test_where_somebody_looks_updates_come_sooner(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher, "GATHER_S", 60.0)
    monkeypatch.setattr("epochscope.run.git_state", dict)  # it comes when it comes
    listener.judge = lambda flush: Answer(200, {"acked": flush.seq}, dict([wire.WATCHED]), stored=True)
    run = Run(url=listener.url)
    until(lambda: listener.flushes)
    losses(run, 1, 1)
    until(lambda: len(listener.flushes) == 2)
    losses(run, 2, 2)
    until(lambda: len(listener.flushes) == 3)
    listener.judge = lambda flush: None  # the page is closed
    losses(run, 3, 3)
    until(lambda: len(listener.flushes) == 4)
    time.sleep(0.2)  # it is not told at once
    losses(run, 4, 4)
    time.sleep(0.2)
    assert len(listener.flushes) == 4
    assert run.finish()


def test_a_large_backlog_is_cut_into_small_flushes(listener: Listener) -> None:
    with Run(url=listener.url) as run:
        for key in range(20):
            run.recording.values(f"k{key}", "train", "batch", range(1, 10_001), [0.5] * 10_000)
    assert len(listener.flushes) > 5
    assert max(len(wire.encode(flush)) for flush in listener.flushes) < 1024**2
    assert all(len(listener.series(f"k{key}")[0]) == 10_000 for key in range(20))


def test_what_an_ended_process_has_left_is_synchronised_once(
    listener: Listener, spool_dir: Path, capsys: Console
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    kept = spool.Spool(spool_dir, spool.Meta(nowhere, "run00000x", "stream0x"))
    for seq in range(1, 4):
        info = wire.RunInfo("p", "n", 1) if seq == 1 else None
        series = [wire.SeriesColumns.of("loss", "train", "batch", [seq], [float(seq)])]
        kept.put(wire.encode(wire.Flush(wire.VERSION, "run00000x", "stream0x", seq, 1, info=info, series=series)))
    said: list[str] = []
    assert sync.synchronise(spool_dir, listener.url, None, said.append) == 0  # its process (we) still lives
    assert "still run" in said[0]
    kept.let_go()  # as the end of its process does
    assert sync.synchronise(spool_dir, None, None, said.append) == 3
    assert any(f"no service at {nowhere}; updates stay in {spool_dir}" in line for line in said)
    assert sync.synchronise(spool_dir, listener.url, None, said.append) == 0
    assert listener.series("loss") == all_of(3)
    assert said[-1] == "3 updates sent"
    assert list(spool_dir.iterdir()) == []
    assert sync.synchronise(spool_dir, listener.url, None, said.append) == 0
    assert said[-1] == f"nothing to send in {spool_dir}"


def test_a_folder_that_cannot_be_written_is_told_once_and_nothing_is_lost(
    listener: Listener, tmp_path: Path, capsys: Console
) -> None:
    (tmp_path / "file").write_text("in the way")
    with Run(url=listener.url, spool_dir=tmp_path / "file") as run:
        losses(run, 1, 30)
        time.sleep(0.2)
        losses(run, 31, 60)
    assert listener.series("loss") == all_of(60)
    (line,) = lines(capsys.readouterr().err)
    assert line.startswith(f"cannot save updates in {tmp_path / 'file'} (")
    assert line.endswith("keeping the last 16 MiB in memory")


def test_past_the_bound_numbers_are_dropped_and_counted_but_not_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Console
) -> None:
    monkeypatch.setattr(spool, "MEMORY_LIMIT", 4_000)
    (tmp_path / "file").write_text("in the way")
    port = free_port()
    run = Run("p", url=f"http://127.0.0.1:{port}", spool_dir=tmp_path / "file")
    losses(run, 1, 10)
    time.sleep(0.2)
    losses(run, 11, 1000)
    run.span("train", 1, 1, 1001)
    time.sleep(0.2)
    monkeypatch.setattr(spool, "MEMORY_LIMIT", 16 * 1024**2)
    listener = Listener(port)
    try:
        losses(run, 1001, 1010)
        until(lambda: run.finish())
        steps, _ = listener.series("loss")
        assert steps == [*range(1, 11), *range(1001, 1011)]
        assert listener.spans("train") == [(1, 1, 1001)]
        assert any("memory for unsent updates is full" in line for line in lines(capsys.readouterr().err))
    finally:
        listener.stop()


def test_the_spool_is_the_owners_alone(spool_dir: Path) -> None:
    run = Run(url=f"http://127.0.0.1:{free_port()}")
    until(lambda: updates(spool_dir))
    (segment,) = spool_dir.rglob("*.seg")
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in segment.parent.iterdir())
    assert segment.parent.stat().st_mode & 0o777 == segment.parent.parent.stat().st_mode & 0o777 == 0o700
    run.finish()
