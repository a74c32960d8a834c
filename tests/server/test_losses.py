"""Losses that are no number, as they come in: the same stretches whatever the pieces, held against a plain walk."""

from __future__ import annotations

import numpy as np
from epochscope_server.alerts.losses import CALM, Losses, Stretch


def by_hand(values: list[float]) -> list[tuple[int, int, int | None]]:
    """(first step, last step that is not finite, step at which it was over)."""
    found: list[tuple[int, int, int | None]] = []
    first = last = calm = 0
    for step, value in enumerate(values, 1):
        if not np.isfinite(value):
            first, last, calm = first or step, step, 0
        elif first:
            calm += 1
            if calm == CALM:
                found.append((first, last, step))
                first = 0
    return [*found, (first, last, None)] if first else found


def test_stretches_are_those_of_a_plain_walk_however_the_values_came() -> None:
    rng = np.random.default_rng(6)
    for share in (0.0, 0.002, 0.01, 0.05, 1.0):
        values = np.where(rng.random(3000) < share, rng.choice([np.nan, np.inf, -np.inf], 3000), 1.0)
        losses, at = Losses(), 0
        while at < len(values):
            end = at + int(rng.integers(0, 200))
            losses.update(np.arange(at + 1, min(end, 3000) + 1), values[at:end])
            at = end
        assert [(one.start, one.last, one.back) for one in losses.all] == by_hand(values.tolist())
        assert losses.following == 3001


def test_a_stretch_is_named_after_its_first_value() -> None:
    losses = Losses()
    losses.update(np.array([5, 6]), np.array([-np.inf, np.nan]))
    assert losses.all == [Stretch(5, 6, "-Infinity", None)]
