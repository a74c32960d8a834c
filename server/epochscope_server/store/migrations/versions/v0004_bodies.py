"""What flushes said lies in a table of its own until it is sealed, so that its pages become free as a whole."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    op.rename_table("flush", "old_flush")
    if postgresql:  # there the names of constraints do not follow the table's
        op.execute('ALTER TABLE old_flush DROP CONSTRAINT "flush_pkey"')
    op.create_table(
        "flush",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("crc32", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "stream_id", "seq"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "flush_body",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("arrived", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "stream_id", "seq"),
    )
    if postgresql:  # packed as far as it can be
        op.execute("ALTER TABLE flush_body ALTER COLUMN body SET STORAGE EXTERNAL")
    op.execute(
        "INSERT INTO flush (run_id, stream_id, seq, crc32) "
        "SELECT run_id, stream_id, seq, crc32 FROM old_flush ORDER BY run_id, stream_id, seq"
    )
    op.execute(
        "INSERT INTO flush_body (run_id, stream_id, seq, arrived, body) "
        "SELECT run_id, stream_id, seq, arrived, body FROM old_flush WHERE body IS NOT NULL ORDER BY run_id, arrived"
    )
    op.drop_table("old_flush")
