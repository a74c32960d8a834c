"""How tests seal: a service of this process at once, or a store without a service a step at a time."""

from __future__ import annotations

import asyncio
import gc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from epochscope import wire
from epochscope_server.store import log, runs, sealing
from epochscope_server.store.cache import Blocks
from epochscope_server.store.database import Database
from epochscope_server.store.sealer import Sealer
from epochscope_server.store.writer import Writer
from stage import Service, url_of


def seal(service: Service) -> None:
    """Have everything sealed that was acknowledged so far."""
    assert sealer(service).settle()


def sealer(service: Service) -> Sealer:
    """The sealer of a service of this process."""
    # By type, not isinstance: that would ask every object for its __class__, and a module's stand-in may warn at it.
    return next(one for one in gc.get_objects() if type(one) is Sealer and one._database.data_dir == service.data_dir)


class Store:
    """A store that seals only when it is told to."""

    def __init__(self, data_dir: Path, url: str | None = None) -> None:
        self.data_dir = data_dir
        self._url = url or url_of(data_dir)
        self._open()

    def _open(self) -> None:
        self.database = Database(self.data_dir, self._url)
        self.writer = Writer(self.database)
        self.blocks = Blocks()

    def post(self, flush: wire.Flush) -> log.Appended:
        body = wire.encode(flush)
        post = log.Posted(wire.decode(body), body, zlib.crc32(body), 1_700_000_000_000)
        return asyncio.run(self.writer.append(post))

    def run(self, uid: str) -> dict[str, Any]:
        with self.database.read() as connection:
            return runs.get(connection, uid)

    def worked_out(self, uid: str) -> sealing.Step | None:
        """The next step of a run, computed and not written."""
        number = self.run(uid)["id"]
        with self.database.read() as connection:
            step = sealing.read(connection, number)
        return None if step is None else sealing.worked_out(step)

    def write(self, step: sealing.Step) -> bool:
        return self.writer.submit(lambda connection: sealing.write(connection, step)).result()

    def seal(self, uid: str, steps: int = 1_000_000) -> None:
        for _ in range(steps):
            step = self.worked_out(uid)
            if step is None:
                return
            assert self.write(step)

    def ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """What a function of a connection answers in a transaction of its own."""
        with self.database.read() as connection:
            return question(connection, *arguments)

    def restart(self) -> None:
        self.close()
        self._open()

    def close(self) -> None:
        self.writer.close()
        self.database.close()
