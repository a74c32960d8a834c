"""What any service changes in a database that several share: told by it, and looked up in case it does not."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from epochscope_server.errors import PublicError
from epochscope_server.store import runs
from epochscope_server.store.database import Channel, Database

POLL_S = 0.5  # a look without having been told: what stands between us and the server may not pass notices on
BREATH_S = 0.05  # between looks, however much is told


class Follower:
    """Gives ``tell`` every change from now on, of this service and of others, in the order of their numbers.

    A change is announced after its commit and on a connection of its own: a notice within a transaction makes all
    commits of the server wait for each other. The notice says nothing; what changed is looked up.
    """

    def __init__(self, database: Database, tell: Callable[[Sequence[runs.Change]], object]) -> None:
        self._database = database
        self._tell = tell
        with database.read() as connection:
            self._seen = runs.latest_change(connection)
        self._channel: Channel | None = None
        self._bell, self._rope = socket.socketpair()
        for end in (self._bell, self._rope):
            end.setblocking(False)
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="epochscope-follower", daemon=True)
        self._thread.start()

    def announce(self) -> None:
        """Something was committed here."""
        with contextlib.suppress(BlockingIOError):  # then it rings already
            self._rope.send(b"x")

    def close(self) -> None:
        self._closing = True
        self.announce()
        self._thread.join()
        self._bell.close()
        self._rope.close()

    def _work(self) -> None:
        while not self._closing:
            try:
                self._wait()
            except OSError:
                self._hang_up()  # it is opened again before the next wait
                time.sleep(POLL_S)
            self._look()
            time.sleep(BREATH_S)
        self._hang_up()

    def _wait(self) -> None:
        """Until something was changed, here or elsewhere, or it is time for a look."""
        if self._channel is None:
            self._channel = self._database.channel()
        watched: list[Any] = [self._bell, self._channel]
        rung, _, _ = select.select(watched, [], [], POLL_S)
        if self._bell in rung:
            with contextlib.suppress(BlockingIOError):
                while self._bell.recv(4096):
                    pass
            self._channel.announce()
        if self._channel in rung:
            self._channel.drain()

    def _look(self) -> None:
        try:
            with self._database.read() as connection:
                changes = runs.changed_since(connection, self._seen)
        except PublicError:  # it is away; what changes meanwhile is found when it is back
            time.sleep(POLL_S)
            return
        if changes:
            self._seen = changes[-1].number
            self._tell(changes)

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
