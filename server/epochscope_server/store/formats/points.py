"""Points of a scalar series: steps ascending, values to the last bit, NaN payloads and -0.0 included."""

from __future__ import annotations

import struct

import numpy as np

from epochscope_server.analysis.rates import Numbers, Whole
from epochscope_server.store.formats import columns
from epochscope_server.store.formats.frame import FormatError, pack, unpack

MAGIC = b"ESP1"
_HEADER = struct.Struct("<IqqBBB")  # points, first step, gap (or 0), bytes of a gap, of a value, how values are kept
_AS_THEY_ARE, _DIFFERENCES = 0, 1
MOST = 2**24  # points of one blob


def encode(steps: Whole, values: Numbers) -> bytes:
    """The blob of ``values`` float64 [n] at ``steps`` int64 [n], strictly ascending. Canonical.

    Raises:
        ValueError: steps that do not ascend, or more than 2^24 points.
    """
    if len(steps) != len(values) or len(steps) > MOST:
        raise ValueError(f"{len(steps)} steps and {len(values)} values are no points of one blob")
    gaps = np.diff(steps)
    if len(gaps) and int(gaps.min()) < 1:
        raise ValueError("steps must ascend")
    first = int(steps[0]) if len(steps) else 0
    even = len(gaps) > 0 and bool((gaps == gaps[0]).all())
    width_gap = 1 if even or not len(gaps) else columns.width(int(gaps.max()))
    kept_gaps = [] if even else columns.planes(gaps, width_gap)
    bits = values.astype("<f8", copy=False).view("<u8")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow = values.astype("<f4")
        same = bool((narrow.astype("<f8").view("<u8") == bits).all())
    if same:
        bits = narrow.view("<u4")
    width = bits.dtype.itemsize
    blobs = []
    for how in (_AS_THEY_ARE, _DIFFERENCES):
        kept = bits if how == _AS_THEY_ARE else np.diff(bits, prepend=bits.dtype.type(0))
        header = _HEADER.pack(len(steps), first, int(gaps[0]) if even else 0, width_gap, width, how)
        blobs.append(pack(MAGIC, header, [*kept_gaps, *columns.planes(kept, width)]))
    return min(blobs, key=len)


def decode(data: bytes) -> tuple[Whole, Numbers]:
    """Steps int64 [n], ascending, and values float64 [n].

    Raises:
        FormatError: it is damaged, or holds no points.
    """
    opened = unpack(data, MAGIC, _HEADER.size, "points")
    n, first, gap, width_gap, width, how = _HEADER.unpack(opened.header)
    if (
        n > MOST
        or width_gap not in columns.WIDTHS
        or width not in (4, 8)
        or how not in (_AS_THEY_ARE, _DIFFERENCES)
        or gap < 0
    ):
        raise FormatError("points have a header that contradicts itself")
    gaps = 0 if gap or n < 2 else n - 1
    held = opened.columns(gaps * width_gap + n * width)
    steps = np.empty(n, np.int64)
    if n:
        steps[0] = first
        steps[1:] = gap if gap else columns.joined(held, 0, gaps, width_gap)
        if n > 1 and int(steps[1:].min()) < 1:
            raise FormatError("points have steps that do not ascend")
        np.cumsum(steps, out=steps)
        if int(steps[-1]) < first:
            raise FormatError("points have a step of more than 63 bits")
    bits = columns.joined(held, gaps * width_gap, n, width)
    if how == _DIFFERENCES:
        bits = np.cumsum(bits, dtype=bits.dtype)
    if width == 8:
        return steps, bits.view("<f8").astype(np.float64, copy=False)
    with np.errstate(invalid="ignore"):  # a signalling NaN was never narrowed; a quiet one is no error
        return steps, bits.view("<f4").astype(np.float64)
