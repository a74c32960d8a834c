"""The thread that looks at runs while they train, and records what their projects' rules find.

It hears of changes as viewers do, from the store, and never from a request: a flush is acknowledged whether or not
anybody looks. It takes at most a fiftieth of one processor for a run, and a tenth for many (see ``pace``); when more is
to be looked at, looks become rarer. Where several services share a store, one of them looks, and another when that one
is gone. What it finds has a name that does not depend on who finds it, or when, and is recorded once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from epochscope_server.alerts.look import Followed, Looker
from epochscope_server.alerts.rules import Rule, of_kept
from epochscope_server.alerts.watches import Watches
from epochscope_server.alerts.webhooks import Webhook
from epochscope_server.errors import BusyError, NotFoundError
from epochscope_server.pace import rest_s
from epochscope_server.store import alerts, confusion, runs
from epochscope_server.store.alerts import New
from epochscope_server.store.cache import Blocks
from epochscope_server.store.database import Database
from epochscope_server.store.writer import Writer

BREATH_S = 0.5  # between two rounds; changes that come together are looked at together
TICK_S = 2.0  # a round without having been told: for what other services store, and for runs that fall silent
LATELY_MS = 3_600_000  # at a start, those runs are looked at that were heard of in so long before
MATRIX = 2_000  # classes up to which it is said what a class was taken for

_log = logging.getLogger(__name__)


@dataclass
class _Run:
    """What is remembered of a run: what was last heard, whether it has to be looked at, and what it was found to be."""

    due: bool = True
    status: str = ""
    row: dict[str, Any] | None = None
    followed: Followed = field(default_factory=Followed)


class Alerter:
    """Looks at the runs of ``database`` until it is closed.

    Args:
        started_ms: when the service was started; before, nobody could be heard.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        kept: Blocks,
        watches: Watches,
        webhooks: Sequence[Webhook],
        started_ms: int,
    ) -> None:
        self._database, self._writer, self._kept, self._watches = database, writer, kept, watches
        self._webhooks = [(one.fingerprint, one.host) for one in webhooks]
        self.hosts = [one.host for one in webhooks]
        self._started_ms = started_ms
        self._looker = Looker(database, kept, watches)
        self._leading = alerts.Leading(database.readers, database.shared)
        self._runs: dict[str, _Run] = {}
        self._rules: dict[str, tuple[Rule, ...]] = {}
        self._seen: int | None = None  # the latest change that was looked up; None: nothing was
        self._leads = False
        self._bell, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="epochscope-alerter", daemon=True)

    def begin(self, tell: Callable[[runs.Change], object], sent: Callable[[], object]) -> None:
        """Start looking.

        Args:
            tell: called with each change of a run that it has recorded, from its own thread.
            sent: called when there may be something to be sent.
        """
        self._tell, self._sent = tell, sent
        self._thread.start()

    def wake(self) -> None:
        """Something was stored here. Costs next to nothing."""
        self._bell.set()

    def look_again(self) -> None:
        """Rules have changed: look at every run that is followed."""
        for run in list(self._runs.values()):
            run.due = True
        self.wake()

    def close(self) -> None:
        """Stop after the look at hand."""
        self._closing.set()
        self._bell.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._leading.close()

    @property
    def leads(self) -> bool:
        """Whether this service is the one that looks, as of its last round."""
        return self._leads

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                self._round()
            except BusyError:
                pass  # flushes come first; what was not looked at is looked at next time
            except Exception:
                _log.exception("looking for alerts failed; it is tried again")
            self._closing.wait(BREATH_S)
            self._bell.wait(TICK_S)
            self._bell.clear()

    def _round(self) -> None:
        self._leads = self._leading.now()
        if not self._leads:
            self._runs, self._seen = {}, None
            return
        with self._database.read() as connection:
            if self._seen is None:
                changes = alerts.heard_lately(connection, now_ms() - LATELY_MS)
                self._seen = runs.latest_change(connection)
            else:
                changes = runs.changed_since(connection, self._seen)
                self._seen = max([self._seen, *(change.number for change in changes)])
        for change in changes:
            if change.status == "deleted":
                known = self._runs.pop(change.uid, None)
                if known is not None and known.row is not None:
                    self._watches.forget(known.row["id"])
            else:
                self._runs.setdefault(change.uid, _Run()).due = True
        self._rules = {}
        now = now_ms()
        for uid, run in list(self._runs.items()):
            if self._closing.is_set():
                return
            if run.row is not None and runs.status(run.row, now, self._started_ms) != run.status:
                run.due = True  # it fell silent, or is heard again
            if run.due:
                self._look(uid, run, now)

    def _look(self, uid: str, run: _Run, now: int) -> None:
        began = time.thread_time()
        run.due = False
        try:
            with self._database.read() as connection:
                row = run.row = runs.get(connection, uid)
                known = alerts.known(connection, row["id"])
                if row["project"] not in self._rules:
                    self._rules[row["project"]] = of_kept(alerts.rules_of(connection, row["project"]))
            run.status = runs.status(row, now, self._started_ms)
            judged = run.status
            if judged in ("lost", "stalled") and row["heard_ms"] < self._started_ms - LATELY_MS:
                judged = "silent"  # it went while nobody listened, long ago; to tell it now is no news
            seen = self._looker.look(row, judged, self._rules[row["project"]], known, run.followed)
            there = {one.cause for one in known}
            new = [self._explained(row, one) for one in seen.new if one.cause not in there]
            if new or seen.over:
                self._record(uid, new, seen.over)
        except NotFoundError:
            self._runs.pop(uid, None)  # deleted meanwhile
            return
        except BusyError:
            run.due = True
            raise
        except Exception:
            run.followed = Followed()
            _log.exception("run %s can't be looked at for alerts; it is tried again with its next flush", uid)
        if row["status"] != "running" and not run.due:
            self._runs.pop(uid, None)  # what it comes to is recorded; news of it bring it back
            self._watches.forget(row["id"])
        self._closing.wait(rest_s(time.thread_time() - began, len(self._runs)))

    def _record(self, uid: str, new: list[New], over: dict[str, int | None]) -> None:
        found_ms = now_ms()
        change = self._writer.submit(
            lambda connection: alerts.record(connection, uid, new, over, self._webhooks, found_ms)
        ).result()
        if change is not None:
            self._tell(change)
            self._sent()

    def _explained(self, row: dict[str, Any], one: New) -> New:
        """With what the class was taken for: whose share of its samples grew most since before the fall."""
        output = next((at for at, known in enumerate(row["outputs"]) if known["name"] == one.output), None)
        if one.kind != "change" or one.split != "train" or output is None or row["outputs"][output].get("labels"):
            return one
        names = row["outputs"][output]["class_names"]
        if len(names) > MATRIX:
            return one
        index, length = names.index(one.class_name), one.stop - one.start
        shares = []
        for start, stop in ((max(1, one.start - 4 * length), one.start), (one.start, one.stop)):
            with self._database.read() as connection:
                window = confusion.fetch(connection, self._kept, row, output, "train", start, stop)
            line = window.matrix()[index].astype(float)
            shares.append(line / max(line.sum(), 1))
        grown = shares[1] - shares[0]
        grown[index] = 0.0
        if not grown.max() > 0:
            return one
        taken_for = names[int(grown.argmax())]
        return New(**{**vars(one), "details": {**one.details, "taken_for": taken_for}})


def now_ms() -> int:
    return time.time_ns() // 1_000_000
