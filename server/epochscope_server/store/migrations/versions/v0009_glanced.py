"""What the list is sorted by of what it shows at a glance, taken out of what stands there."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    for name in ("worst", "drop"):
        op.add_column("glance", sa.Column(name, sa.Double(), nullable=True))
    glance = sa.table("glance", sa.column("said", sa.JSON), sa.column("worst", sa.Double), sa.column("drop", sa.Double))
    worst, drop = (glance.c.said[(name, "value")].as_float() for name in ("worst", "drop"))
    # Where a split is named there are classes, and a drop that is not told is none.
    fell = sa.case((glance.c.said["split"].as_string().is_not(None), sa.func.coalesce(drop, 0.0)), else_=None)
    op.execute(glance.update().values(worst=worst, drop=fell))
    for name in ("worst", "drop"):
        there = sa.text(f'"{name}" IS NOT NULL')
        columns = [name, "run_id"]
        op.create_index(f"ix_glance_{name}", "glance", columns, sqlite_where=there, postgresql_where=there)
