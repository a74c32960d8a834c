"""Typed arrays: what goes in comes out, to the last step."""

from __future__ import annotations

from typing import Any

import numpy as np
from epochscope_server.figures import columns


def test_whole_numbers_stay_exact_to_two_to_the_53(decoded: Any) -> None:
    for values in ([0, 5, 2**31 - 1], [2**31, 2**53 - 1], []):
        assert decoded(columns.exact(np.array(values, np.int64))).tolist() == values


def test_rates_are_four_bytes_and_what_is_not_finite_is_nan(decoded: Any) -> None:
    array = decoded(columns.numbers([[0.5, np.nan], [np.inf, 1e300]]))
    assert array.dtype == np.float32
    assert array[0, 0] == 0.5
    assert np.isnan(array.ravel()[1:]).all()


def test_slices_and_transposes_are_packed_in_their_own_order(decoded: Any) -> None:
    array = np.arange(12).reshape(3, 4)
    assert decoded(columns.exact(array.T[::2])).tolist() == array.T[::2].tolist()
