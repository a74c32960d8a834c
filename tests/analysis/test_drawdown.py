"""The raster's blocks: no ink where nothing fell, the depth where something did."""

from __future__ import annotations

from typing import Any

import numpy as np
from drawn_counts import Counts, draw
from epochscope_server.analysis.drawdown import BLOCKS, drawdown
from epochscope_server.analysis.stability import stability


def of(counts: Any, width: int = 1) -> Any:
    curves = counts.curves(width)
    return drawdown(curves, stability(curves).drops.told_apart)


def test_noise_makes_no_ink() -> None:
    found = of(draw(np.full((100, 800), 0.85), 15))
    assert (found.depth > 0).mean() < 0.001


def test_a_collapse_is_as_deep_as_it_is_and_where_it_is() -> None:
    rates = np.full((10, 600), 0.9)
    rates[3, 300:400] = 0.5
    found = of(draw(rates, 15))
    inked = found.depth[3] > 0
    middle = (found.blocks.start - 1 >= 300) & (found.blocks.stop - 1 <= 400)
    assert inked[middle].all()
    assert not inked[(found.blocks.stop - 1 <= 295) | (found.blocks.start - 1 >= 405)].any()
    assert 0.28 < found.depth[3][middle].mean() < 0.42
    assert (found.depth[[0, 1, 2, 4, 5, 6, 7, 8, 9]] > 0).mean() < 0.005


def test_blocks_cover_the_run_and_are_not_more_than_fit_across() -> None:
    counts = draw(np.full((2, 997), 0.9), 100)
    found = of(counts, width=3)
    assert len(found.blocks.start) <= BLOCKS
    assert (found.blocks.start[0], found.blocks.stop[-1]) == (1, 2992)
    assert found.blocks.start[1:].tolist() == found.blocks.stop[:-1].tolist()
    assert found.blocks.support.sum() == counts.support.sum()


def test_no_windows_make_no_blocks() -> None:
    nothing = np.zeros((3, 0), np.int64)
    assert drawdown(Counts(nothing, nothing, nothing).curves(), np.zeros(3, np.int64)).depth.shape == (3, 0)
