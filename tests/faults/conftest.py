"""Fixtures of the fault tests: those of the training side."""

from __future__ import annotations

from client.conftest import listener, spool_dir

__all__ = ["listener", "spool_dir"]
