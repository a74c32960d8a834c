"""Who may ask: the Host and Origin rules, and the headers on every answer."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import pytest
from stage import Service, Training

PATHS = ["/", "/runs/x", "/api/docs", "/api/openapi.json", "/api/v1/health", "/api/v1/runs", "/nothing", "/docs.js"]


def raw(service: Service, head: str) -> str:
    """The service's answer to exactly these lines."""
    port = urlsplit(service.url).port or 0
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall((head.replace("\n", "\r\n") + "\r\n\r\n").encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts).decode("latin-1")


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_carries_the_policy(service: Service, path: str) -> None:
    headers = service.client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe-eval" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "cache-control" in headers
    assert "server" not in headers
    assert not [name for name in headers if name.startswith("access-control")]


def test_refused_hosts_get_the_headers_too(service: Service) -> None:
    assert "content-security-policy" in raw(service, "GET / HTTP/1.1\nHost: evil.example\nConnection: close").lower()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost:8888", "LOCALHOST", "[::1]:7010"])
@pytest.mark.parametrize("path", ["/", "/api/v1/health"])
def test_loopback_names_are_answered_whatever_the_port(service: Service, host: str, path: str) -> None:
    assert raw(service, f"GET {path} HTTP/1.1\nHost: {host}\nConnection: close").startswith("HTTP/1.1 200")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.1@evil.example", "0.0.0.0:7010",
     "2130706433", "127.1", "[::]", "", "127.0.0.1:", "127.0.0.1:70101234", "localhost\nHost: localhost",
     "evil.example\nHost: localhost", "localhost/", "xlocalhost"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/api/v1/health", "/api/v1/live", "/docs.js"])
def test_any_other_host_is_refused(service: Service, host: str, path: str) -> None:
    assert raw(service, f"GET {path} HTTP/1.1\nHost: {host}\nConnection: close").startswith("HTTP/1.1 400")


def test_a_request_without_a_host_is_refused(service: Service) -> None:
    assert raw(service, "GET / HTTP/1.0").startswith("HTTP/1.1 400")


@pytest.mark.parametrize(
    "lines",
    [
        "GET http://127.0.0.1/ HTTP/1.1\nHost: 127.0.0.1",
        "GET http://evil.example/ HTTP/1.1\nHost: 127.0.0.1",
        "GET evil HTTP/1.1\nHost: 127.0.0.1",
        "OPTIONS * HTTP/1.1\nHost: 127.0.0.1",
        "CONNECT 127.0.0.1:80 HTTP/1.1\nHost: 127.0.0.1",
        "POST / HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 1\nContent-Length: 2",
        "POST / HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 2\nTransfer-Encoding: chunked",
        "POST / HTTP/1.1\nHost: 127.0.0.1\nTransfer-Encoding: chunked\nContent-Length: 2",
        "POST / HTTP/1.1\nHost: 127.0.0.1\nContent-Length: +2",
        "POST / HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 2, 2",
        "POST / HTTP/1.1\nHost: 127.0.0.1\nTransfer-Encoding: gzip",
        "GET / HTTP/1.1\nHost: 127.0.0.1\nOdd name: x",
        "GET / HTTP/1.1\nHost : 127.0.0.1",
        "GET / HTTP/1.1\nHost: 127.0.0.1\n folded: x",
        "GET / HTTP/1.1\nHost: 127.0.0.1\nX: a\0b",
        "GET / HTTP/3.7\nHost: 127.0.0.1",
        "GET / \nHost: 127.0.0.1",
        "\x16\x03\x01\x02\0\x01\0\x01",
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(service: Service, lines: str) -> None:
    answer = raw(service, lines)
    assert answer.startswith("HTTP/1.1 400"), answer
    assert answer.count("HTTP/1.1") == 1


@pytest.mark.parametrize("filler", ["X: " + "x" * 17_000, "\n".join(f"X{number}: x" for number in range(2500))])
def test_a_head_without_an_end_is_cut_off(service: Service, filler: str) -> None:
    assert raw(service, f"GET / HTTP/1.1\nHost: 127.0.0.1\n{filler}").startswith("HTTP/1.1 400")
    port = urlsplit(service.url).port or 0
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        sent = 0
        try:
            while sent < 1_000_000:
                sent += connection.send(b"x" * 10_000)
                time.sleep(0.001)
        except OSError:
            return
    pytest.fail("a megabyte of head was taken")


def test_a_head_near_the_limit_is_read(service: Service) -> None:
    line = f"GET /api/v1/health HTTP/1.1\nHost: 127.0.0.1\nConnection: close\nX: {'x' * 15_000}"
    assert raw(service, line).startswith("HTTP/1.1 200")


FOREIGN = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "cross-site", "origin": "SELF"},
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:1"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(("method", "path"), [("PATCH", ""), ("DELETE", ""), ("POST", "/streams/stream00/flushes")])
def test_foreign_pages_change_nothing(training: Training, headers: dict[str, str], method: str, path: str) -> None:
    training.send()
    told = {name: value.replace("SELF", training.service.url) for name, value in headers.items()}
    answer = training.service.ask(f"/runs/{training.run}{path}", method, headers=told)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "foreign_origin"
    assert training.get()["rev"] == 1


def test_our_own_page_may_change_things(training: Training) -> None:
    training.send()
    for headers in ({"sec-fetch-site": "same-origin"}, {"origin": training.service.url}, {}):
        answer = training.service.ask(f"/runs/{training.run}", "PATCH", json={"notes": "x"}, headers=headers)
        assert answer.status_code == 200


def test_foreign_pages_get_no_leave_to_read(service: Service) -> None:
    answer = service.client.options("/api/v1/runs", headers={"origin": "http://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
