"""Alerts on their way out: each to a webhook at most once, again only where it was not taken, and no secret shown."""

from __future__ import annotations

import contextlib
import functools
import logging
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stage
from epochscope import wire
from epochscope_server.alerts import courier, messages, webhooks
from epochscope_server.errors import StartError
from epochscope_server.store import alert_posts, alerts
from hooks import SECRET, Receiver, receiving
from postgres import Cluster
from sealing import Store
from stage import COMMAND, Service, Training, start_service

pytestmark = pytest.mark.slow  # they wait between sendings, as the service does


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Service]]:
    """Starts services on a store of this test's own, with pauses of a moment."""
    monkeypatch.setattr(courier, "PAUSES_S", (0.05, 0.05))
    monkeypatch.setattr(courier, "TICK_S", 0.05)
    with ExitStack() as stack:

        def start(webhook: str, gap_s: float = 0.05) -> Service:
            monkeypatch.setattr(courier, "GAP_S", gap_s)
            service = start_service(tmp_path, alert_webhook=webhook)
            stack.callback(service.stop)
            return service

        yield start


def lose(service: Service, name: str = "zoo") -> Training:
    """A training whose loss becomes NaN at its second step."""
    training = Training(service, info={"name": name})
    training.send(series=[wire.SeriesColumns.of("loss", "train", "batch", [1, 2], [1.0, np.nan])])
    return training


def sent(training: Training) -> list[dict[str, Any]]:
    return [post for alert in training.get("/alerts")["alerts"] for post in alert["sent"]]


