"""When a training that lives has stalled: nothing new has come from it for much longer than it ever took.

A pause counts from the last batch, epoch or span that was recorded. What is usual is learnt from the run itself, since
trainings differ by a million in pace, and one run has short pauses (a batch) and long ones (a validation that is not
recorded, a checkpoint, a function that is compiled anew for the last, smaller batch).
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable

WITHIN_S = 60.0  # of a pass, no shorter pause is worth a word,
YOUNG_S, YOUNG_WITHIN_S = 1800.0, 300.0  # nor one this short in the first half hour,
BETWEEN_S = 600.0  # nor one this short where something else than batches is to be expected
TIMES_USUAL = 20  # the median of the last pauses
TIMES_LONGEST = 4  # the longest pause so far, from the start of the run to its first batch included
STOOD_STILL_S = 30.0  # this process was asleep, or stopped, if nobody has looked for so long


class Pauses:
    """The pauses of one run. ``look`` is called every few seconds, by the thread that ``went_on`` is called from."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._since = self._looked = clock()
        self._begun = False  # the first batch is through
        self._in_pass = False
        self._last: deque[float] = deque(maxlen=51)
        self._longest = 0.0
        self._longest_stall = 0.0
        self._stalled = False

    def expect(self, batches: bool) -> None:
        """Whether batches come next, of a split of which there were some before: they take what they usually take."""
        self._in_pass = batches

    def went_on(self) -> None:
        """Something new was recorded."""
        pause = self._pause()
        if self._stalled:
            # One such pause may be a fault; of the second on they are this run's way.
            self._longest = max(self._longest, min(pause, self._longest_stall))
            self._longest_stall = max(self._longest_stall, pause)
        else:
            self._longest = max(self._longest, pause)
        self._last.append(pause)
        self._since = self._clock()
        self._begun = True
        self._stalled = False

    def look(self) -> float:
        """For how many seconds it has stalled; 0 if it has not."""
        pause = self._pause()
        self._stalled = self._begun and pause > self._limit()
        return pause if self._stalled else 0.0

    def _pause(self) -> float:
        now = self._clock()
        if now - self._looked > STOOD_STILL_S:
            self._since += now - self._looked
        self._looked = now
        return now - self._since

    def _limit(self) -> float:
        least = WITHIN_S if self._since - self._began > YOUNG_S else YOUNG_WITHIN_S
        if not self._in_pass:
            least = max(least, BETWEEN_S)
        usual = statistics.median(self._last) if self._last else 0.0
        return max(least, TIMES_USUAL * usual, TIMES_LONGEST * self._longest)
