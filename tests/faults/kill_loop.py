"""The kill loop: clients and service are killed over and over, started again, and what is left is compared.

    make kill-loop N=10000                       # before a release; SEED=7 repeats the draws of one
    PYTHONPATH=tests .venv/bin/python -m faults.kill_loop --kills 300 --database postgres

What is claimed, in the words of the protocol:

* *Accepted* is a flush for which ``Spool.put`` has returned while nothing waits in memory: it lies on disk. The client
  says so over a pipe at that moment. What training has recorded and no flush has taken yet is not accepted.
* *Acknowledged* is a flush whose number a reply 200 of the service covers, by the record of a proxy.
* **Lost**: a batch of an accepted flush that is not in the answers of the service at the end.
* **Doubled**: a batch whose counts hold more samples than it had.
* **Missing**: a flush that is acknowledged and not in the store between the death of a service and its next start
  (later the client would send it again and heal it), or that is accepted, not acknowledged, and not in the spool.

The seed draws runs, lengths of lives, dooms and the proxy's moods. Two threads of one process never meet twice
in the same way, so that a seed repeats the plan and not the instant.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import postgres
import stage
from epochscope import sync
from faults import kill_lives, kill_services
from faults.kill_lives import SAMPLES, batch
from faults.kill_oracle import Name, Recorder, spooled, stored
from killed import Nursery

CLIENTS = 6
APART = 1000  # steps between the first batches of two streams of a run
CHAPTER = 500  # kills on one store, then its answers are compared
ONE_IN = 5  # kills is of the service, at least
MOST_BAD = 20  # findings after which a chapter ends


@dataclass
class Stream:
    """What one life of a client has said it would tell: accepted are its flushes up to ``seq``."""

    run: str
    first: int
    name: str = ""
    seq: int = 0
    loss: int = 0  # last step whose loss is accepted
    counts: int = 0  # last step whose counts are accepted


@dataclass
class Found:
    """What came out; the lists name what should not be."""

    kills: Counter[str] = field(default_factory=Counter)
    batches: int = 0  # accepted
    flushes: int = 0  # accepted
    posts: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # anything else

    def bad(self) -> list[str]:
        named = {"lost": self.lost, "doubled": self.doubled, "missing": self.missing, "wrong": self.wrong}
        return [f"{what}: {one}" for what, several in named.items() for one in dict.fromkeys(several)]

    def add(self, other: Found) -> None:
        self.kills += other.kills
        for name in ("batches", "flushes", "posts", "lost", "doubled", "missing", "wrong"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self) -> str:
        bad = Counter(one.partition(":")[0] for one in self.bad())
        each = ", ".join(f"{count:,} of {who}" for who, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total():,} kills ({each}); {self.flushes:,} flushes with {self.batches:,} batches accepted, "
            f"{self.posts:,} posts: {bad['lost']:,} lost, {bad['doubled']:,} doubled, "
            f"{bad['missing']:,} acknowledged or accepted but missing, {bad['wrong']:,} otherwise wrong"
        )


class Chapter:
    """``kills`` kills on a store of its own in ``folder``."""

    def __init__(self, kills: int, seed: str, folder: Path) -> None:
        self.found = Found()
        self._kills, self._seed, self._folder = kills, seed, folder
        self._url = stage.url_of(folder / "store")
        self._streams: list[Stream] = []
        self._known = threading.Lock()
        self._over = threading.Event()
        self._service_lived = threading.Event()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        folder.mkdir(parents=True)
        self._recorder = Recorder(self._port, f"{seed}/network")
        self._errors: list[BaseException] = []

    def run(self) -> Found:
        lanes = [threading.Thread(target=self._lane, args=(self._service,))]
        lanes += [threading.Thread(target=self._lane, args=(self._client, number)) for number in range(CLIENTS)]
        try:
            for lane in lanes:
                lane.start()
            for lane in lanes:
                lane.join()
        finally:
            self._over.set()
            told = self._recorder.told()
            self._recorder.stop()
        if self._errors:
            raise self._errors[0]
        self.found.posts = self._recorder.posts
        self.found.wrong += self._recorder.trouble
        self._compare_store(told)
        self._compare_answers()
        return self.found

    # -- lives

    def _lane(self, work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            self._errors.append(error)
            self._over.set()

    def _count(self, who: str, was_killed: bool) -> None:
        with self._known:
            self.found.kills[who] += was_killed
            if self.found.kills.total() >= self._kills or len(self.found.bad()) >= MOST_BAD:
                self._over.set()

    def _service_keeps_pace(self) -> bool:
        """Waits while too few of the kills are of the service; False when all is over."""
        while not self._over.is_set():
            if self._service_lived.is_set() and self.found.kills["service"] * ONE_IN >= self.found.kills.total():
                return True
            time.sleep(0.02)
        return False

    def _service(self) -> None:
        chance, number = random.Random(f"{self._seed}/service"), 0
        with Nursery(kill_services.serve, self._folder / "store", self._port, self._url or "-") as nursery:
            while not self._over.is_set():
                number += 1
                doom = "!" * (chance.random() < 0.8)
                said = nursery.live(3.0, f"{self._seed}/s{number}{doom}", chance=chance)
                if not nursery.killed:
                    raise AssertionError(f"the service has ended by itself: {said}")
                self._service_lived.set()
                self._count("service", True)
                self._compare_store(self._recorder.told())

    def _client(self, lane: int) -> None:
        chance, number = random.Random(f"{self._seed}/client{lane}"), 0
        spool_dir = self._folder / f"spool{lane}"
        run, first = "", 1
        with (
            Nursery(kill_lives.client, spool_dir, self._recorder.url) as nursery,
        ):
            while self._service_keeps_pace():
                number += 1
                if not run or chance.random() < 0.5:
                    run, first = f"run{lane}{number:06d}", 1
                else:
                    first += APART
                doom = "!" * (chance.random() < 0.5)
                seed = f"{self._seed}/c{lane}.{number}{doom}"
                said = nursery.live(chance.uniform(0.05, 1.5), "train", run, first, seed, chance=chance)
                self._count("client", nursery.killed)
                self._compare_spool(self._noted(run, first, said), spool_dir)
                if chance.random() < 0.6:
                    doom = "!" * (chance.random() < 0.5)
                    said = nursery.live(5.0, "sync", f"{self._seed}/y{lane}.{number}{doom}", chance=chance)
                    self._count("sync", nursery.killed)
                    self.found.wrong += [line for line in said if "damage" in line]

    def _noted(self, run: str, first: int, said: list[str]) -> Stream:
        stream = Stream(run, first)
        for line in said:
            if line.startswith("kept "):
                _, stream.name, *numbers = line.split()
                stream.seq, loss, counts = map(int, numbers)
                stream.loss, stream.counts = max(stream.loss, loss), max(stream.counts, counts)
        with self._known:
            self._streams.append(stream)
            self.found.flushes += stream.seq
            self.found.batches += max(stream.counts - first + 1, 0)
        return stream

    # -- what is compared

    def _compare_spool(self, stream: Stream, spool_dir: Path) -> None:
        """After the death of a client: what was accepted lies in the spool or is acknowledged."""
        acked, there = spooled(spool_dir / stream.run / stream.name) if stream.name else (0, set())
        told = self._recorder.told().get((stream.run, stream.name), 0)
        if acked > told:
            self.found.wrong.append(f"{stream.name}: the client holds an ack of {acked}, the service gave {told}")
        gone = [seq for seq in range(told + 1, stream.seq + 1) if seq not in there]
        self.found.missing += [
            f"{stream.name}: accepted {seq} is neither in the spool nor acknowledged" for seq in gone
        ]

    def _compare_store(self, told: dict[Name, int]) -> None:
        """Between a death of the service and its next life: what was acknowledged is in the store."""
        there = stored(self._folder / "store", self._url)
        for name, acked in told.items():
            if there.get(name, 0) < acked:
                self.found.missing.append(f"{name}: {acked} acknowledged, the store has {there.get(name, 0)}")

    def _compare_answers(self) -> None:
        """What is left is sent; then the service answers each batch exactly as it was told."""
        process, url = stage.serve_process(self._folder / "store", "--no-auth")
        recorder = Recorder(int(url.rpartition(":")[2]), f"{self._seed}/last")
        try:
            for lane in range(CLIENTS):
                folder, tries = self._folder / f"spool{lane}", 50
                while sync.synchronise(folder, recorder.url, None, self._hear) and tries:
                    tries -= 1
                if not tries:
                    self.found.lost.append(f"spool{lane} can not be sent")
            self.found.posts += recorder.posts
            self.found.wrong += recorder.trouble
            with httpx2.Client(base_url=f"{url}/api/v1", timeout=60) as client:
                for run in dict.fromkeys(stream.run for stream in self._streams if stream.seq):
                    self._compare_run(client, run)
        finally:
            recorder.stop()
            process.terminate()
            process.communicate()

    def _hear(self, text: str) -> None:
        if "damage" in text or "refused" in text or "new stream" in text:
            self.found.wrong.append(text)

    def _compare_run(self, client: httpx2.Client, run: str) -> None:
        last = max(stream.first + APART for stream in self._streams if stream.run == run)
        series = client.get(f"/runs/{run}/series", params={"keys": "loss", "from": 1, "to": last})
        losses = dict(_points(series.json())) if series.status_code == 200 else {}
        answer = client.get(f"/runs/{run}/classes", params={"split": "train", "width": 1})
        matrices = dict(_matrices(answer.json())) if answer.status_code == 200 else {}
        told = client.get(f"/runs/{run}").json()
        self.found.wrong += [f"{run}: {count} {what}" for what, count in told["missing"].items() if count]
        told_steps: set[int] = set()
        for stream in (one for one in self._streams if one.run == run):
            steps = range(stream.first, stream.first + APART)
            told_steps |= set(steps)
            for kind, accepted, there in (
                ("loss", stream.loss, losses.keys()),
                ("counts", stream.counts, matrices.keys()),
            ):
                for step in steps:
                    if step <= accepted and step not in there:
                        self.found.lost.append(f"{run}: {kind} of batch {step} of {stream.name}")
                beyond = [step for step in steps if step > accepted and step in there]
                if beyond != list(range(max(accepted, stream.first - 1) + 1, max(beyond, default=0) + 1)):
                    self.found.lost.append(f"{run}: a hole in the {kind} of {stream.name} before {beyond}")
        for step, loss in losses.items():
            if step not in told_steps or loss != batch(run, step)[0]:
                self.found.wrong.append(f"{run}: loss {loss} of batch {step}")
        for step, matrix in matrices.items():
            _, true, predicted = batch(run, step)
            expected = Counter(zip(true.tolist(), predicted.tolist(), strict=True))
            if sum(matrix.values()) > SAMPLES:
                self.found.doubled.append(f"{run}: counts of batch {step}: {dict(matrix)}, not {dict(expected)}")
            elif matrix != expected:
                self.found.wrong.append(f"{run}: counts of batch {step}: {dict(matrix)}, not {dict(expected)}")


def _points(answer: dict[str, Any]) -> Iterator[tuple[int, float]]:
    (loss,) = answer["series"]
    yield from zip(loss["step"], loss["value"], strict=True)


def _matrices(answer: dict[str, Any]) -> Iterator[tuple[int, Counter[tuple[int, int]]]]:
    """The matrix of each step that has samples; with two classes the hits and misses of both tell every cell."""
    for place, step in enumerate(answer["from"]):
        tp, fn = ([kind[name][place] for name in (0, 1)] for kind in (answer["tp"], answer["fn"]))
        matrix = Counter({(0, 0): tp[0], (0, 1): fn[0], (1, 1): tp[1], (1, 0): fn[1]})
        if any(matrix.values()):
            yield step, +matrix


def loop(kills: int, seed: str, folder: Path, tell: Any = print) -> Found:
    """``kills`` kills in chapters; ends with the first chapter that finds something."""
    found = Found()
    for number in range(math.ceil(kills / CHAPTER)):
        began = time.monotonic()
        chapter_seed = f"{seed}.{number}"
        chapter = Chapter(min(CHAPTER, kills - number * CHAPTER), chapter_seed, folder / f"chapter{number}")
        found.add(chapter.run())
        tell(f"seed {chapter_seed}: {chapter.found} ({time.monotonic() - began:.0f} s)")
        if found.bad():
            break
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="example:\n  PYTHONPATH=tests python -m faults.kill_loop --kills 1000 --seed 7 --database postgres",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=300, help="how many (default: 300)")
    parser.add_argument("--seed", default=str(random.randrange(10**6)), help="repeats the draws of another loop")
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--folder", type=Path, help="where stores and spools lie (default: a temporary one)")
    chosen = parser.parse_args()
    bad = []
    for database in ("sqlite", "postgres") if chosen.database == "both" else (chosen.database,):
        if database == "postgres" and postgres.binaries() is None:
            print("there is no PostgreSQL here")
            continue
        print(f"{database}, seed {chosen.seed}", flush=True)
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=chosen.folder)))
            cluster = postgres.start_cluster(durable=True) if database == "postgres" else None
            if cluster is not None:
                stack.callback(cluster.remove)
            stack.enter_context(stage.using(cluster))
            found = loop(chosen.kills, chosen.seed, folder, lambda text: print(text, flush=True))
        print(f"{database}: {found}", flush=True)
        bad += found.bad()
    print("\n".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
