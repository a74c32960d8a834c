"""Who looks at which run: as long as somebody does, its training is asked to send more often."""

from __future__ import annotations

import time
from collections.abc import Iterable

ATTENTION_S = 20.0  # a page asks again after 15 s, whatever happens
_MOST = 1000  # runs that are remembered


class Audience:
    """The runs of which somebody has just seen a figure or a table. Any thread may tell or ask."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}  # time.monotonic()

    def looks(self, uids: Iterable[str]) -> None:
        """Somebody looks at these runs now."""
        now = time.monotonic()
        for uid in uids:
            self._seen[uid] = now
        if len(self._seen) > _MOST:
            self._seen = {uid: seen for uid, seen in list(self._seen.items()) if now - seen < ATTENTION_S}

    def watches(self, uid: str) -> bool:
        return time.monotonic() - self._seen.get(uid, -ATTENTION_S) < ATTENTION_S
