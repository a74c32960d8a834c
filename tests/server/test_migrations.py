"""The schema's history: every released store comes to the newest schema with all it holds."""

from __future__ import annotations

from pathlib import Path

import stage
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from epochscope_server.store.database import Database
from epochscope_server.store.schema import metadata


def test_the_migrated_schema_is_the_one_the_code_speaks_of(tmp_path: Path) -> None:
    database = Database(tmp_path, stage.url_of(tmp_path))
    with database.writer.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()
