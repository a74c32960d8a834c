"""The spool: what ``put`` returned for is there afterwards, whatever happens to the disk or the process."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from epochscope import files, folder, segments, spool, wire
from epochscope.spool import Meta, Spool, left_behind, unpack
from saved import updates

INFO = wire.RunInfo("p", "n", 1)


def flush(seq: int, points: int = 1, by: wire.By = "batch") -> bytes:
    steps = range(seq * 1000, seq * 1000 + points)
    series = [wire.SeriesColumns.of("loss", "train", by, list(steps), [0.5] * points)]
    return wire.encode(wire.Flush(wire.VERSION, "run00000x", "stream0x", seq, 1, info=INFO, series=series))


def fresh(root: Path) -> Spool:
    return Spool(root, Meta("http://127.0.0.1:1", "run00000x", "stream0x", INFO))


def after_its_process(kept: Spool) -> Spool:
    """What another process finds."""
    kept.let_go()
    found = Spool.of_ended_process(kept.folder)
    assert found is not None
    return found


def sent(kept: Spool) -> list[tuple[str, int, bytes]]:
    """Everything it would send, in order."""
    found = []
    while (oldest := kept.oldest()) is not None:
        found.append((kept.meta.stream, *oldest))
        kept.acknowledged()
    return found


def test_what_was_put_is_found_by_another_process_in_order(tmp_path: Path) -> None:
    kept = fresh(tmp_path)
    bodies = [flush(seq, points=seq) for seq in range(1, 30)]
    assert all(kept.put(body) for body in bodies)
    for seq in range(1, 8):
        assert kept.oldest() == (seq, bodies[seq - 1])
        kept.acknowledged()
    found = after_its_process(kept)
    assert len(found) == 22
    assert sent(found) == [("stream0x", seq, bodies[seq - 1]) for seq in range(8, 30)]
    found.close()
    assert list(tmp_path.iterdir()) == []


def test_a_living_spool_is_left_alone(tmp_path: Path) -> None:
    kept = fresh(tmp_path)
    kept.put(flush(1))
    assert Spool.of_ended_process(kept.folder) is None
    kept.close()


def test_a_segment_goes_only_after_the_ack_that_covers_it_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "SEGMENT_BYTES", 600)
    events: list[str] = []
    unlink, sync = Path.unlink, files.sync

    def unlink_told(path: Path, missing_ok: bool = False) -> None:
        events.append(path.suffix)
        unlink(path, missing_ok)

    def sync_told(handle: int) -> None:
        events.append(f"sync {handle}")
        sync(handle)

    monkeypatch.setattr(Path, "unlink", unlink_told)
    kept = fresh(tmp_path)
    for seq in range(1, 10):
        kept.put(flush(seq))
    assert len(list(kept.folder.glob("*.seg"))) >= 3
    assert kept._folder is not None
    assert kept._folder._ack is not None
    ack = kept._folder._ack
    monkeypatch.setattr(files, "sync", sync_told)
    events.clear()
    while ".seg" not in events:
        assert kept.oldest() is not None
        kept.acknowledged()
    assert events == [f"sync {ack.handle}", ".seg"]
    held = (kept.folder / "ack").read_bytes()
    assert segments.acked_in(held) == 9 - len(kept)
    # An ack that can't be saved keeps the files.
    ack.close()
    there = sorted(kept.folder.glob("*.seg"))
    while kept.oldest() is not None:
        kept.acknowledged()
    assert sorted(kept.folder.glob("*.seg")) == there
    kept.close()


def test_with_the_ack_lost_everything_is_sent_again_under_its_own_number(tmp_path: Path) -> None:
    kept = fresh(tmp_path)
    bodies = [flush(seq) for seq in range(1, 6)]
    for body in bodies:
        kept.put(body)
    for _ in range(3):
        kept.oldest()
        kept.acknowledged()
    (kept.folder / "ack").write_bytes(b"?" * 32)
    found = after_its_process(kept)
    assert sent(found) == [("stream0x", seq, bodies[seq - 1]) for seq in range(1, 6)]
    assert found.lost == 0
    found.close()


def test_a_damaged_update_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    kept = fresh(tmp_path)
    bodies = [flush(seq) for seq in range(1, 6)]
    for body in bodies:
        kept.put(body)
    (segment,) = kept.folder.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(bodies[2]) + 9] ^= 4
    segment.write_bytes(data)
    found = after_its_process(kept)
    assert (len(found), found.lost) == (4, 1)
    assert found.oldest() == (1, bodies[0])
    found.acknowledged()
    found.acknowledged()  # twice is once
    assert found.oldest() == (2, bodies[1])
    found.acknowledged()
    # The service does not know number 3: what is left becomes a new stream, and its first flush says what is missing.
    found.renumber()
    numbered = sent(found)
    assert [seq for _, seq, _ in numbered] == [1, 2]
    assert {stream for stream, _, _ in numbered} == {found.meta.stream} != {"stream0x"}
    assert [unpack(body).series for _, _, body in numbered] == [unpack(body).series for body in bodies[3:]]
    found.close()


def test_a_renumbered_backlog_is_the_same_after_another_death(tmp_path: Path) -> None:
    kept = fresh(tmp_path)
    for seq in range(1, 5):
        series = unpack(flush(seq)).series
        kept.put(wire.encode(wire.Flush(wire.VERSION, "run00000x", "stream0x", seq, 1, series=series)))
    kept.oldest()
    kept.acknowledged()
    kept.renumber()
    kept.keep_meta(wire.RunInfo("p", "renamed", 1))
    first = kept.oldest()
    found = after_its_process(kept)
    assert found.oldest() == first
    assert first is not None
    assert (first[0], unpack(first[1]).info) == (1, INFO)
    found.close()


def test_a_missing_segment_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "SEGMENT_BYTES", 600)
    kept = fresh(tmp_path)
    for seq in range(1, 10):
        kept.put(flush(seq))
    files = sorted(kept.folder.glob("*.seg"))
    gone = len(updates(tmp_path))
    files[1].unlink()
    gone -= len(updates(tmp_path))
    found = after_its_process(kept)
    assert (len(found), found.lost) == (9 - gone, gone)
    found.close()


def test_a_folder_that_is_removed_meanwhile_is_made_again_and_what_lay_in_it_is_counted(tmp_path: Path) -> None:
    kept = fresh(tmp_path / "spool")
    bodies = [flush(seq) for seq in range(1, 8)]
    for body in bodies[:4]:
        kept.put(body)
    kept.oldest()
    kept.acknowledged()
    shutil.rmtree(tmp_path / "spool")
    for body in bodies[4:6]:
        assert kept.put(body)
    assert (kept.in_memory(), kept.trouble) == (0, None)
    assert Spool.of_ended_process(kept.folder) is None  # it is ours again
    (segment,) = kept.folder.glob("*.seg")
    segment.unlink()  # the file alone, as what tidies up folders of temporary files does
    assert kept.put(bodies[6])
    found = after_its_process(kept)
    assert sent(found) == [("stream0x", 7, bodies[6])]
    assert found.lost == 5
    found.close()


def test_a_folder_that_cannot_be_made_again_at_once_is_made_later(tmp_path: Path) -> None:
    kept = fresh(tmp_path / "spool")
    kept.put(flush(1))
    shutil.rmtree(tmp_path / "spool")
    (tmp_path / "spool").write_text("in the way")
    assert kept.put(flush(2))
    assert kept.in_memory() == 1
    (tmp_path / "spool").unlink()
    kept.folder.mkdir(parents=True)  # without a lock in it, or an ack
    kept._try_disk_at = 0.0  # half a minute later
    kept.tend()
    assert (kept.in_memory(), kept.trouble) == (0, None)
    assert Spool.of_ended_process(kept.folder) is None
    kept.let_go()


def test_what_was_removed_is_passed_over_by_the_process_that_lives(tmp_path: Path) -> None:
    kept = fresh(tmp_path / "spool")
    bodies = [flush(seq) for seq in range(1, 6)]
    for body in bodies[:3]:
        kept.put(body)
    assert kept.oldest() == (1, bodies[0])  # on its way
    shutil.rmtree(tmp_path / "spool")
    for body in bodies[3:]:
        kept.put(body)
    assert [seq for _, seq, _ in sent(kept)] == [1, 4, 5]
    assert (kept.lost, len(kept)) == (2, 0)
    kept.close()
    assert list((tmp_path / "spool").iterdir()) == []


def test_without_its_meta_a_stream_is_found_by_the_names_of_its_folders(tmp_path: Path) -> None:
    kept = fresh(tmp_path)
    kept.put(flush(1))
    kept.let_go()
    (kept.folder / "meta.json").unlink()
    (path,) = left_behind(tmp_path)
    found = Spool.of_ended_process(path)
    assert found is not None
    assert (found.meta.url, found.meta.run, found.meta.stream) == ("", "run00000x", "stream0x")
    assert sent(found) == [("stream0x", 1, flush(1))]
    found.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", bytes(32), bytes(7)])
def test_an_ack_file_of_nothing_costs_no_update(tmp_path: Path, content: bytes) -> None:
    kept = fresh(tmp_path)
    for seq in range(1, 4):
        kept.put(flush(seq))
    kept.let_go()
    (kept.folder / "ack").write_bytes(content)
    (kept.folder / "000002.seg").touch()  # begun, and nothing written to it any more
    found = after_its_process(kept)
    assert ([seq for _, seq, _ in sent(found)], found.lost) == ([1, 2, 3], 0)
    found.close()
    assert list(tmp_path.iterdir()) == []


def test_a_short_write_leaves_no_torn_bytes_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fresh(tmp_path)
    kept.put(flush(1))
    real = os.write
    cuts = iter([50, None])

    def short(handle: int, data: bytes) -> int:
        cut = next(cuts, None)
        return real(handle, data if cut is None else data[:cut])

    monkeypatch.setattr(os, "write", short)
    assert kept.put(flush(2))
    monkeypatch.undo()
    assert kept.put(flush(3))
    assert kept.in_memory() == 0
    sizes = [path.stat().st_size for path in sorted(kept.folder.glob("*.seg"))]
    assert sizes == [len(flush(1)) + 24, len(flush(2)) + len(flush(3)) + 48]
    found = after_its_process(kept)
    assert [seq for _, seq, _ in sent(found)] == [1, 2, 3]
    assert found.lost == 0
    found.close()


def test_a_full_disk_is_waited_out_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fresh(tmp_path)
    kept.put(flush(1))

    def full(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        assert kept.put(flush(2))
        assert kept.put(flush(3))
    assert kept.in_memory() == 2
    assert kept.trouble is not None
    kept._try_disk_at = 0.0  # half a minute later
    kept.tend()
    assert kept.in_memory() == 0
    assert len(updates(tmp_path)) == 3
    assert [seq for _, seq, _ in sent(after_its_process(kept))] == [1, 2, 3]


def test_the_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(spool, "MEMORY_LIMIT", 3 * len(flush(1)) + 10)
    kept = fresh(tmp_path / "file")
    assert [kept.put(flush(seq)) for seq in (1, 2, 3, 4)] == [True, True, True, False]
    assert [seq for _, seq, _ in sent(kept)] == [1, 2, 3]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="there are no symbolic links here")
def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    kept = fresh(tmp_path / "spool")
    kept.folder.mkdir(parents=True)
    (tmp_path / "precious").write_text("mine")
    for name in ("000001.seg", "ack", "lock"):
        (kept.folder / name).symlink_to(tmp_path / "precious")
    assert kept.put(flush(1))
    assert kept.in_memory() == 1
    assert (tmp_path / "precious").read_text() == "mine"


def test_at_the_bound_the_oldest_values_by_batch_are_thinned_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "SEGMENT_BYTES", 20_000)
    monkeypatch.setattr(spool, "DISK_LIMIT", 100_000)
    kept = fresh(tmp_path)
    epochs = wire.SeriesColumns.of("loss", "train", "epoch", [1, 2, 3], [0.1, 0.2, 0.3])
    counts = wire.ConfusionColumns.of("output", "train", [1, 2], [1, 1], [0, 0], [0, 1], [5, 6])
    span = wire.Span("train", 1, 1, 9)
    put = 0
    for seq in range(1, 101):
        batch = wire.SeriesColumns.of("loss", "train", "batch", range(seq * 100, seq * 100 + 100), [0.5] * 100)
        whole = wire.Flush(wire.VERSION, "run00000x", "stream0x", seq, 1, None, [batch, epochs], [counts], [span])
        put += kept.put(wire.encode(whole))
        if seq == 3:
            head = kept.oldest()  # may be on its way: it must not change any more
    assert put == 100
    assert sum(path.stat().st_size for path in kept.folder.glob("*.seg")) <= 100_000
    found = after_its_process(kept)
    assert found.oldest() == head
    flushes = [unpack(body) for _, _, body in sent(found)]
    assert len(flushes) == 100
    for one in flushes:
        assert (one.series[-1], one.confusion, one.spans) == (epochs, [counts], [span])
    lengths = [sum(len(s.steps) // 8 for s in one.series if s.by == "batch") for one in flushes]
    assert lengths[-1] == 100
    assert kept.thinned == 100 * 100 - sum(lengths) > 0
    assert sum(lengths[1:50]) < sum(lengths[51:])
    found.close()


def test_the_last_of_the_disk_is_left_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fresh(tmp_path)
    kept.put(flush(1))
    monkeypatch.setattr(spool, "FREE_BYTES", 2**62)
    monkeypatch.setattr(spool, "FREE_SHARE", 1.0)
    assert kept.put(flush(2))
    assert kept.in_memory() == 1
    assert "would be left free on the disk" in str(kept.trouble)


def test_what_was_written_is_synced_once_a_second_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    kept = fresh(tmp_path)
    kept.put(flush(1))
    monkeypatch.setattr(files, "sync", synced.append)
    kept.tend()
    assert synced == []
    kept._synced_at -= spool.SYNC_S
    kept.tend()
    assert len(synced) == 1
    kept.tend(now=True)
    assert len(synced) == 1  # nothing new
    kept.put(flush(2))
    kept.close()
    assert len(synced) == 2


def test_a_sync_that_fails_is_not_asked_again_of_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fresh(tmp_path)
    kept.put(flush(1))

    def broken(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", broken)
        kept.tend(now=True)
    assert kept.trouble is not None
    kept._try_disk_at = 0.0
    kept.put(flush(2))
    assert len(list(kept.folder.glob("*.seg"))) == 2
    kept.close()


def test_a_spool_of_one_file_a_flush_is_still_sent(tmp_path: Path) -> None:
    old = tmp_path / "run00000x" / "stream0x"
    old.mkdir(parents=True)
    (old / "meta.json").write_text('{"url": "http://127.0.0.1:1", "run": "run00000x", "stream": "stream0x"}')
    (old / "lock").touch()
    bodies = {seq: flush(seq) for seq in (57, 58, 59)}
    for seq, body in bodies.items():
        (old / f"{seq:012d}.flush").write_bytes(body)
    (found,) = [Spool.of_ended_process(path) for path in left_behind(tmp_path)]
    assert found is not None
    assert (len(found), found.lost) == (3, 0)
    assert sent(found) == [("stream0x", seq, body) for seq, body in bodies.items()]
    found.close()
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from test_spool import flush, fresh
kept = fresh(Path({root!r}))
seq = 0
while True:
    seq += 1
    assert kept.put(flush(seq, points=seq % 50))
    print(seq, flush=True)
"""


