"""Rows that wait to be read, where a step can hand out what it has computed without being waited for."""

from __future__ import annotations

from typing import Any

_MOST_ROWS = 2048
_MOST_ENTRIES = 2**22  # numbers on the device, over all rows


class Waiting:
    """The log of training or of evaluation: references to arrays of the device, in the order of the batches."""

    def __init__(self) -> None:
        self._rows: list[Any] = []
        self._longest = 1

    def append(self, row: Any, entries: int) -> None:
        """``entries``: how many numbers the row holds."""
        self._rows.append(row)
        self._longest = max(self._longest, entries)

    def room(self) -> int:
        """How many rows may wait before memory on the device runs short."""
        return min(_MOST_ROWS, _MOST_ENTRIES // self._longest)

    def take(self) -> list[Any]:
        """All rows; none are left."""
        rows, self._rows = self._rows, []
        return rows
