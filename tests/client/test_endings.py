"""How a run ends that nobody ends: in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from epochscope import sync, wire
from listener import Listener, free_port, lines
from saved import updates


def begun(url: str, spool_dir: Path) -> str:
    """The first lines of a script that trains."""
    return (
        "import os, signal, sys, time\n"
        "from epochscope import Run\n"
        f"run = Run('p', 'n', url={url!r}, spool_dir={str(spool_dir)!r})\n"
        "run.log(1, loss=0.5)\n"
    )


def run_script(text: str, url: str, spool_dir: Path) -> subprocess.CompletedProcess[str]:
    script = begun(url, spool_dir) + text
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)


TERMINATED = "os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)"


@pytest.mark.parametrize(
    ("text", "end", "code"),
    [
        ("raise OSError('gone')", wire.End("failed", "OSError: gone"), 1),
        ("os.kill(os.getpid(), signal.SIGINT)", wire.End("interrupted", "KeyboardInterrupt"), -signal.SIGINT),
        ("pass", wire.End("interrupted", "the process ended before the run did"), 0),
        ("if os.fork() == 0: sys.exit()\nos.wait(); run.finish()", wire.End("finished"), 0),
        (TERMINATED, wire.End("terminated", "SIGTERM"), -signal.SIGTERM),
        (f"with run._flusher._settled._cond: {TERMINATED}", None, -signal.SIGTERM),
        (f"run.finish('failed')\n{TERMINATED}", wire.End("failed"), -signal.SIGTERM),
        ("sys.exit(3)", wire.End("interrupted", "the process ended before the run did"), 3),
    ],
    ids=[
        "exception",
        "ctrl-c",
        "forgotten",
        "a forked child ends",
        "SIGTERM",
        "SIGTERM while a lock is held",
        "SIGTERM after the end",
        "sys.exit",
    ],
)
def test_a_run_ends_with_its_process(
    text: str, end: wire.End | None, code: int, listener: Listener, spool_dir: Path
) -> None:
    done = run_script(text, listener.url, spool_dir)
    assert done.returncode == code, done.stderr
    assert lines(done.stderr) == []
    assert ("Traceback" in done.stderr) == (code in (1, -signal.SIGINT))
    if end is None:  # what could not be told lies in the spool
        sync.synchronise(spool_dir, listener.url, None, lambda text: None)
    assert listener.series("loss") == ([1], [0.5])
    assert listener.ends() in ([end], [wire.End("terminated", "SIGTERM")] if end is None else [])
    assert list(spool_dir.iterdir()) == []


MANY_TERMINATED = """
import json, os, random, signal, time
from epochscope import Run
random.seed(1)
for _ in range({times}):
    told, tell = os.pipe()
    if (child := os.fork()) == 0:
        run = Run("p", "n", num_classes=2, url={url!r}, spool_dir={spool_dir!r})
        os.write(tell, (run.id + "\\n").encode())
        step = 0
        while True:
            step += 1
            run.log(step, loss=float(step))
            run.confusion(step, [0], [1])
            os.write(tell, b"%d\\n" % step)
            time.sleep(0.0005)
    os.close(tell)
    with os.fdopen(told) as said:
        name = said.readline().strip()
        time.sleep(random.uniform(0, 0.2))
        began = time.monotonic()
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
        took = time.monotonic() - began
        steps = [int(line) for line in said if line.endswith("\\n")]
    print(json.dumps([name, os.waitstatus_to_exitcode(status), took, steps[-1] if steps else 0]), flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_sigterm_at_any_instant_ends_the_process_in_time_and_loses_nothing(listener: Listener, spool_dir: Path) -> None:
    script = MANY_TERMINATED.format(times=50, url=listener.url, spool_dir=str(spool_dir))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 50
    assert {code for _, code, _, _ in found} == {-signal.SIGTERM}
    assert max(took for _, _, took, _ in found) < 4  # two seconds at most, and a busy machine
    sync.synchronise(spool_dir, listener.url, None, lambda text: None)
    for run, _, _, last in found:
        steps, values = listener.series("loss", run=run)
        assert steps[:last] == list(range(1, last + 1))
        assert len(steps) in (last, last + 1)  # one may be recorded and not told to us
        assert values == [float(step) for step in steps]
        assert sorted(listener.matrices(run=run))[:last] == steps[:last]
        assert [end.status for end in listener.ends(run)] == ["terminated"]
    assert list(spool_dir.iterdir()) == []


OWN_HANDLER = """
seen = []
signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
more = run.again()
os.kill(os.getpid(), signal.SIGTERM)
assert seen == [signal.SIGTERM], seen
assert not more.over
more.finish()
run.finish()
assert callable(signal.getsignal(signal.SIGTERM))
signal.signal(signal.SIGTERM, signal.SIG_DFL)
last = run.again()
assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
child = os.fork()
if child == 0:
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    os._exit(0)
assert os.wait()[1] == 0
last.finish()
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
"""


def test_sigterm_is_listened_to_only_where_nobody_else_does_and_while_a_run_is_open(
    listener: Listener, spool_dir: Path
) -> None:
    done = run_script(OWN_HANDLER, listener.url, spool_dir)
    assert done.returncode == 0, done.stderr
    assert {end.status for end in listener.ends()} == {"finished"}


WAYS_OUT = {
    "an exception": "def f():\n    raise OSError(1)\ntry:\n    f()\nexcept OSError as e:\n    raise KeyError(1) from e",
    "sys.exit with a word": "sys.exit('that was it')",
    "sys.exit in a finally": "try:\n    1 / 0\nfinally:\n    sys.exit(5)",
    "ctrl-c": "os.kill(os.getpid(), signal.SIGINT); time.sleep(30)",
    "a group": "raise ExceptionGroup('several', [ValueError(1), TypeError(2)])",
}


@pytest.mark.slow
@pytest.mark.parametrize("text", WAYS_OUT.values(), ids=WAYS_OUT)
def test_what_a_program_says_and_returns_at_its_end_is_what_it_would_be_without_a_run(
    text: str, listener: Listener, spool_dir: Path, tmp_path: Path
) -> None:
    said = []
    beginnings = (begun(listener.url, spool_dir), "import os, signal, sys, time\n" + "\n" * 3)
    for beginning in beginnings:
        (tmp_path / "train.py").write_text(beginning + text)
        done = subprocess.run([sys.executable, tmp_path / "train.py"], capture_output=True, text=True, timeout=60)
        kept = [line for line in done.stderr.splitlines() if not line.startswith("epochscope: ")]
        said.append((done.returncode, done.stdout, kept))
    assert said[0] == said[1]
    assert said[0][0] != 0


@pytest.mark.slow
@pytest.mark.parametrize(("text", "least", "most"), [("", 2.0, 7.0), (TERMINATED, 0.5, 4.0)], ids=["exit", "SIGTERM"])
def test_a_service_that_takes_connections_and_never_answers_holds_the_end_up_for_seconds_only(
    text: str, least: float, most: float, spool_dir: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        done = run_script(text, f"http://127.0.0.1:{silent.getsockname()[1]}", spool_dir)
        took = time.monotonic() - began
    assert least < took < most
    assert done.returncode == (-signal.SIGTERM if text else 0)
    assert updates(spool_dir)
    if not text:
        (left,) = lines(done.stderr)
        assert left.endswith("`epochscope sync` sends them")


PROMPT = """
from epochscope import Run, endings
import os, signal, time
mine = Run("p", "mine", url={url!r}, spool_dir={spool_dir!r})
fitted = Run("p", "fitted", url={url!r}, spool_dir={spool_dir!r}); endings.bind(fitted); {error}
print("the prompt is back")
mine.log(1, loss=0.5)
mine.finish()
"""
CTRL_C = "os.kill(os.getpid(), signal.SIGINT); time.sleep(5)"


def ipython(cells: str) -> list[str]:
    """The command that runs each line as a cell of a kernel."""
    runs = "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance()"
    return [sys.executable, "-c", f"{runs}\nfor cell in {cells.splitlines()!r}: s.run_cell(cell)"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "end"),
    [
        ("1 / 0", wire.End("failed", "ZeroDivisionError: division by zero")),
        (CTRL_C, wire.End("interrupted", "KeyboardInterrupt")),
    ],
    ids=["exception", "ctrl-c"],
)
@pytest.mark.parametrize("shell", ["python", "ipython"])
def test_at_a_prompt_an_error_ends_what_was_called_and_nothing_else(
    shell: str, error: str, end: wire.End, listener: Listener, spool_dir: Path, tmp_path: Path
) -> None:
    text = PROMPT.format(url=listener.url, spool_dir=str(spool_dir), error=error)
    if shell == "ipython":
        pytest.importorskip("IPython")
    command = [sys.executable, "-i"] if shell == "python" else ipython(text)
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=60, env=os.environ | {"IPYTHONDIR": str(tmp_path)}
    )
    assert "the prompt is back" in done.stdout, done.stderr
    ends = {listener.info(run).name: listener.ends(run) for run in listener.runs}
    assert ends == {"mine": [wire.End("finished")], "fitted": [end]}
    (mine,) = (run for run in listener.runs if listener.info(run).name == "mine")
    assert listener.series("loss", run=mine) == ([1], [0.5])


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "code"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os._exit(3)", 3),
        ("import atexit; atexit.register(os._exit, 4)", 4),  # registered last, it comes first
        ("os.execv(sys.executable, [sys.executable, '-c', 'raise SystemExit(5)'])", 5),
    ],
    ids=["kill -9", "_exit", "_exit at exit", "exec"],
)
def test_what_a_killed_process_had_recorded_is_not_lost(
    way: str, code: int, listener: Listener, spool_dir: Path
) -> None:
    # A first flush may hold the run's description alone.
    spooled = "any(b'loss' in path.read_bytes() for path in pathlib.Path(run._root).rglob('*.seg'))"
    text = f"import pathlib, time\nwhile not {spooled}: time.sleep(0.01)\n"
    done = run_script(text + way, f"http://127.0.0.1:{free_port()}", spool_dir)
    assert done.returncode == code
    sync = [sys.executable, "-m", "epochscope", "sync", "--spool-dir", str(spool_dir), "--url", listener.url]
    assert subprocess.run(sync, capture_output=True, timeout=60).returncode == 0
    assert listener.series("loss") == ([1], [0.5])
    assert listener.ends() == []
