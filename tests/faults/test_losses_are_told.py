"""What a training has lost on its own side is told to the end: to the service, which tells whoever asks for the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from epochscope import Run, flusher, folder, segments, spool, sync, wire
from epochscope.spool import Meta, Spool
from listener import free_port, until
from stage import Service, start_service

pytestmark = pytest.mark.slow  # trainings that run to their end, one after another

INFO = wire.RunInfo("p", "n", 1, environment={"python": "3"})


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    running = start_service(tmp_path / "store")
    yield running
    running.stop()


def left(root: Path, updates: int, ends: bool = True) -> Spool:
    """What a training of so many updates has left behind."""
    kept = Spool(root, Meta("http://127.0.0.1:1", "run00000x", "stream0x", INFO))
    for seq in range(1, updates + 1):
        series = [wire.SeriesColumns.of("loss", "train", "batch", [seq], [0.5])]
        end = wire.End("finished") if ends and seq == updates else None
        first = INFO if seq == 1 else None
        kept.put(wire.encode(wire.Flush(wire.VERSION, "run00000x", "stream0x", seq, 1, first, series, end=end)))
    return kept


def damage(kept: Spool, seq: int) -> None:
    """Flips a bit in the middle of update ``seq``, once its process is gone."""
    kept.let_go()
    (segment,) = kept.folder.glob("*.seg")
    (record,) = (one for one in segments.recover(segment.read_bytes(), SALT).records if one.seq == seq)
    data = bytearray(segment.read_bytes())
    data[(record.start + record.stop) // 2] ^= 1
    segment.write_bytes(data)


SALT = segments.salt_of("stream0x")


def sent(root: Path, service: Service) -> tuple[dict[str, Any], str]:
    """The run as the service tells it after a synchronisation, and the last line of that."""
    said: list[str] = []
    assert sync.synchronise(root, service.url, None, said.append) == 0
    return service.get("/runs/run00000x"), said[-1]


@pytest.mark.parametrize(
    ("seq", "status"),
    [(1, "finished"), (3, "finished"), (4, "finished"), (5, "running")],  # with the last one the end is lost
)
def test_an_update_that_was_damaged_is_counted_in_the_run(
    seq: int, status: str, service: Service, tmp_path: Path
) -> None:
    damage(left(tmp_path / "spool", 5), seq)
    run, line = sent(tmp_path / "spool", service)
    assert run["missing"] == {"lost": 1}
    assert run["status"] == status
    assert run["environment"]["python"] == "3"
    assert line == f"{4} updates sent, 1 update lost to damage"
    points = service.get("/runs/run00000x/series", keys="loss", by="batch")["series"][0]["step"]
    assert points == [step for step in range(1, 6) if step != seq]


def test_what_a_process_knew_to_be_gone_is_told_by_who_sends_the_rest(service: Service, tmp_path: Path) -> None:
    kept = left(tmp_path / "spool", 3)
    kept.meta.missing = {wire.THINNED: "1,200", wire.DROPPED: "7"}
    kept.keep_meta()
    kept.let_go()
    run, line = sent(tmp_path / "spool", service)
    assert run["missing"] == {"thinned": 1200, "dropped": 7}
    assert run["status"] == "finished"
    assert line == (
        "3 updates sent, 1,200 values thinned while the disk was full, 7 values dropped while disk and memory were full"
    )


def test_of_a_run_that_lost_nothing_nothing_is_missing(service: Service, tmp_path: Path) -> None:
    left(tmp_path / "spool", 3).let_go()
    run, line = sent(tmp_path / "spool", service)
    assert (run["missing"], line) == ({}, "3 updates sent")


def test_a_living_training_tells_what_it_thinned_and_its_evaluation_does_not_unsay_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flusher, "GATHER_S", 0.02)
    monkeypatch.setattr(flusher, "_SOONEST_S", 0.01)
    monkeypatch.setattr(spool, "DISK_LIMIT", 40_000)
    monkeypatch.setattr(folder, "SEGMENT_BYTES", 10_000)
    port = free_port()
    run = Run(url=f"http://127.0.0.1:{port}", spool_dir=tmp_path / "spool")
    kept = run._flusher._spool if run._flusher is not None else None
    assert kept is not None

    step = iter(range(1, 10**6))

    def log_more() -> bool:
        for _ in range(50):
            run.log(next(step), loss=0.5)
        return kept.thinned > 0

    until(log_more)
    service = start_service(tmp_path / "store", port)
    try:
        until(lambda: run.finish())
        thinned = kept.thinned
        assert service.get(f"/runs/{run.id}")["missing"] == {"thinned": thinned}
        more = run.again()
        more.log(1, split="test", loss=0.5)
        assert more.finish()
        assert service.get(f"/runs/{run.id}")["missing"] == {"thinned": thinned}
    finally:
        service.stop()


def test_an_update_that_the_service_refuses_is_counted_in_the_run(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flusher, "GATHER_S", 0.05)
    with Run(url=service.url, class_names=["a", "b"], spool_dir=tmp_path / "spool") as run:
        until(lambda: service.ask(f"/runs/{run.id}").status_code == 200)
        poison = wire.ConfusionColumns.of("no such output", "train", [1], [1], [0], [0], [1])
        real: Callable[..., Any] = run.recording.take
        taken: list[Any] = []

        def take() -> Any:
            contents = real()
            if contents is not None and contents.series and not taken:
                taken.append(contents)
                contents.confusion.append(poison)
            return contents

        monkeypatch.setattr(run.recording, "take", take)
        run.log(1, loss=0.5)
        until(lambda: service.get(f"/runs/{run.id}")["missing"])
    assert service.get(f"/runs/{run.id}")["missing"] == {"refused": 1}
