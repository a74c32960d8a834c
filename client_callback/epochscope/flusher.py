"""The two threads behind a run: one turns what was recorded into numbered flushes and spools them, one delivers them.

Training never waits for them, and the first never for the second: it gathers once a second, sooner when much has come
together or somebody looks at the run, however long a service takes to answer; and when nothing is recorded it spools an
empty flush every 5 seconds, so that the service can tell a quiet training from a dead one.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable

import msgspec

from epochscope import endings, wire
from epochscope.bell import Bell
from epochscope.console import News
from epochscope.console import say as say
from epochscope.pauses import Pauses
from epochscope.recording import Contents, Recording
from epochscope.sender import Delivery, State
from epochscope.spool import Spool

GATHER_S = 1.0
HEARTBEAT_S = 5.0
END_WAIT_S = 5.0  # for acknowledgements, when a run ends and again when the interpreter does
OF_MACHINE = "system/"  # series of the machine's load, which goes on whether or not the training does
_SOONEST_S = 0.25
_MOST_ERRORS = 10
_HURRY_S = 0.1  # between attempts while someone waits
_LINGER_S = 1.0  # for the sender to close its connection


class Flusher:
    """Empties a recording into a spool and a spool into the service, from ``start()`` until all is sent."""

    def __init__(self, spool: Spool, delivery: Delivery, greeting: str, news: News) -> None:
        self.recording = Recording(self._hasten)
        self._news = news
        self._pauses = Pauses()
        self._stalled_s = 0.0
        self._begun: set[wire.Split] = set()  # splits of which there was a batch
        self._spool = spool
        self._delivery = delivery
        self._greeting = greeting
        self._wake = Bell()
        self._settled = threading.Event()  # nothing more can be done for now
        self._hurry_until = 0.0  # time.monotonic(): someone waits for the service to have everything
        self._hurried_at = 0  # how many attempts to send there were by then
        self._attempts = 0
        self._in_vain = False  # the last one, and another at once would be, too
        self._due = threading.Event()  # for the sender: there may be something to send
        self._started = False
        self._over = False
        self._ended = False  # the last flush is spooled
        self._info: wire.RunInfo | None = None
        self._owed = Contents()  # of flushes for which there was no room: all but numbers by batch
        self._dropped = 0
        self._told_missing: dict[str, str] = {}  # to the service, in the run's environment
        self._told_lost = self._told_thinned = False  # to the person
        self._gathered_at = 0.0
        self._sent_at = 0.0
        self._told_trouble = False
        self._thread = threading.Thread(target=self._work, name="epochscope", daemon=True)
        self._sender = threading.Thread(target=self._repeat, args=(self._send,), name="epochscope-sender", daemon=True)
        self._pid = os.getpid()

    def start(self) -> None:
        """Where no thread can be started nothing is recorded, and that is said."""
        _living.add(self)
        try:
            self._sender.start()
            self._thread.start()
            self._started = True
        except RuntimeError as error:
            _living.discard(self)
            self._over = True  # for the sender, should it be there
            self._due.set()
            self.recording.silence()
            say(f"nothing is recorded, as no thread can be started here ({error}); training is not affected")

    @property
    def done(self) -> bool:
        """Everything is acknowledged, or nothing more will be."""
        return self._started and not self._thread.is_alive()

    def settle(self, timeout_s: float) -> bool:
        """Sends at once what there is and waits for it; not where the service can't be reached.

        Returns whether everything is acknowledged.
        """
        if self._pid != os.getpid() or self.done or not self._started:
            return self.done
        self._settled.clear()
        self._hurried_at = self._attempts
        self._hurry_until = time.monotonic() + timeout_s
        self._wake.set()
        self._settled.wait(timeout_s)
        if self._ended and not len(self._spool):
            self._thread.join(timeout_s)
        return self.done

    def waiting(self) -> int:
        """How many flushes are not acknowledged."""
        return len(self._spool)

    def tell_backlog(self) -> None:
        """Says what the end of the process leaves unsent."""
        if self._delivery.state is State.GONE or not len(self._spool):
            return
        lost = self._spool.in_memory()
        saved = len(self._spool) - lost
        if saved:
            say(f"{saved:,} updates not yet sent, saved in {self._spool.folder}; `epochscope sync` sends them")
        if lost:
            say(f"{lost:,} updates could be neither sent nor saved; they are lost")

    def forked(self) -> None:
        """This is a copy in a forked child: it records nothing, and lets go of what is the parent's."""
        self.recording.silence()
        self._spool.let_go()
        self._delivery.connection.let_go()

    def _hasten(self) -> None:
        self._wake.set()

    def _work(self) -> None:
        say(self._greeting)
        self._repeat(self._turn)
        self._over = True
        self._due.set()
        self._sender.join(_LINGER_S)
        self._spool.close()
        _living.discard(self)
        self._settled.set()

    def _repeat(self, turn: Callable[[], bool]) -> None:
        """Does ``turn`` until it says that there is nothing left to do, ever."""
        errors = 0
        while True:
            try:
                if turn():
                    return
            except Exception as error:
                errors += 1
                if "PYTEST_CURRENT_TEST" in os.environ:
                    raise
                if errors >= _MOST_ERRORS:
                    say(f"switched itself off after {errors} internal errors ({error!r}); training goes on")
                    self._over = True
                    return
                time.sleep(GATHER_S)

    def _turn(self) -> bool:
        """Whatever is due now, then sleeps until something is; True when there is nothing left to do, ever."""
        now = time.monotonic()
        hurry = now < self._hurry_until
        if hurry or now - self._gathered_at >= (_SOONEST_S if self._wake.is_set() else self._pace_s()):
            self._wake.clear()
            self._gathered_at = now
            self._gather()
        self._spool.tend(now=self._ended)
        if len(self._spool):
            self._due.set()
        self._tell_trouble()
        if self._over or self._delivery.state is State.GONE or (self._ended and not len(self._spool)):
            return True
        if hurry and (not len(self._spool) or (self._in_vain and self._attempts > self._hurried_at)):
            self._hurry_until = 0.0
            self._settled.set()
        self._sleep()
        return False

    def _sleep(self) -> None:
        now = time.monotonic()
        if now < self._hurry_until:
            self._wake.wait(_HURRY_S)  # the sender says when it has made an attempt
            return
        woken = self._wake.wait(max(self._gathered_at + self._pace_s() - now, 0.0))
        if woken and time.monotonic() >= self._hurry_until:
            # Much has come together: sooner than usual, but not without a pause.
            time.sleep(max(self._gathered_at + _SOONEST_S - time.monotonic(), 0.0))

    def _pace_s(self) -> float:
        """How long to gather: where nobody looks, what comes a little later costs less."""
        return _SOONEST_S if self._delivery.watched else GATHER_S

    def _send(self) -> bool:
        """One attempt of the sender, if there is anything to send and it is time to; True when all is over."""
        self._due.clear()
        if self._over or self._delivery.state is State.GONE:
            self._delivery.connection.close()
            return True
        now = time.monotonic()
        hurry = now < self._hurry_until
        wait = 0.0 if hurry else self._delivery.try_again_at - now
        if not len(self._spool) or wait > 0:
            self._due.wait(min(wait, GATHER_S) if len(self._spool) else GATHER_S)
            return False
        watched = self._delivery.watched
        sent = self._delivery.send_oldest()
        if sent:
            self._sent_at = time.monotonic()
        self._in_vain = not sent and self._delivery.hopeless
        self._attempts += 1
        hurry = time.monotonic() < self._hurry_until
        if hurry or self._ended or self._delivery.watched > watched:
            self._wake.set()  # there may be nothing left to do, or somebody who waits
        if hurry and not sent:
            time.sleep(_HURRY_S)  # then again: it is worth the rest of the time that settle() waits
        return False

    def _gather(self) -> None:
        while not self._ended and (contents := self.recording.take()) is not None:
            self._note_pace(contents)
            self._stalled_s = 0.0
            self._keep(contents)
        self._stalled_s = float(round(self._pauses.look()))
        if (now_missing := self._missing()).keys() - self._spool.meta.missing.keys():
            self._spool.meta.missing = now_missing  # for whoever sends it, should we die
            self._spool.keep_meta()
        quiet = not len(self._spool) and time.monotonic() - self._sent_at >= HEARTBEAT_S
        # What is missing is told when all the rest has arrived; at the end it goes with the end.
        missing = not len(self._spool) and now_missing != self._told_missing
        if self._owed != Contents() or ((quiet or missing) and not self._ended):
            self._keep(Contents())

    def _note_pace(self, contents: Contents) -> None:
        told = {
            series.split for series in contents.series if series.by != "run" and not series.key.startswith(OF_MACHINE)
        }
        told |= {counts.split for counts in contents.confusion}
        if told or (contents.spans and self._begun):
            self._pauses.went_on()
        for span in contents.spans:  # the first batch of a split may have to wait for a compiler
            self._pauses.expect(batches=not span.stop and span.split in self._begun)
        self._begun |= told

    def _missing(self) -> dict[str, str]:
        """What did not reach the service and never will, as entries of the run's environment."""
        if self._spool.words_refused:  # such a word would be refused, too, and be counted, and so on
            return {}
        dropped = self._dropped + self.recording.dropped
        return self._spool.missing() | ({wire.DROPPED: f"{dropped:,}"} if dropped else {})

    def _keep(self, contents: Contents) -> None:
        """Spools one flush. Where there is no room its numbers by batch are dropped, never the rest."""
        if contents.info is not None:
            self._info = contents.info
            self._spool.keep_meta(contents.info)
        owed, self._owed = self._owed, Contents()
        contents.info = contents.info or owed.info
        contents.spans = owed.spans + contents.spans
        contents.series = owed.series + contents.series
        contents.end = contents.end or owed.end
        missing = self._missing()
        if self._info is not None and missing and (contents.info or contents.end or not len(self._spool)):
            environment = {**self._info.environment, **missing}
            contents.info = msgspec.structs.replace(contents.info or self._info, environment=environment)
        first = self._spool.next_seq == 1
        flush = wire.Flush(
            version=wire.VERSION,
            run=self._spool.meta.run,
            stream=self._spool.meta.stream,
            seq=self._spool.next_seq,
            sent_ms=int(time.time() * 1000),
            info=contents.info or (self._info if first else None),
            series=contents.series,
            confusion=contents.confusion,
            spans=contents.spans,
            end=contents.end,
            next_in_s=HEARTBEAT_S,
            stalled_s=self._stalled_s,
        )
        if self._spool.put(wire.encode(flush)):
            self._ended = contents.end is not None
            if contents.info is not None:
                self._told_missing = missing
        else:
            kept = [series for series in contents.series if series.by != "batch"]
            self._owed = Contents(contents.info, kept, [], contents.spans, contents.end)
            self._dropped += contents.points() - self._owed.points()

    def _tell_trouble(self) -> None:
        self._news.tend()
        trouble = self._spool.trouble
        if trouble is None and self._told_trouble:
            lost = f"; {self._dropped:,} numbers were dropped meanwhile" if self._dropped else ""
            self._news(f"{self._spool.root} can be written again{lost}")
        elif trouble is not None and not self._told_trouble:
            self._news(f"cannot save updates in {self._spool.root} ({trouble}); keeping the last 16 MiB in memory")
        elif (self._dropped or self.recording.dropped) and not self._told_dropped:
            self._news(
                "the memory for unsent updates is full; numbers by batch recorded from now on are dropped and counted"
            )
            self._told_dropped = True
        self._told_trouble = trouble is not None
        if self._spool.thinned and not self._told_thinned:
            self._news(
                "the backlog has reached its bound: of the oldest values by batch one of two is kept; "
                "values by epoch and confusion counts are kept whole"
            )
            self._told_thinned = True
        if self._spool.lost and not self._told_lost:
            self._news(f"saved updates in {self._spool.folder} were damaged and are lost; everything else goes on")
            self._told_lost = True

    _told_dropped = False


_living: set[Flusher] = set()


def _at_exit() -> None:
    for flusher in _settled(END_WAIT_S):
        flusher.tell_backlog()


def _at_term(timeout_s: float) -> None:
    _settled(timeout_s)


def _settled(timeout_s: float) -> list[Flusher]:
    """Has all flushers send what they have, and waits for all of them; those that were not done by then."""
    deadline = time.monotonic() + timeout_s
    here = [flusher for flusher in list(_living) if flusher._pid == os.getpid()]
    return [flusher for flusher in here if not flusher.settle(max(deadline - time.monotonic(), 0.0))]


def _in_child() -> None:
    for flusher in list(_living):
        flusher.forked()
    _living.clear()


atexit.register(_at_exit)
endings.at_term.append(_at_term)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
