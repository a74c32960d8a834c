"""The thread that carries alerts to webhooks: few requests, each alert at most once, again only where it was not taken.

An alert is taken out of the store before it is posted. Where the answer says that it was not accepted, or nobody could
be reached, it goes back and is tried again after 10 s, 1 min, 5 min, 30 min and 2 h; where there was no answer it may
have arrived, and is left. Whoever would rather be told twice than never asks the list of alerts.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence

from epochscope_server.alerts.messages import TOGETHER
from epochscope_server.alerts.webhooks import WHOLE_S, Webhook, send
from epochscope_server.errors import BusyError
from epochscope_server.store import alert_posts
from epochscope_server.store.database import Database
from epochscope_server.store.writer import Writer

GAP_S = 10.0  # between two requests to one webhook; what is found meanwhile goes together
TICK_S = 5.0  # between looks for what is due
CLEAR_S = 60.0  # between looks for what can't be sent any more
PAUSES_S = (10.0, 60.0, 300.0, 1800.0, 7200.0)  # before what was not taken is tried again; then it is given up

_log = logging.getLogger(__name__)


class Courier:
    """Carries to ``webhooks`` while ``leads`` says that this service does; ``base`` is its address for links."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        webhooks: Sequence[Webhook],
        leads: Callable[[], bool],
        base: str | None,
    ) -> None:
        self._database, self._writer = database, writer
        self._webhooks, self._leads, self._base = webhooks, leads, base
        self._free = dict.fromkeys((one.fingerprint for one in webhooks), 0.0)  # when the next request may go
        self._clear_at = 0.0
        self._bell, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="epochscope-courier", daemon=True)
        if webhooks:
            self._thread.start()

    def wake(self) -> None:
        """There may be something to send."""
        self._bell.set()

    def close(self) -> None:
        """Stop after the request at hand."""
        self._closing.set()
        self._bell.set()
        if self._webhooks:
            self._thread.join()

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                if self._leads():
                    self._round()
            except BusyError:
                pass  # flushes come first
            except Exception:
                _log.exception("alerts can't be sent now; it is tried again")
            waits = [free - time.monotonic() for free in self._free.values()]
            self._bell.wait(min([TICK_S, *(wait for wait in waits if wait > 0)]))
            self._bell.clear()

    def _round(self) -> None:
        if time.monotonic() >= self._clear_at:
            # What another service had in hand when it went is left, once its own limit is over.
            self._clear_at = time.monotonic() + CLEAR_S
            known, limit_ms = [one.fingerprint for one in self._webhooks], int(4000 * WHOLE_S)
            clear = functools.partial(alert_posts.clear, webhooks=known, now_ms=_now_ms(), sending_ms=limit_ms)
            self._writer.submit(clear, changes_runs=False).result()
        for webhook in self._webhooks:
            if time.monotonic() >= self._free[webhook.fingerprint] and not self._closing.is_set():
                self._carry(webhook)

    def _carry(self, webhook: Webhook) -> None:
        name = webhook.fingerprint
        with self._database.read() as connection:
            if not alert_posts.due(connection, name, _now_ms()):
                return
        take = functools.partial(alert_posts.take, webhook=name, now_ms=_now_ms(), most=TOGETHER)
        posts = self._writer.submit(take, changes_runs=False).result()
        if not posts:
            return
        outcome = send(webhook, [post.told for post in posts], self._base)
        self._free[name] = time.monotonic() + max(GAP_S, outcome.pause_s)
        state, next_ms, says = outcome.state, 0, outcome.says
        tries = max(post.tries for post in posts)
        if state == "waiting" and tries > len(PAUSES_S):
            state, says = "failed", f"{says}; given up after {tries} tries"
        elif state == "waiting":
            next_ms = _now_ms() + int(1000 * max(PAUSES_S[tries - 1], outcome.pause_s))
        if state != "sent":
            _log.warning("%d alerts to the webhook at %s: %s", len(posts), webhook.host, says)
        self._writer.submit(
            lambda connection: alert_posts.settle(connection, name, posts, state, says, next_ms), changes_runs=False
        ).result()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
