"""Confusion counts at rest: what a window is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from epochscope_server.analysis.confusion import Cells
from epochscope_server.store import attempts, tail


@dataclass(frozen=True)
class Fetched:
    """All that touches a window, fetched in one transaction, to be unpacked when that is over."""

    output: str
    split: str
    pieces: list[attempts.Piece]
    tail: list[tail.Waiting]

    def cells(self) -> Cells:
        """The counts of the window's steps, and of some around it; a step may stand in several places, they add up."""
        parts = []
        for attempt, found in tail.cells(self.tail, self.output, self.split):
            for piece in self.pieces:
                if piece.attempt == attempt:
                    inside = found.step >= piece.start
                    if piece.stop is not None:
                        inside &= found.step < piece.stop
                    parts.append(Cells(*(column[inside] for column in vars(found).values())))
        empty = [np.zeros(0, np.int64)]
        return Cells(
            *(np.concatenate([getattr(part, name) for part in parts] or empty) for name in Cells.__annotations__)
        )


def fetch(connection: sa.Connection, run: Mapping[str, Any], output_id: int, split: str) -> Fetched:
    """What the counts of one output and split are made of."""
    return Fetched(
        run["outputs"][output_id]["name"],
        split,
        attempts.of_run(connection, run["id"]).pieces(split),
        tail.of_run(connection, run["id"]),
    )
