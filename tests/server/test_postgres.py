"""The store in a PostgreSQL: refused with a sentence where it can't be used, gone and back, shared by services."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import stage
from epochscope_server.errors import StartError
from epochscope_server.store.database import Database
from epochscope_server.store.schema import metadata
from postgres import PASSWORD, Cluster
from stage import COMMAND

pytestmark = pytest.mark.postgres

NOWHERE = Path("/nowhere")  # the folder of a store that lies in a database is never looked at


@pytest.fixture(autouse=True)
def _on_postgres(cluster: Cluster) -> Iterator[None]:
    """Whatever the other tests run on."""
    with stage.using(cluster):
        yield


def refused(url: str) -> str:
    """Why the service does not start there; without the password."""
    with pytest.raises(StartError) as found:
        Database(NOWHERE, url)
    assert PASSWORD not in str(found.value)
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.mark.parametrize(
    "url", ["postgresql://scope:not-for-logs@host:port/name", "not-for-logs", "mysql://scope:not-for-logs@host/name"]
)
def test_an_address_that_makes_no_sense_is_not_repeated(url: str) -> None:
    assert "postgresql://user@host" in refused(url)


def test_a_server_that_is_not_there_is_said(cluster: Cluster) -> None:
    why = refused(f"postgresql://scope:{PASSWORD}@127.0.0.1:1/scope")
    assert "Connection refused" in why
    assert "that the server runs" in why


def test_a_wrong_password_is_said(cluster: Cluster) -> None:
    cluster.database("there")
    assert "Check the user and the password" in refused(cluster.url("there", password="guessed"))
    assert "PGPASSWORD or ~/.pgpass" in refused(cluster.url("there", password=None))


def test_a_database_that_is_not_there_is_said(cluster: Cluster) -> None:
    assert "createdb" in refused(cluster.url("nobody_made_this"))


def test_a_user_who_may_not_make_tables_is_told_what_is_missing(cluster: Cluster) -> None:
    cluster.database("guarded")
    cluster.ask("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    why = refused(cluster.url("guarded", "guest", "guest"))
    assert "GRANT CREATE ON SCHEMA public" in why
    assert "Let guest make tables" in why


def test_another_encoding_is_refused(cluster: Cluster) -> None:
    url = cluster.database("old_style", "ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
    assert "--encoding=UTF8" in refused(url)


def test_a_newer_store_is_refused_and_left_as_it_is(cluster: Cluster) -> None:
    url = cluster.database("newer")
    Database(NOWHERE, url).close()
    cluster.ask("UPDATE alembic_version SET version_num = '9999'", "newer")
    assert "newer epochscope" in refused(url)
    assert cluster.ask("SELECT version_num FROM alembic_version", "newer") == [("9999",)]


def test_tables_of_another_program_are_left_as_they_are(cluster: Cluster) -> None:
    url = cluster.database("others")
    cluster.ask("CREATE TABLE series (name text)", "others")
    assert "a database of its own" in refused(url)
    tables = cluster.ask("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace", "others")
    assert tables == [("series",)]


def test_a_server_that_is_too_old_is_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epochscope_server.store.postgres.OLDEST", 99)
    assert "needs 99 or later" in refused(cluster.database("aged"))


def test_a_missing_driver_is_said_with_the_command_that_brings_it(cluster: Cluster) -> None:
    block = "import sys; sys.modules['psycopg'] = None; "
    command = [sys.executable, "-c", block + COMMAND[2], "serve", "--no-browser", "--database", cluster.url("any")]
    answer = subprocess.run([*command, "--port", "0"], capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 1
    assert "pip install 'epochscope[postgres]'" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_the_start_names_the_database_and_not_its_password(cluster: Cluster) -> None:
    command = [*COMMAND, "serve", "--port", "0", "--no-browser", "--database", cluster.database("named")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
        rest = process.stdout.read()
    assert f"the PostgreSQL database named at 127.0.0.1 port {cluster.port}" in line
    assert PASSWORD not in line + rest


def test_text_is_ordered_by_bytes_and_blobs_are_kept_as_they_come(cluster: Cluster) -> None:
    Database(NOWHERE, cluster.database("columns")).close()
    columns = cluster.ask(
        "SELECT relname, attname, collname, attstorage::text FROM pg_attribute "
        "JOIN pg_class ON attrelid = pg_class.oid LEFT JOIN pg_collation ON pg_collation.oid = attcollation "
        "WHERE relkind = 'r' AND attnum > 0 AND relnamespace = 'public'::regnamespace "
        "AND relname <> 'alembic_version' AND atttypid IN ('text'::regtype, 'bytea'::regtype)",
        "columns",
    )
    assert len(columns) > 20
    assert {table for table, *_ in columns} <= set(metadata.tables)
    assert {(collation, storage) for _, _, collation, storage in columns} == {("C", "x"), (None, "e")}
