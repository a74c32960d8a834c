"""The blocks of a live watch: every step once, however the steps came, narrow beside what lies before them."""

from __future__ import annotations

import numpy as np
import pytest
from epochscope_server.analysis.watching import blocks


@pytest.mark.parametrize("fine", [16, 256])
def test_blocks_that_came_bit_by_bit_are_those_of_all_steps_at_once(fine: int) -> None:
    rng = np.random.default_rng(fine)
    for last in (0, 1, 31, 32, 33, 511, 512, 513, 1023, 1024, 5000, 40_000):
        at_once = list(zip(*(part.tolist() for part in blocks(1, last, whole=True, fine=fine)), strict=True))
        covered = [step for start, stop in at_once for step in range(start, stop)]
        assert covered == list(range(1, last + 1))
        following, came, seen = 1, [], 0
        while seen < last:
            seen = min(seen + int(rng.integers(1, 2 + last // 7)), last)
            start, stop = blocks(following, seen, whole=seen == last, fine=fine)
            came += list(zip(start.tolist(), stop.tolist(), strict=True))
            following = came[-1][1] if came else 1
        assert came == at_once


def test_a_watch_is_never_behind_by_more_than_a_256th_and_has_few_blocks() -> None:
    start, stop = blocks(1, 100_000)
    assert ((stop - start) <= np.maximum(start / 256, 1)).all()
    assert len(start) < 2_500
    assert all(width & (width - 1) == 0 for width in (stop - start).tolist())
