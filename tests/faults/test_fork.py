"""A process that forks while it trains: the child records, writes and sends nothing, and holds nothing that is open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from epochscope.spool import Spool, left_behind
from listener import Listener, free_port, lines

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

FORKS = """
import os, sys, threading, time
from epochscope import Run
run = Run("p", "n", num_classes=2, url={url!r}, spool_dir={spool_dir!r})
over = threading.Event()
def loads():  # while others fork
    at = 0
    while not over.is_set():
        at += 1
        run.log(at, load=float(at))
        run.confusion(at, [0, 1], [0, 0])
        time.sleep(0.0005)
load = threading.Thread(target=loads, daemon=True)  # so that a failure ends all
load.start()
while not run._flusher._spool.next_seq > 2:
    time.sleep(0.01)
opened = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
for step in range(1, 401):
    run.log(step, loss=float(step))
    if step % 2 == 0:
        if os.fork() == 0:
            for at in range(1000, 1200):
                run.log(at, loss=-1.0)
            idle = not len(run.recording) and run.finish() in (True, False)
            sys.exit(0) if idle and step % 20 == 0 else os._exit(not idle)
        assert os.wait()[1] == 0
over.set()
load.join()
assert run.finish()
left = len(os.listdir("/proc/self/fd")) if opened else 0
assert left <= opened, (opened, left)
"""


@pytest.mark.slow
def test_what_forked_children_do_never_arrives_and_harms_nobody(listener: Listener, spool_dir: Path) -> None:
    script = FORKS.format(url=listener.url, spool_dir=str(spool_dir))
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, lines(done.stderr)) == (0, []), done.stderr
    assert "Traceback" not in done.stderr
    assert listener.series("loss") == (list(range(1, 401)), [float(step) for step in range(1, 401)])
    steps = list(range(1, len(listener.matrices()) + 1))
    assert len(steps) > 100
    assert listener.series("load") == (steps, [float(step) for step in steps])
    assert all(each.tolist() == [[1, 0], [1, 0]] for each in listener.matrices().values())
    assert len({flush.stream for flush in listener.flushes}) == 1
    assert list(spool_dir.iterdir()) == []


OUTLIVED = """
import os, threading, time
from pathlib import Path
from epochscope import Run, files
from epochscope.folder import Folder
files.FORK_WAITS_S = 30  # a busy disk may take longer than a fork is held up for otherwise
early, go_on = {early!r}, threading.Event()
write_meta = Folder.write_meta
def waits(self, text):
    write_meta(self, text)
    if early:
        Path(self.path / "forks").touch()
        go_on.wait()
Folder.write_meta = waits
run = Run("p", "n", url={url!r}, spool_dir={spool_dir!r})
run.log(1, loss=0.5)
def wait_for(name, size):
    while not [path for path in Path({spool_dir!r}).rglob(name) if path.stat().st_size >= size]:
        time.sleep(0.01)
wait_for("forks", 0) if early else wait_for("*.seg", 1)
if os.fork() == 0:
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(60)
go_on.set()
wait_for("*.seg", 1)
os.write(1, b"there\\n")
time.sleep(60)
os._exit(0)
"""


@pytest.mark.parametrize("early", [False, True], ids=["forked later", "forked while the folder is made"])
def test_a_child_that_outlives_its_killed_parent_does_not_keep_the_spool_from_being_sent(
    spool_dir: Path, early: bool
) -> None:
    script = OUTLIVED.format(url=f"http://127.0.0.1:{free_port()}", spool_dir=str(spool_dir), early=early)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        said = [parent.stdout.readline().strip() for _ in range(2)]
        (child,) = (int(line) for line in said if line != "there")
        try:
            (path,) = left_behind(spool_dir)
            assert Spool.of_ended_process(path) is None
            parent.send_signal(signal.SIGKILL)
            parent.wait()
            found, end = None, time.monotonic() + 10
            while found is None and time.monotonic() < end:  # a command it began may not have let go yet
                found = Spool.of_ended_process(path)
            assert found is not None
            assert len(found)
            found.close()
        finally:
            os.kill(child, signal.SIGKILL)


OPENED = """
import os, sys, threading
from pathlib import Path
from epochscope.folder import Folder
over = threading.Event()
def make():
    number = 0
    while not over.is_set():
        number += 1
        made = Folder.create(Path({spool_dir!r}) / "run00000x" / f"stream{{number % 7}}x")
        made.append(1, b"x")
        made.close(remove=True)
maker = threading.Thread(target=make)
maker.start()
held = 0
for _ in range({forks}):
    if os.fork() == 0:
        links = [f"/proc/self/fd/{{handle}}" for handle in os.listdir("/proc/self/fd")]
        there = [os.readlink(link) for link in links if os.path.islink(link)]
        os._exit(any(path.split()[0].endswith(("/lock", "/ack", ".seg")) for path in there))
    held += os.wait()[1] != 0
over.set()
maker.join()
print(held)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="what is open can't be seen here")
def test_no_child_holds_a_file_that_was_being_opened_when_it_was_forked(spool_dir: Path) -> None:
    script = OPENED.format(spool_dir=str(spool_dir), forks=200)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("0\n", "")
