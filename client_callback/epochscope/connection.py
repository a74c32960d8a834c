"""The way to the service: one kept-alive connection, which posts and brings back the reply.

The only place of the training side that speaks HTTP.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import socket
import time
from typing import Any
from urllib.parse import quote, urlsplit

from epochscope import wire
from epochscope.reply import Reply

DEFAULT_URL = "http://127.0.0.1:7010"
CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 10.0
SLOWEST = 10_000  # bytes a second; over a line this slow a large flush gets through all the same
_MAX_REPLY = 64 * 1024


class GarbledError(ConnectionError):
    """What answers does not speak HTTP, or broke off in the midst of it."""


def chosen(url: str | None, token: str | None) -> tuple[str, str | None]:
    """Address and token of the service: as given, else ``$EPOCHSCOPE_URL`` and ``$EPOCHSCOPE_TOKEN``, else the service
    on this machine and none."""
    return url or os.environ.get("EPOCHSCOPE_URL") or DEFAULT_URL, token or os.environ.get("EPOCHSCOPE_TOKEN")


class _Timely(io.RawIOBase):
    """What a socket receives within its time-out, in all: the time-out alone would begin anew with each byte."""

    def __init__(self, raw: io.RawIOBase, source: socket.socket) -> None:
        self._raw = raw
        self._source = source
        self._until = time.monotonic() + (source.gettimeout() or READ_TIMEOUT_S)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer does not come to its end")
        self._source.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer that is whole in time, or none."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.fp = io.BufferedReader(_Timely(self.fp.detach(), sock))


class Connection:
    """One kept-alive connection to the service. Follows no redirect and uses no proxy."""

    def __init__(self, url: str, token: str | None) -> None:
        if not isinstance(url, str):
            raise TypeError(f"url must be a string such as {DEFAULT_URL}, not {url!r}")
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port
            (parts.hostname or "").encode("idna")  # a name that could never be looked up
        except ValueError:
            raise ValueError(f"url must look like http://host:port, not {url!r}") from None
        if parts.username is not None:
            raise ValueError("url must not hold a user or a password, which others would see; say a token by token=")
        if parts.scheme not in ("http", "https") or not parts.hostname or not _is_plain(parts.netloc):
            raise ValueError(f"url must look like http://host:port, not {url!r}")
        token = str(token).strip() if token else None  # that of a file ends with its line
        if token and not (token.isascii() and token.isprintable()):
            raise ValueError("token must be one line of letters, digits and signs of ASCII")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._https = parts.scheme == "https"
        self._host = parts.hostname
        self._port = port
        self._path = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        self._token = token
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: bytes) -> Reply:
        """Posts ``body``.

        Raises:
            OSError: the service can't be reached; of them GarbledError: it does not speak HTTP.
        """
        kept = self._connection is not None
        try:
            return self._exchange(path, body)
        except ConnectionError:
            self.close()
            if not kept:
                raise
        # The service may have closed a connection that was idle; only a fresh one proves it away.
        try:
            return self._exchange(path, body)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def let_go(self) -> None:
        """Closes the socket without a word: in a forked child, where the parent goes on with it."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                os.close(connection.sock.detach())

    def _exchange(self, path: str, body: bytes) -> Reply:
        connection = self._connection
        if connection is None:
            kind = http.client.HTTPSConnection if self._https else http.client.HTTPConnection
            connection = kind(self._host, self._port, timeout=CONNECT_TIMEOUT_S)
            connection.response_class = _Response
            connection.connect()
            self._connection = connection
        elif connection.sock is None:  # the service closed it after the last answer, and said so
            connection.connect()
        connection.sock.settimeout(READ_TIMEOUT_S + len(body) / SLOWEST)
        headers = {"Content-Type": wire.CONTENT_TYPE, "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request("POST", self._path + path, body, headers)
            response = connection.getresponse()
            text = response.read(_MAX_REPLY)
        except OSError:
            self.close()
            raise
        except http.client.HTTPException as error:
            self.close()
            raise GarbledError(repr(error)) from error
        if not response.isclosed():  # a longer reply than any of the service's
            self.close()
        name, watched = wire.WATCHED
        return Reply.of(response.status, text, response.getheader("Retry-After"), response.getheader(name) == watched)


def _is_plain(netloc: str) -> bool:
    return netloc.isprintable() and " " not in netloc
