"""The database behind its door: its schema is the one the code speaks of, and a read sees one state of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
import stage
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from epochscope_server.store.database import Database
from epochscope_server.store.schema import deleted_run, metadata


def test_the_migrated_schema_is_the_one_the_code_speaks_of(tmp_path: Path) -> None:
    database = Database(tmp_path, stage.url_of(tmp_path))
    with database.writer.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_a_read_sees_one_state_of_the_store_however_much_is_written_meanwhile(tmp_path: Path) -> None:
    database = Database(tmp_path, stage.url_of(tmp_path))
    seen = []
    with database.read() as connection:
        for number in range(3):
            seen.append(connection.scalar(sa.select(sa.func.count()).select_from(deleted_run)))
            with database.writer.begin() as other:
                other.execute(deleted_run.insert().values(uid=f"gone{number}", deleted_ms=1, change=1, cleared=True))
    assert seen == [0, 0, 0]
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(deleted_run)) == 3
    database.close()


def test_a_read_can_not_write(tmp_path: Path) -> None:
    database = Database(tmp_path, stage.url_of(tmp_path))
    # PostgreSQL words it as a standby does.
    with pytest.raises(Exception, match=r"readonly|reached"), database.read() as connection:
        connection.execute(deleted_run.delete())
    database.close()
