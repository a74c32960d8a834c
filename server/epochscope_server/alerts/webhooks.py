"""The only requests that this service makes: alerts, to addresses that its operator has set up.

An address holds a secret mostly. It is never shown, logged, kept in the store or part of an error: people see its host,
the store a fingerprint.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from epochscope import __version__

from epochscope_server.alerts.messages import as_json, as_slack
from epochscope_server.errors import StartError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST = 8  # webhooks
WAIT_S = 5.0  # for a connection, and for each part of an answer
WHOLE_S = 15.0  # for all of it, however slowly an answer drips in
LATER = (408, 425, 429, 500, 502, 503)  # answers after which it was not taken, and may be later


@dataclass(frozen=True)
class Webhook:
    """``style`` is "json" or "slack"."""

    style: str
    url: str = field(repr=False)

    @property
    def host(self) -> str:
        return str(urlsplit(self.url).hostname)

    @property
    def fingerprint(self) -> str:
        return hashlib.blake2b(self.url.encode(), digest_size=12).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What became of a post. ``state``: "sent"; "waiting": not taken, may be tried again after ``pause_s``; "failed":
    never will be; "unanswered": it may have arrived, so it is not sent again."""

    state: str
    says: str
    pause_s: float = 0.0


def read(given: str | None, file: str | None) -> tuple[Webhook, ...]:
    """The webhooks of a setting, addresses with blanks between, and of a file, one a line, # for remarks.

    Raises:
        StartError: one can't be used. It says which by its place, and never what it is.
    """
    listed = [("--alert-webhook", text) for text in (given or "").split()]
    if file is not None:
        try:
            lines = Path(file).read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise StartError(f"--alert-webhook-file {file} can't be read: {why}") from None
        numbered = [(f"line {number} of {file}", line.strip()) for number, line in enumerate(lines, 1)]
        listed += [(where, text) for where, text in numbered if text and not text.startswith("#")]
    webhooks = tuple(dict.fromkeys(_webhook(where, text) for where, text in listed))
    if len(webhooks) > MOST:
        raise StartError(f"Alerts go to at most {MOST} webhooks, not {len(webhooks)}")
    return webhooks


def _webhook(where: str, text: str) -> Webhook:
    style, plus, rest = text.partition("+")
    url = rest if plus and style in ("slack", "json") else text
    if not (plus and style in ("slack", "json")):
        style = ""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise StartError(f"{where} is no address of a webhook") from None
    if not url.isascii() or any(ord(sign) <= 32 or ord(sign) == 127 for sign in url) or not host:
        raise StartError(f"{where} is no address of a webhook; it looks like https://hooks.example.org/...")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        raise StartError(f"{where}: a webhook starts with https://, or with http:// on this machine's loopback")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise StartError(f"{where}: a webhook's address has no user, password or fragment")
    return Webhook(style or ("slack" if host == "hooks.slack.com" else "json"), url)


def send(webhook: Webhook, alerts: Sequence[Mapping[str, Any]], base: str | None) -> Outcome:
    """Post ``alerts`` once; ``base`` is the address of this service for links. Never follows a redirect or a proxy."""
    body = (as_slack if webhook.style == "slack" else as_json)(alerts, base)
    parts = urlsplit(webhook.url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(str(parts.hostname), parts.port, timeout=WAIT_S, context=context)
    else:
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=WAIT_S)
    guard = threading.Timer(WHOLE_S, _cut, [connection])
    guard.daemon = True
    guard.start()
    try:
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:
            return Outcome("waiting", f"can't be reached: {_why(error)}")
        try:
            connection.request("POST", _target(webhook.url), body, _headers())
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            return Outcome("unanswered", f"did not answer ({_why(error)}); it may have arrived")
        return _judged(answer.status, answer.headers.get("retry-after", ""))
    finally:
        guard.cancel()
        connection.close()


def _target(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _headers() -> dict[str, str]:
    return {"content-type": "application/json", "user-agent": f"epochscope/{__version__}", "connection": "close"}


def _judged(status: int, retry_after: str) -> Outcome:
    if 200 <= status < 300:
        return Outcome("sent", f"taken ({status})")
    if status in LATER:
        pause = min(int(retry_after), 3600) if retry_after.isdecimal() and len(retry_after) < 8 else 0
        return Outcome("waiting", f"answered {status}", pause)
    if status == 504:
        return Outcome("unanswered", "answered 504; it may have arrived")
    more = "; redirects are not followed" if 300 <= status < 400 else ""
    return Outcome("failed", f"answered {status}{more}")


def _why(error: Exception) -> str:
    """In words, and none of them from the address or the answer."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, ssl.SSLError):
        return (
            "its certificate is not trusted" if isinstance(error, ssl.SSLCertVerificationError) else "no safe channel"
        )
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else type(error).__name__


def _cut(connection: http.client.HTTPConnection) -> None:
    """End a connection that takes too long, from another thread."""
    if (channel := connection.sock) is not None:
        with contextlib.suppress(OSError):  # it has ended by itself
            socket.socket.shutdown(channel, socket.SHUT_RDWR)  # past TLS, whose own goodbye would wait for an answer
