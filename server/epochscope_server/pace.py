"""How much of a processor those may take who look at runs on nobody's request: it may be the training's own."""

from __future__ import annotations

EACH = 50  # for each run at most one part in so many of one processor's time
ALL = 10  # and for all of them together
MOST_REST_S = 10.0  # however long a look took


def rest_s(took_s: float, runs: int) -> float:
    """How long to rest after a look that ``took_s`` of a processor, where so many ``runs`` are to be looked at."""
    return min((max(EACH / max(runs, 1), ALL) - 1) * took_s, MOST_REST_S)
