"""Flushes with less in them: where a backlog has reached its bound, or the service refuses what one says.

At the bound every second value by batch goes, and is counted; values by epoch, counts, spans, and words about the run
are never touched.
"""

from __future__ import annotations

import msgspec
import numpy as np

from epochscope import wire


class Thinning:
    """One pass over some flushes, oldest first: of each series by batch the first, third, fifth ... value stays.

    It counts over the flushes, since a slow training has one value in each.
    """

    def __init__(self) -> None:
        self.dropped = 0  # values so far
        self._seen: dict[tuple[str, wire.Split], int] = {}

    def __call__(self, body: bytes) -> bytes:
        """The flush ``body`` with half of its values by batch."""
        flush = msgspec.msgpack.decode(body, type=wire.Flush)
        thinner = [kept for series in flush.series if (kept := self._half(series)) is not None]
        return wire.encode(msgspec.structs.replace(flush, series=thinner))

    def _half(self, series: wire.SeriesColumns) -> wire.SeriesColumns | None:
        if series.by != "batch":
            return series
        steps, values = series.arrays()
        seen = self._seen.get((series.key, series.split), 0)
        self._seen[series.key, series.split] = seen + len(steps)
        kept = (np.arange(len(steps)) + seen) % 2 == 0
        if kept.all():
            return series
        self.dropped += int(len(steps) - kept.sum())
        return (
            wire.SeriesColumns.of(series.key, series.split, series.by, steps[kept], values[kept])
            if kept.any()
            else None
        )


def bare(body: bytes) -> list[bytes]:
    """The flush ``body`` without its numbers, and without any words either: what may take its place in the row."""
    flush = msgspec.msgpack.decode(body, type=wire.Flush)
    no_numbers = msgspec.structs.replace(flush, series=[], confusion=[])
    info = flush.info and wire.RunInfo(project="default", name=flush.run, started_ms=flush.info.started_ms)
    end = flush.end and wire.End(flush.end.status)
    return [
        wire.encode(no_numbers),
        wire.encode(msgspec.structs.replace(no_numbers, info=info, spans=[], end=end)),
    ]
