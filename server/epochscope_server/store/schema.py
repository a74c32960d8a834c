"""Every table on one page. Run ids come first in every key, so that a run lies together and can be moved whole."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    false,
    true,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite numbers rows by itself only where the key is called INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")

run = Table(
    "run",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("uid", Text, nullable=False, unique=True),  # made by the client, shown everywhere
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),  # as told: running, or how it ended; silence is judged when asked
    Column("reason", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("heard_ms", BigInteger, nullable=False),  # last flush, by the clock of the service
    Column("next_ms", BigInteger, nullable=False),  # the next one was promised within this time
    Column("ended_ms", BigInteger),
    Column("end_said_ms", BigInteger),  # when its end was said, by the clock of the training
    Column("params", JSON, nullable=False),
    Column("environment", JSON, nullable=False),
    Column("notes", Text, nullable=False),
    Column("group", Text, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("epochs", BigInteger),
    Column("batches_per_epoch", BigInteger),
    Column("capture", Text, nullable=False),
    Column("outputs", JSON, nullable=False),  # [{"name", "class_names"}]
    Column("steps", JSON, nullable=False),  # {split: last step}
    Column("last", JSON, nullable=False),  # {by: {key: last value}}, what the list of runs shows
    Column("named_by_viewer", Boolean, nullable=False),  # a rename in the browser outlives the callback's word
    Column("rev", BigInteger, nullable=False),  # grows with every flush and every change
    Column("change", BigInteger, nullable=False),  # grows over all runs: the id of a live event
    # Whether run_value and run_text say what stands here; a run that has just changed is judged by its row instead.
    Column("indexed", Boolean, nullable=False, server_default=false()),
    Index(None, "project", "created_ms", "id"),
    Index(None, "project", "name", "id"),
    Index(None, "created_ms", "id"),
    Index(None, "change"),
)
Index("ix_run_unindexed", run.c.id, sqlite_where=run.c.indexed == false(), postgresql_where=run.c.indexed == false())

run_tag = Table(
    "run_tag",
    metadata,
    Column("run_id", BigInteger, primary_key=True),
    Column("tag", Text, primary_key=True),
    Index(None, "tag"),
)

# A name of a param or a summary value within a project; kind is "params" or "summary".
field = Table(
    "field",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("project", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    UniqueConstraint("project", "kind", "name"),
)

# What params and summary values compare as (see conditions.py): a number or a text, NaN and nothing have no row.
run_value = Table(
    "run_value",
    metadata,
    Column("run_id", BigInteger, primary_key=True),
    Column("field_id", BigInteger, primary_key=True),
    Column("number", Double),
    Column("text", Text),
    sqlite_with_rowid=False,
)
Index(
    "ix_run_value_number", run_value.c.field_id, run_value.c.number, run_value.c.run_id,
    sqlite_where=run_value.c.number.is_not(None), postgresql_where=run_value.c.number.is_not(None),
)  # fmt: skip
Index(
    "ix_run_value_text", run_value.c.field_id, run_value.c.text, run_value.c.run_id,
    sqlite_where=run_value.c.text.is_not(None), postgresql_where=run_value.c.text.is_not(None),
)  # fmt: skip

# What a search looks through, case folded.
run_text = Table(
    "run_text",
    metadata,
    Column("run_id", _Id, primary_key=True),
    Column("project", Text, nullable=False),
    Column("text", Text, nullable=False),
)

deleted_run = Table(
    "deleted_run",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("deleted_ms", BigInteger, nullable=False),
    Column("change", BigInteger, nullable=False),
    Column("run_id", BigInteger),  # unknown of those that schema 0002 deleted
    # Whether nothing of it is left; until then rows of run_id lie about that belong to no run.
    Column("cleared", Boolean, nullable=False, server_default=true()),
)
Index(
    "ix_deleted_run_uncleared", deleted_run.c.run_id,
    sqlite_where=deleted_run.c.cleared == false(), postgresql_where=deleted_run.c.cleared == false(),
)  # fmt: skip

# Projects whose runs are not kept for ever.
retention = Table(
    "retention",
    metadata,
    Column("project", Text, primary_key=True),
    Column("days", Integer),  # after the run was last heard of; NULL: for ever again
    Column("set_ms", BigInteger, nullable=False),
    Column("removed", BigInteger, nullable=False),  # runs so far
    Column("removed_ms", BigInteger),  # the last of them
)

stream = Table(
    "stream",
    metadata,
    Column("run_id", BigInteger, primary_key=True),
    Column("stream_id", Integer, primary_key=True),
    Column("uid", Text, nullable=False),
    Column("next_seq", BigInteger, nullable=False),
    Column("sealed_seq", BigInteger, nullable=False),  # all its flushes up to this one are sealed
    Column("attempts", JSON, nullable=False),  # {split: attempt} it speaks for, where there are several
    UniqueConstraint("run_id", "uid"),
)

# What is kept of a flush for good: enough to tell a repeated one from another of its number.
flush = Table(
    "flush",
    metadata,
    Column("run_id", BigInteger, primary_key=True),
    Column("stream_id", Integer, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("crc32", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What waits to be sealed. In a table of its own, because its pages become free as a whole then.
flush_body = Table(
    "flush_body",
    metadata,
    Column("run_id", BigInteger, primary_key=True),
    Column("stream_id", Integer, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("arrived", BigInteger, nullable=False),  # revision of the run with it: the order of arrival over all streams
    Column("body", LargeBinary, nullable=False),  # as it was posted; one that is damaged stays
)

attempt = Table(
    "attempt",
    metadata,
    Column("run_id", BigInteger, primary_key=True),
    Column("split", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("start", BigInteger, nullable=False),  # from this step on it replaces what earlier attempts said
    Column("started_ms", BigInteger, nullable=False),  # by the clock of the training machine: who is earlier
    Column("last", BigInteger, nullable=False),  # the last step that it spoke of, 0 before the first
)

series = Table(
    "series",
    metadata,
    Column("run_id", BigInteger, primary_key=True),
    Column("series_id", Integer, primary_key=True),
    Column("split", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("key", Text, nullable=False),
    UniqueConstraint("run_id", "split", "by", "key"),
)

# Level 0 holds points, those above hold rollups. `idx` is the step from which on the row may hold points: rows of one
# level lie in order, and the next one begins where this one ends.
series_chunk = Table(
    "series_chunk",
    metadata,
    Column("run_id", BigInteger, primary_key=True),
    Column("series_id", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("level", SmallInteger, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("step_min", BigInteger, nullable=False),
    Column("step_max", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False),  # points, or buckets of a rollup
    Column("written", BigInteger, nullable=False),  # changes whenever `data` does
    Column("data", LargeBinary, nullable=False),
)

# One pyramid of counts. Where an output gets more classes a new pyramid begins, since cells are numbered by classes.
counts = Table(
    "counts",
    metadata,
    Column("run_id", BigInteger, primary_key=True),
    Column("counts_id", Integer, primary_key=True),
    Column("output_id", Integer, nullable=False),
    Column("split", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("classes", Integer, nullable=False),
    Column("sealed_to", BigInteger, nullable=False),  # every step below is sealed, and what is complete is stored
    UniqueConstraint("run_id", "output_id", "split", "attempt", "classes"),
)

# Level 0 is a leaf of 64 steps, level k the sum of 8^k leaves, stored when all its steps are sealed.
count_node = Table(
    "count_node",
    metadata,
    Column("run_id", BigInteger, primary_key=True),
    Column("counts_id", Integer, primary_key=True),
    Column("level", SmallInteger, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("written", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

# Support, false negatives and false positives per class, 64 buckets of 16 x 8^level steps a row, stored when complete.
count_marginal = Table(
    "count_marginal",
    metadata,
    Column("run_id", BigInteger, primary_key=True),
    Column("counts_id", Integer, primary_key=True),
    Column("level", SmallInteger, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("written", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

span = Table(
    "span",
    metadata,
    Column("run_id", BigInteger, primary_key=True),
    Column("split", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("start", BigInteger, nullable=False),
    Column("stop", BigInteger, nullable=False),  # 0 while the epoch goes on
)

# What the list shows of a run beside its row, as of revision `rev`; it follows from counts, so it may be lost.
glance = Table(
    "glance",
    metadata,
    Column("run_id", _Id, primary_key=True),
    Column("rev", BigInteger, nullable=False),
    Column("said", JSON, nullable=False),
    # By these the list is sorted; NULL where there are no classes.
    Column("worst", Double),  # the F1 of the worst class
    Column("drop", Double),  # the certified drop, 0 where no class surely fell
)
Index(
    "ix_glance_worst", glance.c.worst, glance.c.run_id,
    sqlite_where=glance.c.worst.is_not(None), postgresql_where=glance.c.worst.is_not(None),
)  # fmt: skip
Index(
    "ix_glance_drop", glance.c["drop"], glance.c.run_id,
    sqlite_where=glance.c["drop"].is_not(None), postgresql_where=glance.c["drop"].is_not(None),
)  # fmt: skip

# A project without a row has the rules that hold unasked.
alert_rules = Table(
    "alert_rules",
    metadata,
    Column("project", Text, primary_key=True),
    Column("rules", JSON, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
)

alert = Table(
    "alert",
    metadata,
    Column("run_id", BigInteger, primary_key=True),
    Column("alert_id", Integer, primary_key=True),  # from 1 within a run
    Column("cause", Text, nullable=False),  # the same whoever finds it, and whenever
    Column("kind", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("split", Text, nullable=False),
    Column("class_name", Text, nullable=False),  # "" where it is about the run
    Column("start", BigInteger, nullable=False),  # the steps to look at, [start, stop); 0, 0 where there are none
    Column("stop", BigInteger, nullable=False),
    Column("found_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("back", BigInteger),  # the step at which it was over, where one is known
    Column("details", JSON, nullable=False),
    UniqueConstraint("run_id", "cause"),
    Index(None, "found_ms", "run_id"),
)

# One alert to one webhook. `webhook` is a fingerprint of its address, which itself is never kept.
alert_post = Table(
    "alert_post",
    metadata,
    Column("run_id", BigInteger, primary_key=True),
    Column("alert_id", Integer, primary_key=True),
    Column("webhook", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("state", Text, nullable=False),  # waiting, sending, sent, failed, unanswered
    Column("tries", Integer, nullable=False),
    Column("next_ms", BigInteger, nullable=False),  # of one that waits; of one that is being sent: since when
    Column("says", Text, nullable=False),
    Index(None, "state", "webhook", "next_ms"),
)

# What a run owns, in the order in which it is deleted.
OWNED = (
    flush_body, flush, count_node, count_marginal, counts, series_chunk, series, span, attempt, stream,
    run_tag, run_value, run_text, glance, alert_post, alert,
)  # fmt: skip