def until(check: Callable[[], Any], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_webhook_is_sent_each_alert_once_as_json(serve: Callable[..., Service], receiver: Receiver) -> None:
    training = lose(serve(receiver.url))
    receiver.wait(1)
    until(lambda: [post["state"] for post in sent(training)] == ["sent"])
    training.send(series=[wire.SeriesColumns.of("loss", "train", "batch", [3, 4], [np.nan, np.nan])])
    lose(training.service, "other")
    receiver.wait(2)
    path, body = receiver.posts[0]
    assert path == f"/{SECRET}"
    assert set(body) == {"source", "alerts"}
    (told,) = body["alerts"]
    assert {name: told[name] for name in ("id", "run", "name", "project", "kind", "says", "from", "to")} == {
        "id": f"{training.run}-1", "run": training.run, "name": "zoo", "project": "animals", "kind": "nan",
        "says": "the loss is NaN since step 2, training", "from": 2, "to": 3,
    }  # fmt: skip
    assert [alert["name"] for alert in receiver.alerts] == ["zoo", "other"]
    assert sent(training) == [{"to": "127.0.0.1", "state": "sent", "says": "taken (200)"}]


def test_what_comes_together_goes_together(serve: Callable[..., Service], receiver: Receiver) -> None:
    service = serve(receiver.url, gap_s=1.5)
    lose(service, "first")
    receiver.wait(1)
    began = time.monotonic()
    for number in range(5):
        lose(service, f"more {number}")
    receiver.wait(2)
    assert time.monotonic() - began > 0.7
    until(lambda: len(receiver.alerts) == 6)
    assert len(receiver.posts) <= 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_was_not_taken_is_sent_again(serve: Callable[..., Service], receiver: Receiver, status: int) -> None:
    receiver.answers[:] = [status]
    training = lose(serve(receiver.url))
    receiver.wait(2)
    until(lambda: [post["state"] for post in sent(training)] == ["sent"])
    assert [alert["id"] for alert in receiver.alerts] == [f"{training.run}-1"] * 2


def test_what_is_never_taken_is_given_up(serve: Callable[..., Service], receiver: Receiver) -> None:
    receiver.answers[:] = [503] * 9
    training = lose(serve(receiver.url))
    until(lambda: [post["state"] for post in sent(training)] == ["failed"])
    assert len(receiver.posts) == 3
    assert sent(training)[0]["says"] == "answered 503; given up after 3 tries"


@pytest.mark.parametrize(
    ("status", "state", "says"),
    [
        (0, "unanswered", "it may have arrived"),
        (504, "unanswered", "it may have arrived"),
        (404, "failed", "answered 404"),
        (307, "failed", "redirects are not followed"),
        (302, "failed", "redirects are not followed"),
    ],
)
def test_what_may_have_arrived_or_was_refused_is_not_sent_again(
    serve: Callable[..., Service], receiver: Receiver, status: int, state: str, says: str
) -> None:
    receiver.answers[:] = [status]
    receiver.headers["location"] = "/elsewhere"
    training = lose(serve(receiver.url))
    until(lambda: [post["state"] for post in sent(training)] == [state])
    assert says in sent(training)[0]["says"]
    lose(training.service, "other")
    receiver.wait(2)
    assert [alert["name"] for alert in receiver.alerts] == ["zoo", "other"]


def test_a_webhook_that_is_away_is_sent_it_when_it_is_back(serve: Callable[..., Service], receiver: Receiver) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    training = lose(serve(f"http://127.0.0.1:{port}/{SECRET} {receiver.url}"))
    receiver.wait(1)
    until(lambda: sorted(post["state"] for post in sent(training)) == ["failed", "sent"])
    (away,) = (post for post in sent(training) if post["state"] == "failed")
    assert away["says"] == "can't be reached: Connection refused; given up after 3 tries"


@pytest.mark.slow
def test_a_service_that_is_started_again_sends_nothing_again(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "GAP_S", 0.05)
    first = start_service(tmp_path, alert_webhook=receiver.url)
    training = lose(first)
    receiver.wait(1)
    until(lambda: [post["state"] for post in sent(training)] == ["sent"])
    first.stop()
    again = start_service(tmp_path, alert_webhook=receiver.url)
    training = Training(again, run=training.run, seq=training.seq)
    training.send(series=[wire.SeriesColumns.of("loss", "train", "batch", [3], [np.nan])])
    lose(again, "other")
    receiver.wait(2)
    assert [alert["name"] for alert in receiver.alerts] == ["zoo", "other"]
    again.stop()


HOSTILE = "<!channel> *x* @here [a](https://evil.example) & <https://evil.example|y>"


def test_what_a_class_is_called_is_text_in_a_chat(serve: Callable[..., Service], receiver: Receiver) -> None:
    training = lose(serve(f"slack+{receiver.url}"), HOSTILE)
    receiver.wait(1)
    (_, body) = receiver.posts[0]
    assert set(body) == {"text", "mrkdwn", "unfurl_links", "unfurl_media"}
    assert (body["mrkdwn"], body["unfurl_links"], body["unfurl_media"]) == (False, False, False)
    text = body["text"]
    assert not {"<", ">"} & set(text)
    assert "&lt;!channel&gt; *x*" in text
    assert "@here" not in text
    assert "](" not in text
    assert "https://evil" not in text
    assert text.endswith("the loss is NaN since step 2, training.")
    assert training.get()["name"] == HOSTILE


def test_names_are_harmless_wherever_they_stand_in_a_sentence() -> None:
    told = {
        **messages.example(), "kind": "change", "class_name": HOSTILE, "start": 5, "stop": 9,
        "details": {"best": 0.9, "now": {"value": 0.2}, "taken_for": HOSTILE},
    }  # fmt: skip
    text = messages.sentence(told, messages.harmless)
    assert text.count("&lt;!channel&gt;") == 2
    assert "<" not in text


def test_no_secret_is_shown_logged_kept_or_told(
    serve: Callable[..., Service], receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers[:] = [503, 404]
    with caplog.at_level(logging.DEBUG):
        service = serve(f"{receiver.url}?token={SECRET}")
        training = lose(service)
        until(lambda: [post["state"] for post in sent(training)] == ["failed"])
    said = [caplog.text, service.ask("/alerts/rules", params={"project": "animals"}).text, training.ask("/alerts").text]
    assert "the webhook at 127.0.0.1" in caplog.text
    assert '"webhooks":["127.0.0.1"]' in said[1]
    if stage.url_of(tmp_path) is None:
        with contextlib.closing(sqlite3.connect(tmp_path / "epochscope.db")) as connection:
            said.append("\n".join(connection.iterdump()))
    assert [text for text in said if SECRET in text or "s3cret" in text] == []


@pytest.mark.parametrize(
    "wrong",
    [
        f"http://hooks.example.org/{SECRET}",
        f"ftp://hooks.example.org/{SECRET}",
        f"https://user:{SECRET}@hooks.example.org/",
        f"https://hooks.example.org/#{SECRET}",
        f"https:///{SECRET}",
        f"https://hooks.example.org:x/{SECRET}",
        f"https://hooks.example.örg/{SECRET}",
        SECRET,
    ],
)
def test_an_address_that_can_not_be_used_is_refused_without_being_repeated(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "hooks"
    file.write_text(f"# ours\nhttps://hooks.example.org/ok\n{wrong}\n")
    for given in ((wrong, None), (None, str(file))):
        with pytest.raises(StartError) as refused:
            webhooks.read(*given)
        assert SECRET not in str(refused.value)
        assert "s3cret" not in str(refused.value)
    assert "line 3 of" in str(refused.value)


def test_addresses_are_read_from_flag_and_file_each_once(tmp_path: Path) -> None:
    file = tmp_path / "hooks"
    file.write_text("# ours\n\n  slack+https://chat.example.org/hooks/1  \nhttps://hooks.slack.com/services/1\n")
    found = webhooks.read(
        "https://hooks.example.org/a http://localhost:9/b https://hooks.slack.com/services/1", str(file)
    )
    assert [(one.style, one.host) for one in found] == [
        ("json", "hooks.example.org"), ("json", "localhost"),
        ("slack", "hooks.slack.com"), ("slack", "chat.example.org"),
    ]  # fmt: skip
    assert "services" not in repr(found)
    with pytest.raises(StartError, match="No such file"):
        webhooks.read(None, str(tmp_path / "none"))


def test_an_answer_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket
    import threading

    monkeypatch.setattr(webhooks, "WHOLE_S", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            channel, _ = listener.accept()
            with channel, contextlib.suppress(OSError):
                for byte in b"HTTP/1.1 200 " + b"O" * 100:
                    channel.sendall(bytes([byte]))
                    time.sleep(0.3)

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        hook = webhooks.Webhook("json", f"http://127.0.0.1:{listener.getsockname()[1]}/")
        outcome = webhooks.send(hook, [messages.example()], None)
        assert outcome.state == "unanswered"
        assert time.monotonic() - began < 8
        thread.join()


@pytest.mark.slow
def test_the_command_sends_a_test_and_says_what_came_of_it(receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "hooks"
    file.write_text(receiver.url)
    command = [*COMMAND, "alerts", "--test", "--alert-webhook-file", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "127.0.0.1 (json): taken (200)\n", "")
    assert "this is a test" in receiver.alerts[0]["says"]
    receiver.answers[:] = [404]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "127.0.0.1 (json): answered 404\n")


@pytest.mark.postgres
def test_several_services_on_one_database_tell_each_alert_once(
    cluster: Cluster, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "GAP_S", 0.05)
    with stage.using(cluster):
        services = [start_service(tmp_path, alert_webhook=receiver.url) for _ in range(3)]
        names = []
        for number in range(12):
            names.append(f"run {number}")
            lose(services[number % 3], names[-1])
            if number == 6:
                time.sleep(1)
                services[0].stop()  # whoever it was that looked, another goes on
                services[0] = services[1]
        until(lambda: len(receiver.alerts) >= 12, 40)
        time.sleep(1)
        for service in services[1:]:
            service.stop()
    assert sorted(alert["name"] for alert in receiver.alerts) == sorted(names)


def test_what_a_service_had_in_hand_when_it_died_is_not_sent_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    _alerted(store)
    (post,) = store.writer.submit(lambda connection: alert_posts.take(connection, "hook", 2_000, 9)).result()
    assert store.writer.submit(lambda connection: alert_posts.take(connection, "hook", 3_000, 9)).result() == []
    clear = functools.partial(alert_posts.clear, webhooks=["hook"], sending_ms=60_000)
    assert store.writer.submit(lambda connection: clear(connection, now_ms=50_000)).result() == 0
    assert store.writer.submit(lambda connection: clear(connection, now_ms=70_000)).result() == 1
    assert store.writer.submit(lambda connection: alert_posts.take(connection, "hook", 80_000, 9)).result() == []
    (told,) = store.ask(lambda connection: alerts.listed(connection, uid=post.told["uid"]))
    assert told["sent"] == [{"to": "h", "state": "unanswered", "says": "The service stopped while it was sent"}]
    store.close()


@pytest.mark.postgres
def test_what_one_service_is_taking_no_other_takes(cluster: Cluster, tmp_path: Path) -> None:
    with stage.using(cluster):
        store = Store(tmp_path)
        _alerted(store)
        with store.database.writer.begin() as one, store.database.writer.begin() as other:
            assert len(alert_posts.take(one, "hook", 2_000, 9)) == 1
            assert alert_posts.take(other, "hook", 2_000, 9) == []
        with store.database.writer.begin() as later:
            assert alert_posts.take(later, "hook", 3_000, 9) == []
        store.close()


def _alerted(store: Store) -> None:
    """A run with one alert that waits for one webhook."""
    info = wire.RunInfo("p", "n", 1)
    store.post(wire.Flush(wire.VERSION, "alerted00001", "stream00", 1, 1, info))
    new = [alerts.New("nan train 3", "nan", send=True, details={"value": "NaN", "by": "batch", "first": 3})]
    for _ in range(2):  # what is recorded twice is one alert
        store.writer.submit(
            lambda connection: alerts.record(connection, "alerted00001", new, {}, [("hook", "h")], 1_000)
        ).result()
