"""Delivery: posts the flushes of a spool, oldest first, one at a time, and does what each reply calls for.

A flush is sent again until the service says that it is stored; the service stores each (run, stream, seq) once, so that
sending twice does no harm.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from enum import Enum
from urllib.parse import quote

from epochscope.connection import Connection, GarbledError
from epochscope.reply import Reply
from epochscope.spool import Spool
from epochscope.thinning import bare

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
        except OSError as error:
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
            except OSError as error:
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

    def _away(self, error: OSError) -> None:
        self.watched = False
        # A connection that broke is worth another try at once; one that was never made is not.
        self.hopeless = not isinstance(error, ConnectionResetError | BrokenPipeError | GarbledError)
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
