"""Whether anything of some runs has changed: their revisions, which grow with everything that is stored of them."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from epochscope_server.store.schema import run


def of(connection: sa.Connection, uids: Sequence[str]) -> list[tuple[str, int, int]]:
    """(id, revision, when it was last heard of) of those runs that there are, by id.

    The last tells a revision from the same one of a store that was put back from a backup and went on otherwise.
    """
    chosen = sa.select(run.c.uid, run.c.rev, run.c.heard_ms).where(run.c.uid.in_(uids)).order_by(run.c.uid)
    return [(uid, rev, heard_ms) for uid, rev, heard_ms in connection.execute(chosen)]
