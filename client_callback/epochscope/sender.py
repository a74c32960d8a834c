"""Delivery: posts the flushes of a spool, oldest first, one at a time, and does what each reply calls for.

The only place of the training side that speaks HTTP. A flush is sent again until the service says that it is
stored; the service stores each (run, stream, seq) once, so that sending twice does no harm.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import random
import socket
import time
from collections.abc import Callable
from enum import Enum
from typing import Any
from urllib.parse import quote, urlsplit

from epochscope import wire
from epochscope.reply import Reply
from epochscope.spool import Spool
from epochscope.thinning import bare

DEFAULT_URL = "http://127.0.0.1:7010"
CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 10.0
SLOWEST = 10_000  # bytes a second; over a line this slow a large flush gets through all the same
_MAX_REPLY = 64 * 1024
_SLOW_RETRY_S = 60.0
_PUT_OFF_S = 10.0  # a service may say "later" for so long before it is worth a line
_MAX_RETRY_AFTER_S = 300.0
_dice = random.Random()  # of our own: Keras shuffles by Python's shared stream, which must not know of our failures
_NEVER = (400, 413, 415, 422)  # this flush, as it is, will never be taken


class State(Enum):
    """How the service was last found."""

    UNKNOWN = "not asked yet"
    CONNECTED = "connected"
    AWAY = "away"  # can't be reached
    TROUBLED = "troubled"  # answers, but not as it should
    REFUSED = "refused"  # takes no flush of ours: token, version, address
    GONE = "gone"  # the run was deleted there


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
            OSError, http.client.HTTPException: the service can't be reached or does not speak HTTP.
        """
        kept = self._connection is not None
        try:
            return self._exchange(path, body)
        except (ConnectionError, http.client.HTTPException):
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
        if not response.isclosed():  # a longer reply than any of the service's
            self.close()
        name, watched = wire.WATCHED
        return Reply.of(response.status, text, response.getheader("Retry-After"), response.getheader(name) == watched)


def _is_plain(netloc: str) -> bool:
    return netloc.isprintable() and " " not in netloc


