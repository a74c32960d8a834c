"""The bell that wakes a thread of ours, rung where an Event would lock up."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from epochscope.bell import Bell

RUNG = """
import signal, time
from epochscope.bell import Bell
bell = Bell()
signal.signal(signal.SIGALRM, lambda number, frame: bell.set())
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
until = time.monotonic() + 0.5
while time.monotonic() < until:
    bell.set()
    bell.clear()
signal.setitimer(signal.ITIMER_REAL, 0)
bell.set()
print(bell.wait(1))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals here")
def test_a_signal_that_interrupts_the_ringing_may_ring_itself() -> None:
    done = subprocess.run([sys.executable, "-c", RUNG], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_it_stays_rung_until_it_is_cleared() -> None:
    bell = Bell()
    assert not bell.is_set()
    bell.set()
    bell.set()
    assert bell.wait(0.1)
    assert bell.wait(0.1)
    assert bell.is_set()
    bell.clear()
    began = time.monotonic()
    assert not bell.wait(0.05)
    assert time.monotonic() - began >= 0.04
