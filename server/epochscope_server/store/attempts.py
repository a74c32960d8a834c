"""Attempts: a run that went back to a checkpoint says some steps again, and its latest word replaces the earlier.

An attempt begins where a stream says ``resumed_at``. It hides what earlier attempts said from its first step on, also
what it has not reached yet itself. Attempt 0 begins at the first step and needs no row while it is alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from epochscope import wire

from epochscope_server.store.schema import attempt as table
from epochscope_server.store.schema import stream


@dataclass(frozen=True)
class Piece:
    """Attempt ``attempt`` speaks for steps ``[start, stop)``; stop None: as far as it goes."""

    attempt: int
    start: int
    stop: int | None


@dataclass(frozen=True)
class _Begun:
    attempt: int
    start: int
    started_ms: int
    last: int


def _precedence(one: _Begun) -> tuple[bool, int, int]:
    """Who replaces whom: the later replaces the earlier, by the clocks of the training machines."""
    return one.attempt > 0, one.started_ms, one.attempt


class Attempts:
    """The attempts of one run, by split, each in the order in which they replace each other."""

    def __init__(self, begun: Mapping[str, list[_Begun]]) -> None:
        self._begun = {split: sorted(several, key=_precedence) for split, several in begun.items()}

    def pieces(self, split: str) -> list[Piece]:
        """Who speaks for which steps, in order of steps."""
        several = self._begun.get(split) or [_Begun(0, 0, 0, 0)]
        found: list[Piece] = []
        stop: int | None = None
        for one in reversed(several):
            if stop is None or one.start < stop:
                found.append(Piece(one.attempt, one.start, stop))
                stop = one.start
        return found[::-1]

    def last(self, split: str) -> int:
        """The last step that is seen of a split with several attempts."""
        last = {one.attempt: one.last for one in self._begun[split]}
        return max(
            last[piece.attempt] if piece.stop is None else min(last[piece.attempt], piece.stop - 1)
            for piece in self.pieces(split)
        )

    def order(self, split: str) -> list[int]:
        """The numbers of the attempts, the one that replaces all others last."""
        return [one.attempt for one in self._begun.get(split, ())] or [0]

    def order_of_all(self) -> list[int]:
        """As ``order``, of the attempts in any split."""
        every = {one.attempt: one for several in self._begun.values() for one in several}
        return [one.attempt for one in sorted(every.values(), key=_precedence)] or [0]

    def told(self, steps: Mapping[str, int]) -> list[dict[str, Any]]:
        """``{"split", "attempt", "from", "to"}``: who speaks for the steps up to the last, ``steps``, of each split.

        Attempts are numbered from 1 in the order in which they replace each other; a split with one is left out.
        """
        found = []
        for split in self._begun:
            end, order = steps.get(split, 0) + 1, self.order(split)
            for piece in self.pieces(split):
                first, stop = max(piece.start, 1), end if piece.stop is None else min(piece.stop, end)
                if first < stop:
                    number = order.index(piece.attempt) + 1
                    found.append({"split": split, "attempt": number, "from": first, "to": stop})
        return found


def of_run(connection: sa.Connection, run_id: int) -> Attempts:
    found: dict[str, list[_Begun]] = {}
    for split, *rest in connection.execute(_OF_RUN, {"of_run": run_id}):
        found.setdefault(split, []).append(_Begun(*rest))
    return Attempts(found)


_OF_RUN = sa.select(table.c.split, table.c.attempt, table.c.start, table.c.started_ms, table.c.last).where(
    table.c.run_id == sa.bindparam("of_run")
)


def of_stream(
    connection: sa.Connection, run_id: int, info: wire.RunInfo | None, steps: Mapping[str, int]
) -> dict[str, int]:
    """The attempts for which a new stream speaks, whose first flush says ``info``: split -> attempt.

    A split in which the run never went back is left out. A stream that resumes opens an attempt; one that says the same
    again, at the same ``started_ms`` (it goes on under another number), joins it. One that does not resume belongs to
    the latest attempt that began before it did. ``steps`` are the last ones of the run before this stream.
    """
    if info is None:
        return {}
    known = of_run(connection, run_id)._begun
    number = 1 + max((one.attempt for several in known.values() for one in several), default=0)
    joined: dict[str, int] = {}
    for split in wire.SPLITS:
        start, there = info.resumed_at.get(split), known.get(split, [])
        if start is not None:
            same = [one.attempt for one in there if (one.start, one.started_ms) == (start, info.started_ms)]
            joined[split] = same[0] if same else number
            if not there:
                _begin(connection, run_id, split, _Begun(0, 0, 0, steps.get(split, 0)))
                _tell_streams(connection, run_id, split)
            if not same:
                _begin(connection, run_id, split, _Begun(number, start, info.started_ms, 0))
        elif there:
            joined[split] = max(
                (one for one in there if one.attempt == 0 or one.started_ms <= info.started_ms),
                key=_precedence,
            ).attempt
    return joined


def reached(connection: sa.Connection, run_id: int, split: str, attempt: int, last: int) -> None:
    """An attempt spoke of step ``last``; nothing to do for a run that never went back."""
    connection.execute(
        table.update()
        .where(table.c.run_id == run_id, table.c.split == split, table.c.attempt == attempt, table.c.last < last)
        .values(last=last)
    )


def _begin(connection: sa.Connection, run_id: int, split: str, begun: _Begun) -> None:
    connection.execute(
        table.insert().values(
            run_id=run_id,
            split=split,
            attempt=begun.attempt,
            start=begun.start,
            started_ms=begun.started_ms,
            last=begun.last,
        )
    )


def _tell_streams(connection: sa.Connection, run_id: int, split: str) -> None:
    """The streams so far speak for attempt 0 of ``split``, now that there is another."""
    for stream_id, attempts in connection.execute(
        sa.select(stream.c.stream_id, stream.c.attempts).where(stream.c.run_id == run_id)
    ).all():
        connection.execute(
            stream.update()
            .where(stream.c.run_id == run_id, stream.c.stream_id == stream_id)
            .values(attempts={**attempts, split: 0})
        )