class Delivery:
    """Sends what a spool holds and says, one line for each change, how it goes."""

    def __init__(self, spool: Spool, connection: Connection, say: Callable[[str], None], meanwhile: str = "") -> None:
        self.spool = spool
        self.connection = connection
        self.state = State.UNKNOWN
        self.sent = 0
        self.try_again_at = 0.0  # time.monotonic()
        self.hopeless = False  # another attempt at once would fail as the last one did
        self.watched = False  # the service says that somebody looks at the run
        self._say = say
        self._meanwhile = meanwhile or (
            f"training goes on, updates are saved in {spool.root} and sent when it is back (or by `epochscope sync`)"
        )
        self._failures = 0
        self._last_refusal = ""
        self._told = False  # the last word at the console is that updates do not get through
        self._put_off_since: float | None = None  # time.monotonic()

    def send_oldest(self) -> bool:
        """One attempt. True if the service has taken the flush; else ``try_again_at`` says when to go on."""
        try:
            oldest = self.spool.oldest()
        except OSError as error:
            self._say(f"a saved update can't be read back: {error}")
            self._back_off(State.TROUBLED)
            return False
        if oldest is None or self.state is State.GONE:
            return False
        self.hopeless = False
        seq, body = oldest
        try:
            reply = self._post(body)
        except (OSError, http.client.HTTPException) as error:
            self._away(error)
            return False
        self.watched = reply.watched
        return self._react(seq, body, reply)

    def _post(self, body: bytes) -> Reply:
        meta = self.spool.meta
        return self.connection.post(f"/api/v1/runs/{quote(meta.run)}/streams/{quote(meta.stream)}/flushes", body)

    def _react(self, seq: int, body: bytes, reply: Reply) -> bool:
        if reply.status == 200:
            acked = reply.content.get("acked")
            if type(acked) is int and acked >= seq:  # never believed beyond what this post held
                self._stored()
                return True
            self._troubled(f"something else than epochscope answers at {self.connection.url}")
        elif reply.status == 409:
            self._out_of_step(seq, reply)
        elif reply.status in _NEVER:
            return self._set_aside(body, reply)
        elif reply.status == 410:
            self.state = State.GONE
            self._say("the run was deleted on the service; nothing more of it is sent")
        elif reply.status in (401, 403, 404, 405, 426):
            self._refused(reply)
        elif reply.status in (429, 503) and reply.retry_after_s is not None:
            self._put_off(reply)
            wait = min(reply.retry_after_s, _MAX_RETRY_AFTER_S) * _dice.uniform(1.0, 1.2)
            self._back_off(State.TROUBLED)  # a service that always says "at once" is not asked in a loop
            self.try_again_at = max(self.try_again_at, time.monotonic() + wait)
        else:
            self._troubled(f"{self.connection.url} answers {reply.message}")
        return False

    def _stored(self) -> None:
        self.spool.acknowledged()
        self.sent += 1
        self._failures = 0
        self.try_again_at = 0.0
        self.hopeless = False
        if self._told:
            waiting = f", {len(self.spool) + 1:,} saved updates are sent now" if len(self.spool) else ""
            self._say(f"connected to {self.connection.url}{waiting}")
        self.state = State.CONNECTED
        self._told = False
        self._put_off_since = None

    def _out_of_step(self, seq: int, reply: Reply) -> None:
        """The service knows this stream otherwise (409): what is left goes on as a new stream."""
        if reply.code == "conflict":
            self._say("the service holds other updates under the same numbers; going on as a new stream")
        elif reply.expected is not None and reply.expected < seq:
            if not self.spool.lost:  # else it is we who lost them, and that was said
                self._say(
                    f"the service has lost updates {reply.expected} to {seq - 1} that it had stored; "
                    "going on as a new stream"
                )
        else:
            self._troubled(f"{self.connection.url} answers {reply.message}")
            return
        self.spool.renumber()
        self._back_off(State.TROUBLED)

    def _set_aside(self, body: bytes, reply: Reply) -> bool:
        """A flush the service will never take. Its number must not be missing, so a thinner one takes it."""
        for words, thinner in zip((True, False), bare(body), strict=True):
            try:
                second = self._post(thinner)
            except (OSError, http.client.HTTPException) as error:
                self._away(error)
                return False
            if second.status == 200:
                self.spool.words_refused |= not words
                rejected = self.spool.folder / "rejected"
                kept = self.spool.set_aside(body, reply.message)
                where = f"it lies in {rejected}" if kept else f"it could not be saved in {rejected} and is lost"
                self._say(
                    f"the service refused an update: {reply.message}; {where} ({self.spool.rejected} so far); "
                    "everything else goes on"
                )
                self._stored()
                return True
            if second.status not in _NEVER:
                self._troubled(f"{self.connection.url} answers {second.message}")
                return False
        self._refused(reply)  # not even an empty one: then it is not the content
        return False

    def _away(self, error: Exception) -> None:
        self.watched = False
        # A connection that broke is worth another try at once; one that was never made is not.
        self.hopeless = not isinstance(error, ConnectionResetError | BrokenPipeError | http.client.HTTPException)
        if self.state is not State.AWAY:
            self._say(f"no service at {self.connection.url}; {self._meanwhile}")
            self._told = True
        self._back_off(State.AWAY)

    def _troubled(self, what: str) -> None:
        if self.state not in (State.TROUBLED, State.AWAY) or not self._told:
            self._say(f"{what}; {self._meanwhile}")
            self._told = True
        self._back_off(State.TROUBLED if self.state is not State.AWAY else State.AWAY)

    def _put_off(self, reply: Reply) -> None:
        """The service is busy, which is worth no line unless it stays so: its disk may be full."""
        now = time.monotonic()
        self._put_off_since = now if self._put_off_since is None else self._put_off_since
        if not self._told and now - self._put_off_since >= _PUT_OFF_S:
            self._say(f"{self.connection.url} takes no updates at present: {reply.message}; {self._meanwhile}")
            self._told = True

    def _refused(self, reply: Reply) -> None:
        if self.state is not State.REFUSED or self._last_refusal != reply.message:
            hint = "; set $EPOCHSCOPE_TOKEN or token=" if reply.status in (401, 403) else ""
            self._say(f"{self.connection.url} refuses the updates: {reply.message}{hint}; {self._meanwhile}")
            self._told = True
        self._last_refusal = reply.message
        self.hopeless = True
        self.state = State.REFUSED
        self.try_again_at = time.monotonic() + _SLOW_RETRY_S

    def _back_off(self, state: State) -> None:
        self.state = state
        self.try_again_at = time.monotonic() + _dice.uniform(0.0, min(30.0, 0.5 * 2.0**self._failures))
        self._failures = min(self._failures + 1, 10)
