"""What the kill loop kills of services: `epochscope serve`, in its own words, with everything loaded before."""

from __future__ import annotations

import importlib

from epochscope.__main__ import main
from epochscope_server.store import sealing, sealing_series
from faults.kill_lives import born

_POINTS = ("do_commit", "do_commit", "do_execute", "do_executemany")  # of SQLAlchemy, whichever the database

for _late in ("epochscope_server.cli", "uvloop", "uvicorn.lifespan.on", "psycopg", "sqlalchemy.dialects.postgresql"):
    importlib.import_module(_late)  # before the fork, so that no life has to


def serve(data_dir: str, port: str, database: str, seed: str) -> None:
    """``epochscope serve``; its first line says where it listens."""
    born(seed, _POINTS, data_dir)
    sealing.MOST_FLUSHES, sealing_series.FULL, sealing_series.ROLLED = 6, 64, 3  # always something to seal
    words = ["serve", "--port", port, "--no-browser", "--no-auth", "--data-dir", data_dir]
    main([*words, "--database", database] if database != "-" else words)
