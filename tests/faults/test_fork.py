"""A process that forks while it trains: the child records, writes and sends nothing, and holds nothing that is open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from epochscope.spool import Spool, left_behind
from listener import Listener, free_port

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

FORKS = """
import os, sys, time
from epochscope import Run
run = Run("p", "n", url={url!r}, spool_dir={spool_dir!r})
for step in range(1, 401):
    run.log(step, loss=float(step))
    if step % 20 == 0:
        if os.fork() == 0:
            for at in range(1000, 1200):
                run.log(at, loss=-1.0)
            sys.exit(0 if not len(run.recording) and run.finish() in (True, False) else 1)
        assert os.wait()[1] == 0
assert run.finish()
"""


def test_what_forked_children_do_never_arrives_and_harms_nobody(listener: Listener, spool_dir: Path) -> None:
    script = FORKS.format(url=listener.url, spool_dir=str(spool_dir))
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert listener.series("loss") == (list(range(1, 401)), [float(step) for step in range(1, 401)])
    assert len({flush.stream for flush in listener.flushes}) == 1
    assert list(spool_dir.iterdir()) == []


OUTLIVED = """
import os, time
from pathlib import Path
from epochscope import Run
run = Run("p", "n", url={url!r}, spool_dir={spool_dir!r})
run.log(1, loss=0.5)
while not list(Path({spool_dir!r}).rglob("*.seg")):
    time.sleep(0.01)
if os.fork() == 0:
    print(os.getpid(), flush=True)
time.sleep(60)
os._exit(0)
"""


def test_a_child_that_outlives_its_killed_parent_does_not_keep_the_spool_from_being_sent(spool_dir: Path) -> None:
    script = OUTLIVED.format(url=f"http://127.0.0.1:{free_port()}", spool_dir=str(spool_dir))
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            (path,) = left_behind(spool_dir)
            assert Spool.of_ended_process(path) is None
            parent.send_signal(signal.SIGKILL)
            parent.wait()
            found = Spool.of_ended_process(path)
            assert found is not None
            assert len(found)
            found.close()
        finally:
            os.kill(child, signal.SIGKILL)
