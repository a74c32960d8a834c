"""Blocks that were unpacked lately, kept by all readers together up to a number of bytes.

A block is known by where it lies and by the revision at which it was written; it never changes, so nothing here is ever
out of date.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

LIMIT = 128 * 1024 * 1024  # bytes
_OVERHEAD = 200  # bytes of a block besides its numbers, about


class Blocks:
    """The blocks used last. Any thread may ask."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._size = 0
        self._lock = threading.Lock()
        self._blocks: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable) -> Any | None:
        with self._lock:
            found = self._blocks.get(key)
            if found is None:
                return None
            self._blocks.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, block: Any, size: int) -> None:
        """Keep a block of ``size`` bytes; what was not used for longest makes room."""
        size += _OVERHEAD
        if size > self._limit // 4:
            return
        with self._lock:
            before = self._blocks.pop(key, None)
            self._blocks[key] = block, size
            self._size += size - (before[1] if before else 0)
            while self._size > self._limit:
                self._size -= self._blocks.popitem(last=False)[1][1]

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._size
