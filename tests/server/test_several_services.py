"""Several services on one PostgreSQL: one store, each flush once, changes told by all, a server that comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import numpy as np
import psycopg
import pytest
import stage
from epochscope_server.errors import StartError
from epochscope_server.store import runs
from epochscope_server.store.database import Database
from listening import listening
from postgres import Cluster, start_cluster
from stage import Service, Training, counted, serve_process, start_service

pytestmark = pytest.mark.postgres


@pytest.fixture
def services(cluster: Cluster, tmp_path: Path) -> Iterator[tuple[Service, Service]]:
    """Two of this process on one database."""
    with stage.using(cluster):
        pair = start_service(tmp_path), start_service(tmp_path)
        yield pair
        for one in pair:
            one.stop()


def test_what_one_service_acknowledged_the_other_answers(services: tuple[Service, Service]) -> None:
    one, other = services
    here = Training(one)
    here.send(confusion=[counted([([0, 1], [0, 2])])])
    there = Training(other, run=here.run, seq=1)
    assert there.get("/confusion")["counts"] == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    there.send(confusion=[counted([([2], [2])], 2)])
    assert here.get("/confusion")["counts"][2] == [0, 0, 1]


def test_a_flush_sent_to_both_is_stored_once(services: tuple[Service, Service]) -> None:
    training = Training(services[0])
    training.send()
    flushes = [training.flush(confusion=[counted([([0], [1])], step)]) for step in range(1, 101)]
    refused: list[str] = []

    def post(service: Service) -> None:
        mine = Training(service, run=training.run)
        for flush in flushes:
            while (answer := mine.post(flush)).status_code != 200:
                if answer.json()["error"]["code"] != "out_of_order":
                    refused.append(answer.text)
                    return
                time.sleep(0.001)

    threads = [threading.Thread(target=post, args=(one,)) for one in (*services, *services)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []
    assert training.get("/confusion")["counts"][0][1] == 100
    assert training.get()["rev"] == 101


def test_many_runs_by_both_at_once_neither_lock_up_nor_lose_a_number(services: tuple[Service, Service]) -> None:
    shared = [f"shared{number:04d}" for number in range(12)]
    trouble: list[str] = []

    def train(service: Service, stream: str) -> None:
        order = np.random.default_rng(sum(stream.encode())).permutation(12)
        mine = {run: Training(service, run=run, stream=stream) for run in shared}
        for step in range(1, 16):
            for number in order:
                answer = mine[shared[number]].post(mine[shared[number]].flush(confusion=[counted([([0], [1])], step)]))
                if answer.status_code != 200:
                    trouble.append(answer.text)

    threads = [
        threading.Thread(target=train, args=(service, f"stream{side}{number}"))
        for side, service in enumerate(services)
        for number in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trouble == []
    for run in shared:
        found = Training(services[0], run=run)
        assert found.get("/confusion")["counts"][0][1] == 6 * 15
        assert found.get()["rev"] == 6 * 15


def test_changes_are_numbered_in_the_order_of_their_commits(
    services: tuple[Service, Service], cluster: Cluster
) -> None:
    first, second = Training(services[0]), Training(services[1])
    first.send()
    second.send()
    answers: list[int] = []
    # As another service does whose commit has its number and is not through: nobody may be given a later one yet.
    with psycopg.connect(stage.url_of(services[0].data_dir) or "") as busy:
        busy.execute("SELECT pg_advisory_xact_lock(%s)", [runs.NUMBERING])
        busy.execute("UPDATE run SET change = change + 2 WHERE uid = %s", [second.run])
        thread = threading.Thread(target=lambda: answers.append(first.send()))
        thread.start()
        thread.join(0.5)
        assert answers == []
    thread.join(20)
    assert answers == [2]
    name = cluster.name_in(stage.url_of(services[0].data_dir))
    latest = cluster.ask("SELECT uid FROM run ORDER BY change DESC LIMIT 1", name)
    assert latest == [(first.run,)]


def test_a_page_of_one_service_is_told_what_came_to_the_other(services: tuple[Service, Service]) -> None:
    one, other = services
    training = Training(other)
    with listening(one, runs=[training.run]) as events:
        training.send()
        event = events.get(timeout=10)
        assert event["data"] == {"run": training.run, "rev": 1, "status": "running"}
        other.ask(f"/runs/{training.run}", "DELETE")
        while (deleted := events.get(timeout=10))["data"] == event["data"]:
            pass  # the same news again: services tell each other later than they answer
    assert deleted["data"]["status"] == "deleted"
    assert int(deleted["id"]) > int(event["id"])


def test_services_that_start_together_make_one_schema(cluster: Cluster, tmp_path: Path) -> None:
    url = cluster.database("together")
    opened: list[Database] = []
    trouble: list[Exception] = []

    def start() -> None:
        try:
            opened.append(Database(tmp_path, url))
        except StartError as error:
            trouble.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in opened:
        database.close()
    assert trouble == []
    assert len(opened) == 4


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """One that a test may stop."""
    cluster = start_cluster()
    yield cluster
    cluster.remove()


def test_the_service_outlives_its_database(own_cluster: Cluster, tmp_path: Path) -> None:
    with stage.using(own_cluster):
        process, url = serve_process(tmp_path)
        client = httpx2.Client(base_url=url, timeout=30)
        training = Training(Service(url, tmp_path, client, client.close))
        training.send(confusion=[counted([([0], [1])])])
        own_cluster.stop("immediate")
        flush = training.flush(confusion=[counted([([0], [1])], 2)])
        for answer in (training.post(flush), training.ask("/confusion"), training.ask()):
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "store_unavailable"
            assert int(answer.headers["retry-after"]) > 0
        assert client.get("/api/v1/health").status_code == 200
        own_cluster.start()
        acknowledged = until(lambda: training.post(flush))
        assert acknowledged.json() == {"acked": 2}
        assert training.get("/confusion")["counts"][0][1] == 2
        with listening(training.service) as events:
            training.send()
            while events.get(timeout=10)["data"]["rev"] != 3:
                pass  # the news of the flush before may come only now that the service listens again
        process.terminate()
        _, errors = process.communicate(timeout=20)
        client.close()
    assert "can't be reached now" in errors
    assert "it answers again" in errors
    assert "Traceback" not in errors


def test_connections_that_the_server_cuts_off_are_not_noticed(
    services: tuple[Service, Service], cluster: Cluster
) -> None:
    training = Training(services[0])
    for step in range(1, 6):
        training.send(confusion=[counted([([0], [1])], step)])
        cluster.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'epochscope'")
        assert training.get("/confusion")["counts"][0][1] == step


def test_a_full_disk_of_the_server_refuses_flushes_until_there_is_room(
    services: tuple[Service, Service], cluster: Cluster
) -> None:
    training = Training(services[0])
    training.send(confusion=[counted([([0], [1])])])
    name = cluster.name_in(stage.url_of(services[0].data_dir))
    cluster.ask(
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$",
        name,
    )
    cluster.ask("CREATE TRIGGER no_room BEFORE INSERT ON flush EXECUTE FUNCTION no_room()", name)
    flush = training.flush(confusion=[counted([([0], [1])], 2)])
    answer = training.post(flush)
    assert answer.status_code == 503
    assert "No space left" in answer.json()["error"]["message"]
    assert int(answer.headers["retry-after"]) > 0
    assert training.get("/confusion")["counts"][0][1] == 1
    cluster.ask("DROP TRIGGER no_room ON flush", name)
    assert training.post(flush).json() == {"acked": 2}
    assert training.get("/confusion")["counts"][0][1] == 2


def test_a_flush_that_can_not_be_written_takes_no_other_with_it(
    services: tuple[Service, Service], cluster: Cluster
) -> None:
    name = cluster.name_in(stage.url_of(services[0].data_dir))
    cluster.ask(
        "CREATE FUNCTION picky() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.seq = 13 THEN RAISE 'unlucky' USING ERRCODE = '22000'; END IF; RETURN NEW; END $$",
        name,
    )
    cluster.ask("CREATE TRIGGER picky BEFORE INSERT ON flush FOR EACH ROW EXECUTE FUNCTION picky()", name)
    found: list[list[int]] = []

    def train() -> None:
        training = Training(services[0])
        found.append([training.post(training.flush()).status_code for _ in range(14)])

    threads = [threading.Thread(target=train) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cluster.ask("DROP TRIGGER picky ON flush", name)
    assert found == [[200] * 12 + [422, 409]] * 8


def until(attempt: Callable[[], httpx2.Response], seconds: float = 20) -> httpx2.Response:
    """The first success."""
    end = time.monotonic() + seconds
    while (answer := attempt()).status_code != 200:
        assert time.monotonic() < end, answer.text
        time.sleep(0.1)
    return answer
