"""The command sync: how far it is, what it says at its end, and which folders it takes."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from epochscope import files, sync, wire
from epochscope.__main__ import main
from epochscope.progress import Progress
from epochscope.spool import Meta, Spool
from listener import Answer, Listener, free_port, lines, until

Console = pytest.CaptureFixture[str]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def left(root: Path, updates: int, url: str = "http://127.0.0.1:1", run: str = "run00000x") -> Path:
    """The folder of one stream, as another machine has left it."""
    info = wire.RunInfo("p", "early tern", 1)
    kept = Spool(root, Meta(url, run, "stream0x", info))
    for seq in range(1, updates + 1):
        series = [wire.SeriesColumns.of("loss", "train", "batch", [seq], [0.5])]
        kept.put(wire.encode(wire.Flush(wire.VERSION, run, "stream0x", seq, 1, info, series)))
    kept.let_go()
    return kept.folder


def test_on_a_terminal_a_bar_tells_how_far_how_fast_and_how_long() -> None:
    terminal, clock = Terminal(), Clock()
    progress = Progress(terminal, clock, columns=120)
    progress.begin("run early tern", 5000)
    for _ in range(2499):
        clock.now += 0.003
        progress.add(1000)
    drawn = terminal.getvalue().count("\r")
    assert 60 <= drawn <= 66  # nothing in the first second, then ten a second
    clock.now = 10.0
    progress.add(1000)
    assert terminal.getvalue().split("\r")[-1] == (
        "run early tern [############............] 2,500 of 5,000 updates, 2.5 MB, 250 updates/s, 10 s left\x1b[K"
    )
    progress.end()
    assert terminal.getvalue().endswith("\r\x1b[K")
    small = Terminal()
    narrow = Progress(small, clock, columns=40)
    narrow.begin("run early tern", 10)
    clock.now += 2
    narrow.add(1)
    assert len(small.getvalue().strip("\r").removesuffix("\x1b[K")) < 40


def test_elsewhere_a_line_comes_now_and_then_and_none_for_what_is_quick() -> None:
    file, clock = io.StringIO(), Clock()
    progress = Progress(file, clock)
    progress.begin("run a", 3)
    for _ in range(3):
        clock.now += 0.2
        progress.add(10)
    assert file.getvalue() == ""
    progress.begin("run b", 100_000)
    for number in range(1, 1501):
        clock.now += 5.0 * (number % 500 == 0)
        progress.add(500_000)
    assert file.getvalue().splitlines() == [
        "epochscope: run b: 500 of 100,000 updates, 250.0 MB, 100 updates/s, 17 min left",
        "epochscope: run b: 1,000 of 100,000 updates, 500.0 MB, 100 updates/s, 16 min left",
        "epochscope: run b: 1,500 of 100,000 updates, 750.0 MB, 100 updates/s, 16 min left",
    ]


@pytest.mark.parametrize("depth", ["spool", "run", "stream"])
def test_a_folder_copied_from_another_machine_is_sent_whole_or_by_run(
    depth: str, listener: Listener, tmp_path: Path, capsys: Console
) -> None:
    left(tmp_path / "there", 3, "http://elsewhere.invalid:1")
    shutil.copytree(tmp_path / "there", tmp_path / "here")
    (lock,) = (tmp_path / "here").rglob("lock")
    lock.unlink()  # some ways of copying leave out empty files
    named = {"spool": Path(), "run": Path("run00000x"), "stream": Path("run00000x/stream0x")}[depth]
    assert main(["sync", "--spool-dir", str(tmp_path / "here" / named), "--url", listener.url]) == 0
    assert listener.series("loss")[0] == [1, 2, 3]
    said = capsys.readouterr()
    assert lines("epochscope: .\n" + said.out)[-1] == "3 updates sent"
    assert f"run early tern: 3 of 3 updates sent to {listener.url}" in said.out
    assert said.err == ""
    assert not list((tmp_path / "here").rglob("*.seg"))


def test_two_at_once_send_everything_once(listener: Listener, tmp_path: Path) -> None:
    listener.judge = lambda flush: Answer(200, {"acked": flush.seq}, after_s=0.01, stored=True)
    for number in range(6):
        left(tmp_path, 5, listener.url, f"run0000{number}")
    said: tuple[list[str], list[str]] = ([], [])
    with ThreadPoolExecutor(2) as two:
        assert list(two.map(lambda one: sync.synchronise(tmp_path, None, None, one.append), said)) == [0, 0]
    assert len(listener.posts) == len(listener.flushes) == 30
    assert list(tmp_path.iterdir()) == []
    told = [re.match(r"(\d+) updates? sent$", one[-1]) for one in said if "nothing to send" not in one[-1]]
    assert sum(int(one[1]) for one in told if one is not None) == 30


@pytest.mark.parametrize("when", ["found", "locked"])
def test_a_folder_that_another_sync_removes_meanwhile_is_passed_over(
    when: str, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = left(tmp_path, 3, listener.url)
    left(tmp_path, 2, listener.url, "run00000y")
    glob, locked = Path.glob, files.locked

    def glob_late(path: Path, pattern: str) -> list[Path]:
        found = list(glob(path, pattern))
        if when == "found" and found:
            shutil.rmtree(other.parent, ignore_errors=True)
        return found

    def lock_late(path: Path, create: bool) -> int | None:
        handle = locked(path, create)
        if path.parent == other:
            shutil.rmtree(other.parent)
        return handle

    monkeypatch.setattr(Path, "glob", glob_late)
    if when == "locked":
        monkeypatch.setattr(files, "locked", lock_late)
    said: list[str] = []
    assert sync.synchronise(tmp_path, None, None, said.append) == 0
    assert said[-1] == "2 updates sent"


@pytest.mark.slow
def test_ctrl_c_ends_it_without_a_word_and_the_next_one_sends_the_rest(listener: Listener, tmp_path: Path) -> None:
    listener.judge = lambda flush: Answer(200, {"acked": flush.seq}, after_s=0.05, stored=True)
    left(tmp_path, 100, listener.url)
    command = [sys.executable, "-m", "epochscope", "sync", "--spool-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as first:
        until(lambda: len(listener.flushes) > 3, 30)
        first.send_signal(signal.SIGINT)
        said, _ = first.communicate(timeout=30)
    assert (first.returncode, said) == (130, "")
    assert len(listener.flushes) < 100
    assert sync.synchronise(tmp_path, None, None, lambda text: None) == 0
    assert listener.series("loss")[0] == list(range(1, 101))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_answered(tmp_path: Path, capsys: Console) -> None:
    assert main(["sync", "--spool-dir", str(tmp_path / "spol")]) == 2
    assert capsys.readouterr().err == f"epochscope: there is no folder {tmp_path / 'spol'}\n"


def test_with_its_meta_damaged_a_stream_is_sent_where_it_is_told_to(listener: Listener, tmp_path: Path) -> None:
    (left(tmp_path, 3) / "meta.json").write_bytes(b'{"url":"\x80')
    left(tmp_path, 2, listener.url, "run00000y")
    said: list[str] = []
    assert sync.synchronise(tmp_path, None, None, said.append) == 3
    assert f"where to send {tmp_path / 'run00000x' / 'stream0x'} is not known" in said[0]
    assert said[-1] == f"2 updates sent, 3 left in {tmp_path}"
    assert sync.synchronise(tmp_path, listener.url, None, said.append) == 0
    assert listener.series("loss", run="run00000x")[0] == [1, 2, 3]


def test_what_is_refused_is_counted_in_the_last_line(listener: Listener, tmp_path: Path) -> None:
    left(tmp_path, 4)
    listener.judge = lambda flush: Answer(422, {"message": "no"}) if flush.seq == 2 and flush.series else None
    said: list[str] = []
    assert sync.synchronise(tmp_path, listener.url, None, said.append) == 0
    assert said[-1] == "4 updates sent, 1 update refused by the service"
    assert listener.info().environment[wire.REFUSED] == "1"
    assert listener.series("loss")[0] == [1, 3, 4]


def test_what_could_not_be_sent_is_counted_and_named(listener: Listener, tmp_path: Path) -> None:
    left(tmp_path, 3, listener.url)
    left(tmp_path, 5, f"http://127.0.0.1:{free_port()}", "run00000y")
    said: list[str] = []
    assert sync.synchronise(tmp_path, None, None, said.append) == 5
    assert said[-1] == f"3 updates sent, 5 left in {tmp_path}"


def test_a_folder_that_can_not_be_written_says_to_copy_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left(tmp_path, 1)

    def read_only(path: Path, flags: int) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(files, "opened", read_only)
    said: list[str] = []
    assert sync.synchronise(tmp_path, None, None, said.append) == 1
    assert re.search("can't be read: .*Read-only file system.*so copy the folder to where you may write", said[0]), said
