"""Names as text. Plotly reads ``<b>``, ``<a href>`` and ``&amp;`` in every string it draws, so names are escaped.

Templates are constants and never contain a name; names reach them through ``name``, ``meta`` or ``hovertext``.
"""

from __future__ import annotations

LABEL = 18  # characters of a name beside an axis; hovering shows all of them


def escaped(name: str) -> str:
    """``name``, to be drawn as it is written."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def label(name: str, length: int = LABEL) -> str:
    """``name`` cut to ``length`` characters, to be drawn as it is written."""
    return escaped(name if len(name) <= length else name[: length - 1].rstrip() + "…")


def compact(count: int) -> str:
    """A count in at most five characters: 987, 12.3k, 4.5M."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if count >= size:
            value = count / (1000 if unit == "k" else size)
            return f"{value:.1f}{unit}" if value < 100 else f"{value:.0f}{unit}"
    return str(count)