@pytest.fixture
def killed_writer(tmp_path: Path) -> tuple[Path, int]:
    """A folder whose writer was killed, and up to which number it had been told that all is kept."""
    tests = Path(__file__).parent
    script = WRITER.format(path=[str(tests), str(tests.parent)], root=str(tmp_path / "spool"))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(random.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        told = [line for line in writer.stdout if line.endswith("\n")]
    return tmp_path / "spool", int(told[-1]) if told else 1


def test_what_put_returned_for_survives_kill_9(killed_writer: tuple[Path, int]) -> None:
    root, told = killed_writer
    (path,) = left_behind(root)
    found = Spool.of_ended_process(path)
    assert found is not None
    bodies = [body for _, _, body in sent(found)]
    assert len(bodies) in (told, told + 1)
    assert bodies == [flush(seq, points=seq % 50) for seq in range(1, len(bodies) + 1)]
    assert found.lost == 0
    found.close()


LIMITED = """
import resource, sys
sys.path[:0] = {path!r}
from pathlib import Path
from test_spool import after_its_process, flush, fresh, sent
frame = len(flush(1)) + 24
for limit in range(0, 2 * frame + 40):
    kept = fresh(Path({root!r}) / str(limit))
    kept.put(flush(1)); kept.let_go()
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    kept = fresh(Path({root!r}) / f"x{{limit}}")
    assert all(kept.put(flush(seq)) for seq in (1, 2, 3))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    kept._try_disk_at = 0.0
    kept.tend()
    assert kept.in_memory() == 0
    found = after_its_process(kept)
    assert [seq for _, seq, _ in sent(found)] == [1, 2, 3], limit
    assert found.lost == 0
    found.close()
"""


@pytest.mark.slow
def test_a_limit_on_the_size_of_files_tears_nothing(tmp_path: Path) -> None:
    tests = Path(__file__).parent
    script = LIMITED.format(path=[str(tests), str(tests.parent)], root=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")


FULL = """
import errno, os, sys
sys.path[:0] = {path!r}
from pathlib import Path
from epochscope import spool
from test_spool import after_its_process, flush, fresh, sent
spool.FREE_BYTES = -(2**60)  # up to the last byte, until the system refuses
disk, put = Path({disk!r}), 0
fill = disk / "fill"
def take_all():
    with open(fill, "ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1000))
        except OSError as error:
            assert error.errno == errno.ENOSPC
def put_some(kept, number):
    global put
    for _ in range(number):
        put += 1
        assert kept.put(flush(put, points=put % 300))
kept = fresh(disk / "spool")
if {at_start}:
    take_all()
put_some(kept, 20)
if not {at_start}:
    assert kept.trouble is None
    put_some(kept, 100000 // len(flush(1, points=150)))
    take_all()
for _ in range(3):  # full and free again, three times
    put_some(kept, 20)
    assert kept.in_memory() and kept.trouble.errno == errno.ENOSPC, kept.trouble
    for _ in range(3):  # while it is full some of what lies on it is sent
        if kept._on_disk:
            assert kept.oldest()[1] == flush(kept.oldest()[0], points=kept.oldest()[0] % 300)
            kept.acknowledged()
    fill.unlink()
    kept._try_disk_at = 0.0  # half a minute later
    kept.tend(now=True)
    assert (kept.in_memory(), kept.trouble) == (0, None)
    put_some(kept, 20)
    assert kept.in_memory() == 0
    take_all()
fill.unlink()
waiting = len(kept)
found = after_its_process(kept)
assert found.lost == 0
left = sent(found)
assert [seq for _, seq, _ in left] == list(range(put - waiting + 1, put + 1))
assert all(body == flush(seq, points=seq % 300) for _, seq, body in left)
found.close()
"""


@pytest.fixture(scope="module")
def small_disk() -> list[str]:
    """A command that runs another with a disk of 1 MiB, at the folder that it is given first."""
    mounts = ["unshare", "-Urm", "sh", "-c", 'mount -t tmpfs -o size=1m none "$0" && exec "$@"']
    if shutil.which("unshare") is None or subprocess.run([*mounts, "/mnt", "true"], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    return mounts


@pytest.mark.slow
@pytest.mark.parametrize("at_start", [True, False], ids=["full from the start", "full in between"])
def test_a_disk_that_is_full_over_and_over_damages_nothing_and_is_used_again(
    at_start: bool, small_disk: list[str], tmp_path: Path
) -> None:
    tests = Path(__file__).parent
    script = FULL.format(path=[str(tests), str(tests.parent)], disk=str(tmp_path), at_start=at_start)
    done = subprocess.run(
        [*small_disk, str(tmp_path), sys.executable, "-c", script], capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
