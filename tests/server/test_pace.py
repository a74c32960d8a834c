"""How much of a processor is left to trainings by who looks at runs on nobody's request."""

from __future__ import annotations

import pytest
from epochscope_server.pace import rest_s


@pytest.mark.parametrize(("runs", "share"), [(0, 0.02), (1, 0.02), (2, 0.04), (5, 0.1), (1000, 0.1)], ids=str)
def test_looks_take_a_fiftieth_for_a_run_and_a_tenth_for_many(runs: int, share: float) -> None:
    assert 0.02 / (0.02 + rest_s(0.02, runs)) == pytest.approx(share)


def test_no_look_is_so_long_that_the_next_waits_for_minutes() -> None:
    assert rest_s(60.0, 1) == 10.0
