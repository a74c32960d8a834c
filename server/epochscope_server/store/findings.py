"""What a look through a store found, and the two ways to its rows that every check uses."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from epochscope_server.store.formats import FormatError, content
from epochscope_server.store.schema import run

Mend = Callable[[sa.Connection], Any]


def next_revision(connection: sa.Connection, run_id: int) -> int:
    """A new revision of a run: whoever remembers its rows by theirs reads them again. The run is locked from here on,
    so that no service adds to what is being mended.
    """
    connection.execute(run.update().where(run.c.id == run_id).values(rev=run.c.rev + 1))
    return int(connection.scalar(sa.select(run.c.rev).where(run.c.id == run_id)) or 0)


@dataclass
class Finding:
    """Something wrong: of which run (None: of the whole store), where, what, and whether it has been mended."""

    run: str | None
    where: str
    what: str
    mended: bool = False


@dataclass
class Findings:
    """``read`` opens a short transaction that reads; ``write`` one that mends, where that is wanted."""

    read: Callable[[], AbstractContextManager[sa.Connection]]
    write: Callable[[], AbstractContextManager[sa.Connection]] | None = None
    all: list[Finding] = field(default_factory=list)
    blocks: int = 0  # how many were unpacked

    @property
    def wrong(self) -> int:
        """How many are not mended."""
        return sum(not one.mended for one in self.all)

    def add(self, uid: str | None, where: str, what: str, mend: Mend | None = None) -> bool:
        """Note something wrong, and mend it if that can be done and is wanted; returns whether it is well now."""
        finding = Finding(uid, where, what)
        self.all.append(finding)
        if mend is not None and self.write is not None:
            with self.write() as connection:
                mend(connection)
            finding.mended = True
        return finding.mended

    def compare(self, uid: str, where: str, stored: bytes | None, wanted: bytes | None, mend: Mend) -> bool:
        """Whether a row is what follows from the rows below it, or has been made that."""
        self.blocks += stored is not None
        if stored == wanted:
            return True
        what = "hold what does not follow from the counts or points below them"
        if stored is None:
            what = "are missing"
        elif wanted is not None:
            try:
                if content.same(stored, wanted):
                    return True
            except FormatError as error:
                what = f"can't be read ({error})"
        return self.add(uid, where, what, mend)
