"""Params and summary values in narrow tables, filled from the rows of the runs a moment after the start."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "field",
        sa.Column("id", number, nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project", "kind", "name", name=op.f("uq_field_project_kind_name")),
    )
    op.create_table(
        "run_value",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("field_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Double(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "field_id"),
        sqlite_with_rowid=False,
    )
    for name in ("number", "text"):
        there = sa.text(f"{name} IS NOT NULL")
        columns = ["field_id", name, "run_id"]
        op.create_index(f"ix_run_value_{name}", "run_value", columns, sqlite_where=there, postgresql_where=there)
    op.create_table(
        "run_text",
        sa.Column("run_id", number, nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.add_column("run", sa.Column("indexed", sa.Boolean(), nullable=False, server_default=sa.false()))
    there = sa.text("indexed = 0" if op.get_bind().dialect.name == "sqlite" else "indexed = false")
    op.create_index("ix_run_unindexed", "run", ["id"], sqlite_where=there, postgresql_where=there)
    op.drop_index("ix_run_created_ms", "run")
    op.drop_index("ix_run_project_created_ms", "run")
    op.create_index(op.f("ix_run_created_ms_id"), "run", ["created_ms", "id"])
    op.create_index(op.f("ix_run_project_created_ms_id"), "run", ["project", "created_ms", "id"])
    op.create_index(op.f("ix_run_project_name_id"), "run", ["project", "name", "id"])
    op.add_column("deleted_run", sa.Column("run_id", sa.BigInteger(), nullable=True))
    op.add_column("deleted_run", sa.Column("cleared", sa.Boolean(), nullable=False, server_default=sa.true()))
    there = sa.text("cleared = 0" if op.get_bind().dialect.name == "sqlite" else "cleared = false")
    op.create_index("ix_deleted_run_uncleared", "deleted_run", ["run_id"], sqlite_where=there, postgresql_where=there)
