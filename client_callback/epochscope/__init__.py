"""epochscope, the training side: see every class learn, live, and know whether a jump is real.

Importing this package loads neither Keras nor NumPy; ``Run`` comes in when it is first named, and
``epochscope.keras`` holds what attaches to ``model.fit()``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epochscope.run import Run

__version__ = "0.1.0"
__all__ = ["Run", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Run":
        from epochscope.run import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
