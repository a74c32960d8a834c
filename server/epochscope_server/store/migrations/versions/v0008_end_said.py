"""When a run's end was said; of runs that have ended already nobody knows."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("run", sa.Column("end_said_ms", sa.BigInteger(), nullable=True))
