"""How Alembic reaches the database: through the connection that `store/database.py` hands it."""

from alembic import context

from epochscope_server.store.schema import metadata

connection = context.config.attributes["connection"]
# SQLite can't alter a table in place; batch mode copies it instead.
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
