"""What lies between a lower and an upper curve, as one filled trace that leaves gaps where either is unknown.

Plotly's own way, two traces with ``fill: "tonexty"``, joins the stretches before and after a gap.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from epochscope_server.analysis.rates import Numbers
from epochscope_server.figures import columns


def outlined(x: Numbers, low: Numbers, high: Numbers, fill: str) -> dict[str, Any]:
    """One closed outline for each stretch in which ``low`` and ``high`` [P] are known; nothing to hover over."""
    known = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    gap = np.array([np.nan])
    across, up = [np.zeros(0)], [np.zeros(0)]
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        across += [x[begin:end], x[begin:end][::-1], gap]
        up += [high[begin:end], low[begin:end][::-1], gap]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": columns.exact(np.concatenate(across)),
        "y": columns.numbers(np.concatenate(up)),
        "fill": "toself",
        "fillcolor": fill,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }
