"""The schema's history, by Alembic; `store/database.py` runs it at every start of the service."""
