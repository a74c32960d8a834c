"""What a mutant is: one fault put into a copy of a package, and the test that must turn red by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Mutant:
    """In ``file`` the only ``before`` becomes ``after``; then ``test`` fails, with ``environment`` added to its own."""

    fault: str
    file: str
    before: str
    after: str
    test: str
    package: Path = ROOT / "client_callback" / "epochscope"
    environment: Mapping[str, str] = field(default_factory=dict)
