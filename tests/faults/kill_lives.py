"""What the kill loop kills of clients, a training or `epochscope sync`, and how a life is told where to die.

A kill at a random instant rarely meets the narrow places, between a commit and its acknowledgement, say. So a life may
be given a doom: at the n-th call of a function that matters, before or after it, its process stands still for a moment,
as on a slow disk, and is gone. Everything is drawn from the seed of the life.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from epochscope import Run, connection, flusher, folder, spool
from epochscope import run as run_module
from epochscope.__main__ import main
from numpy.typing import NDArray

CLASS_NAMES = ("cat", "dog")  # two, so that the rates of both classes tell every cell
SAMPLES = 6  # of a batch
LINGER_S = 0.02  # a doomed process stands still up to twice as long, one in three not at all
_OF_CLIENTS = ("write", "write", "fdatasync", "unlink", "unlink", "replace", "open", "read", "sendall", "recv_into")


def batch(run: str, step: int) -> tuple[float, NDArray[np.int64], NDArray[np.int64]]:
    """What batch ``step`` of ``run`` tells: loss, true classes [6], predicted classes [6]."""
    chance = np.random.default_rng([int(run, 36) % 2**32, step])
    return float(chance.normal()), chance.integers(0, 2, SAMPLES), chance.integers(0, 2, SAMPLES)


def say(*words: object) -> None:
    """One line, whole or not at all."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def client(spool_dir: str, url: str, what: str, *arguments: str) -> None:
    """The life of a client: ``train RUN FIRST SEED`` or ``sync SEED``."""
    lives: dict[str, Callable[..., None]] = {"train": _train, "sync": _synchronise}
    lives[what](spool_dir, url, *arguments)


def _train(spool_dir: str, url: str, run_id: str, first: str, seed: str) -> None:
    """Tells batches of ``run_id`` from ``first`` on, and says of each flush when it was kept.

    A flush that ``put`` has returned for while nothing waits in memory lies on disk: that is what is called accepted.
    """
    chance = born(seed, _OF_CLIENTS, spool_dir)
    kept = spool.Spool.put

    def put(self: spool.Spool, body: bytes) -> bool:
        done = kept(self, body)
        if done and not self.in_memory():
            flush = spool.unpack(body)
            losses = [step for one in flush.series if one.key == "loss" for step in one.arrays()[0].tolist()]
            counts = [step for one in flush.confusion for step in one.arrays()[0].tolist()]
            say("kept", flush.stream, flush.seq, max(losses, default=0), max(counts, default=0))
        return done

    spool.Spool.put = put  # type: ignore[method-assign]
    run_module.git_state = dict  # type: ignore[attr-defined]  # it would be a process of its own for each life
    run = Run("killed", run_id, run_id=run_id, class_names=CLASS_NAMES, url=url, spool_dir=spool_dir)
    say("begun")
    step = int(first)
    for _ in range(chance.randint(5, 120)):
        loss, true, predicted = batch(run_id, step)
        run.log(step, loss=loss)
        run.confusion(step, true, predicted)
        step += 1
        time.sleep(chance.choice((0.0, 0.0, 0.01, 0.02)))
    run.finish()


def _synchronise(spool_dir: str, url: str, seed: str) -> None:
    """``epochscope sync``."""
    born(seed, _OF_CLIENTS, spool_dir)
    say("begun")
    sys.setprofile(threading.getprofile())  # the thread that does it is there already
    code = main(["sync", "--spool-dir", spool_dir, "--url", url])
    sys.setprofile(None)
    say("left", code)


def born(seed: str, points: tuple[str, ...], place: str) -> random.Random:
    """A faster clock, small segments, and the doom that the seed draws, where it ends with a "!". What the life says to
    the person goes to a log beside ``place``.
    """
    os.dup2(os.open(f"{place}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    random.seed(seed)
    chance = random.Random(seed)
    flusher.GATHER_S, flusher._SOONEST_S = 0.03, 0.01
    folder.SEGMENT_BYTES = chance.choice((800, 4000, 8 * 1024**2))
    connection.READ_TIMEOUT_S = 3.0
    if seed.endswith("!"):
        threading.setprofile(_doom(chance, points))
    return chance


def _doom(chance: random.Random, points: tuple[str, ...]) -> Any:
    name, before = os.environ.get("EPOCHSCOPE_DOOM") or chance.choice(points), chance.random() < 0.5
    left = int(40 ** chance.random())
    pause = max(chance.uniform(-LINGER_S, 2 * LINGER_S), 0.0)

    def watch(frame: Any, event: str, argument: Any) -> None:
        nonlocal left
        called = argument.__name__ if event.startswith("c_") else frame.f_code.co_name
        if called != name or not event.endswith("call" if before else "return"):
            return
        left -= 1
        if not left:
            time.sleep(pause)
            os.kill(os.getpid(), signal.SIGKILL)

    return watch
