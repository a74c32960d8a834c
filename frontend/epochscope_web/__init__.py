"""epochscope, the page: what a browser may ask for lies in ``STATIC``, served as it is."""

from pathlib import Path

STATIC = Path(__file__).parent / "static"
