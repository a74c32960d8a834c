"""How a run ends that nobody ends: in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from epochscope import wire
from listener import Listener, free_port, lines


def run_script(text: str, url: str, spool_dir: Path) -> subprocess.CompletedProcess[str]:
    script = (
        "import os, signal, sys\n"
        "from epochscope import Run\n"
        f"run = Run('p', 'n', url={url!r}, spool_dir={str(spool_dir)!r})\n"
        "run.log(1, loss=0.5)\n" + text
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("text", "end", "code"),
    [
        ("raise OSError('gone')", wire.End("failed", "OSError: gone"), 1),
        ("os.kill(os.getpid(), signal.SIGINT)", wire.End("interrupted", "KeyboardInterrupt"), -signal.SIGINT),
        ("pass", wire.End("interrupted", "the process ended before the run did"), 0),
        ("if os.fork() == 0: sys.exit()\nos.wait(); run.finish()", wire.End("finished"), 0),
    ],
    ids=["exception", "ctrl-c", "forgotten", "a forked child ends"],
)
def test_a_run_ends_with_its_process(text: str, end: wire.End, code: int, listener: Listener, spool_dir: Path) -> None:
    done = run_script(text, listener.url, spool_dir)
    assert done.returncode == code, done.stderr
    assert listener.series("loss") == ([1], [0.5])
    assert listener.ends() == [end]
    assert lines(done.stderr) == []
    assert ("Traceback" in done.stderr) == (code != 0)
    assert list(spool_dir.iterdir()) == []


def test_what_could_not_be_sent_is_told_at_the_end_and_sent_by_the_command(spool_dir: Path) -> None:
    port = free_port()
    done = run_script("run.finish()", f"http://127.0.0.1:{port}", spool_dir)
    away, left = lines(done.stderr)
    assert away.startswith("no service at")
    assert left.endswith("`epochscope sync` sends them")
    listener = Listener(port)
    try:
        sync = [sys.executable, "-m", "epochscope", "sync", "--spool-dir", str(spool_dir)]
        sent = subprocess.run(sync, capture_output=True, text=True, timeout=60)
        assert (sent.returncode, sent.stderr) == (0, "")
        assert lines(sent.stdout)[-1].endswith("updates sent")
        assert listener.series("loss") == ([1], [0.5])
        assert listener.ends() == [wire.End("finished")]
    finally:
        listener.stop()


def test_what_a_killed_process_had_recorded_is_not_lost(listener: Listener, spool_dir: Path) -> None:
    # A first flush may hold the run's description alone.
    spooled = "any(b'loss' in path.read_bytes() for path in pathlib.Path(run._root).rglob('*.seg'))"
    text = f"import pathlib, time\nwhile not {spooled}: time.sleep(0.01)\n"
    done = run_script(text + "os.kill(os.getpid(), signal.SIGKILL)", f"http://127.0.0.1:{free_port()}", spool_dir)
    assert done.returncode == -signal.SIGKILL
    sync = [sys.executable, "-m", "epochscope", "sync", "--spool-dir", str(spool_dir), "--url", listener.url]
    assert subprocess.run(sync, capture_output=True, timeout=60).returncode == 0
    assert listener.series("loss") == ([1], [0.5])
    assert listener.ends() == []
