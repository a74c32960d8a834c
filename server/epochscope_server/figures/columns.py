"""Arrays as Plotly takes them fastest: base64 of little-endian bytes, with their type and shape.

A JSON list of the same numbers is four times longer and takes the browser fifteen times as long to read.
NaN may stand inside; Plotly draws it as a gap.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Column = dict[str, str]


def numbers(values: ArrayLike) -> Column:
    """Rates and measured values as float32; what is not finite becomes NaN, a gap."""
    array = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore"):  # beyond float32 is beyond any axis
        narrow = array.astype("<f4")
    return _packed(np.where(np.isfinite(narrow), narrow, np.float32("nan")))


def exact(values: ArrayLike) -> Column:
    """Steps, epochs and counts: int32 where they fit, else float64, which is exact to 2^53."""
    array = np.asarray(values)
    if array.dtype.kind in "iu" and (array.size == 0 or int(array.max()) < 2**31):
        return _packed(array.astype("<i4"))
    return _packed(array.astype("<f8"))


def _packed(array: np.ndarray[Any, Any]) -> Column:
    contiguous = np.ascontiguousarray(array)
    column = {
        "dtype": contiguous.dtype.str.lstrip("<|="),
        "bdata": base64.b64encode(contiguous.tobytes()).decode("ascii"),
    }
    if contiguous.ndim > 1:
        column["shape"] = ", ".join(map(str, contiguous.shape))
    return column
