"""Copies of a run, by copy, pickle, spawned or pooled processes: they record nothing, say so once, and harm nobody."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from epochscope import Run, wire
from listener import Listener, lines

Console = pytest.CaptureFixture[str]


def cloudpickled(run: Run) -> Run:
    cloudpickle = pytest.importorskip("cloudpickle")
    copied: Run = pickle.loads(cloudpickle.dumps(run))
    return copied


def ours() -> set[str]:
    """The threads of runs."""
    return {f"{thread.name} {thread.ident}" for thread in threading.enumerate() if thread.name.startswith("epochscope")}


WAYS: dict[str, Callable[[Run], Run]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "cloudpickle": cloudpickled,
    "pickle": lambda run: pickle.loads(pickle.dumps(run)),
    "an old pickle": lambda run: pickle.loads(pickle.dumps(run, 2)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_can_be_told_everything_and_records_nothing(way: str, listener: Listener, capsys: Console) -> None:
    run = Run("p", "kept", class_names=["a", "b"], url=listener.url)
    run.log(1, loss=0.5)
    threads = ours()
    copied = WAYS[way](run)
    copied = WAYS[way](copied)  # of a copy, too
    with copied:
        for step in range(2, 300):
            copied.log(step, loss=-1.0)
            copied.confusion(step, [0, 1], [0, 0])
        copied.span("train", 1, 1, 300)
        copied.describe(params={"lr": 1.0})
    assert copied.finish()
    assert ours() == threads
    assert (copied.id, copied.name, copied.url, copied.status) == (run.id, run.name, run.url, "finished")
    assert not run.over
    run.log(2, loss=0.25)
    run.finish("failed", "on its own")
    assert listener.series("loss") == ([1, 2], [0.5, 0.25])
    assert listener.ends() == [wire.End("failed", "on its own")]
    assert len({flush.stream for flush in listener.flushes}) == 1
    assert lines(capsys.readouterr().err) == [
        f"what is told to a copy of run kept goes nowhere; to record in this process, too, open Run(run_id={run.id!r})"
    ]


def test_a_copy_that_is_only_carried_along_says_nothing(listener: Listener, capsys: Console) -> None:
    with Run(url=listener.url) as run:
        copy.deepcopy({"callbacks": [run]})["callbacks"][0].finish()
    assert lines(capsys.readouterr().err) == []


def test_a_copy_carries_no_token(listener: Listener) -> None:
    with Run(url=listener.url, token="tell-nobody") as run:
        assert b"tell-nobody" not in pickle.dumps(run)


def test_streams_of_one_process_begin_alike_and_those_of_a_forked_one_do_not(listener: Listener) -> None:
    with Run(url=listener.url) as run:
        run.again().finish()
    one, other = dict.fromkeys(flush.stream for flush in listener.flushes)
    assert one[: wire.PROCESS_CHARACTERS] == other[: wire.PROCESS_CHARACTERS]
    code = "import os; from epochscope.spool import new_stream_id as n; n(); os.fork() and os.wait(); print(n()[:8])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert len(set(done.stdout.split())) == 2, done.stderr


def test_a_copy_gone_on_with_is_a_stream_of_its_own(listener: Listener) -> None:
    with Run(url=listener.url) as run:
        run.log(1, loss=0.5)
        more = pickle.loads(pickle.dumps(run)).again()
        more.log(2, loss=0.25)
        more.finish()
    steps, _ = listener.series("loss")
    assert sorted(steps) == [1, 2]
    assert len({flush.stream for flush in listener.flushes}) == 2


WORKERS = """
import multiprocessing, sys
from epochscope import Run

def work(run, step):
    run.log(step, loss=-1.0)
    with run:
        return run.finish()

if __name__ == "__main__":
    run = Run("p", "kept", url={url!r}, spool_dir={spool_dir!r})
    run.log(1, loss=0.5)
    if {pool!r} == "joblib":
        import joblib
        done = joblib.Parallel(n_jobs=2)(joblib.delayed(work)(run, step) for step in range(100, 104))
    else:
        with multiprocessing.get_context({pool!r}).Pool(2) as pool:
            done = pool.starmap(work, [(run, step) for step in range(100, 104)])
    assert all(done)
    assert run.finish()
"""


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["spawn", "forkserver", "fork", "joblib"])
def test_a_run_given_to_other_processes_is_recorded_by_the_first_alone(
    pool: str, listener: Listener, spool_dir: Path, tmp_path: Path
) -> None:
    script = tmp_path / "train.py"
    script.write_text(WORKERS.format(url=listener.url, spool_dir=str(spool_dir), pool=pool))
    done = subprocess.run([sys.executable, "-W", "ignore", script], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert listener.series("loss") == ([1], [0.5])
    assert listener.ends() == [wire.End("finished")]
    assert len({flush.stream for flush in listener.flushes}) == 1
    said = lines(done.stderr)
    assert 1 <= len(said) <= 3  # one line a process, however many copies it is given
    assert all(line.startswith("what is told to a copy of run kept goes nowhere") for line in said)
    assert list(spool_dir.iterdir()) == []
