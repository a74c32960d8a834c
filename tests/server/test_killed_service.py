"""kill -9 of the whole service under load: what it acknowledged is in the store before it starts again, and only once.

Clients that go on after a kill would heal a service that acknowledges too early, so the store is looked into between a
death and the next life, and compared with what the clients were told.
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from pathlib import Path

import httpx2
import numpy as np
import pytest
import sqlalchemy as sa
from epochscope import wire
from epochscope_server.app import create_app
from epochscope_server.serving import listen, make_server
from epochscope_server.settings import Settings
from epochscope_server.store import sealing
from epochscope_server.store.schema import run as run_table
from epochscope_server.store.schema import stream
from killed import Nursery
from sealing import Store
from stage import Service, Training, counted, start_service, url_of

ROUNDS = int(os.environ.get("EPOCHSCOPE_ROUNDS", "5"))
STEPS, CLASSES = 3, 4  # of a flush


def serve(data_dir: str, port: str, url: str = "") -> None:
    sealing.MOST_FLUSHES = 8  # so that there is always something to seal
    settings = Settings("127.0.0.1", int(port), Path(data_dir), None, True, False, database=url or None)
    server = make_server(create_app(settings))
    listener = listen("127.0.0.1", int(port))
    print("begun", flush=True)
    server.run(sockets=[listener])


def labels(run: str, seq: int) -> tuple[np.ndarray, np.ndarray]:
    """What flush ``seq`` tells: true and predicted [step, sample]."""
    chance = np.random.default_rng([int(run[-4:]), seq])
    return chance.integers(0, CLASSES, (STEPS, 5)), chance.integers(0, CLASSES, (STEPS, 5))


class Client(threading.Thread):
    """A training that sends each flush until it is acknowledged, and now and then an old one again."""

    def __init__(self, number: int, url: str, folder: Path) -> None:
        super().__init__(daemon=True)
        self.http = httpx2.Client(base_url=url, timeout=10)
        names = tuple(f"c{index}" for index in range(CLASSES))
        service = Service(url, folder, self.http, self.http.close)
        self.training = Training(service, run=f"killed{number:04d}", class_names=names)
        self.acked = 0
        self.trouble: list[str] = []
        self.over = threading.Event()

    def flush(self, seq: int) -> wire.Flush:
        true, predicted = labels(self.training.run, seq)
        self.training.seq = seq - 1
        columns = counted(list(zip(true, predicted, strict=True)), (seq - 1) * STEPS + 1)
        return self.training.flush(confusion=[columns])

    def run(self) -> None:
        while not self.over.is_set():
            again = self.acked and random.random() < 0.1
            seq = random.randint(1, self.acked) if again else self.acked + 1
            try:
                answer = self.training.post(self.flush(seq))
            except httpx2.HTTPError:
                time.sleep(0.01)
                continue
            if answer.status_code == 200:
                self.acked = max(self.acked, answer.json()["acked"])
            elif answer.status_code != 503:
                self.trouble.append(answer.text)
                return


@pytest.mark.slow
def test_kill_9_under_load_loses_nothing_acknowledged_and_doubles_nothing(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "store"
    clients = [Client(number, f"http://127.0.0.1:{port}", tmp_path) for number in range(8)]
    with Nursery(serve, folder, port, url_of(folder) or "") as nursery:
        for client in clients:
            client.start()
        lived = 0
        for _ in range(ROUNDS):
            nursery.live(1.0)
            told = {client.training.run: client.acked for client in clients}
            stored = stored_seqs(folder)
            for run, acked in told.items():
                assert stored.get(run, 0) in (acked, acked + 1), "the last one may be stored and not acknowledged yet"
            lived += any(told.values())
        for client in clients:
            client.over.set()
        for client in clients:
            client.join(20)
            assert client.trouble == []
    assert lived, "no service lived long enough to acknowledge anything"
    check_counts(folder, clients)


def stored_seqs(folder: Path) -> dict[str, int]:
    """The highest seq in the store of each run."""
    store = Store(folder)
    chosen = sa.select(run_table.c.uid, stream.c.next_seq - 1).join(stream, stream.c.run_id == run_table.c.id)
    found: dict[str, int] = store.ask(lambda connection: dict(connection.execute(chosen).all()))
    store.close()
    return found


def check_counts(folder: Path, clients: list[Client]) -> None:
    """Every count of every stored flush is there exactly once."""
    stored = stored_seqs(folder)
    again = start_service(folder)
    try:
        for client in clients:
            matrix = np.zeros((CLASSES, CLASSES), np.int64)
            for seq in range(1, stored.get(client.training.run, 0) + 1):
                np.add.at(matrix, tuple(side.ravel() for side in labels(client.training.run, seq)), 1)
            if matrix.any():
                assert again.get(f"/runs/{client.training.run}/confusion")["counts"] == matrix.tolist()
    finally:
        again.stop()
