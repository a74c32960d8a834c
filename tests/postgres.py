"""A PostgreSQL of the tests' own: a cluster in a folder in /tmp, on a free port, gone when the tests are over."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

USER = "scope"
PASSWORD = "not-for-logs"


@cache
def binaries() -> Path | None:
    """The folder of initdb and pg_ctl, the newest there is; None without a server."""
    found = [Path(path).parent for name in ("initdb",) if (path := shutil.which(name))]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
    return next((folder for folder in found if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


@dataclass
class Cluster:
    """A running server. Over TCP it asks for ``PASSWORD``, as a real one does."""

    folder: Path
    port: int

    def url(self, name: str, user: str = USER, password: str | None = PASSWORD) -> str:
        who = user if password is None else f"{user}:{password}"
        return f"postgresql://{who}@127.0.0.1:{self.port}/{name}"

    def name_in(self, url: str | None) -> str:
        """The name of the database in its URL."""
        assert url is not None
        return url.rpartition("/")[2]

    def ask(self, statement: str, name: str = "postgres", user: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement as the superuser, outside any transaction."""
        with psycopg.connect(
            host=str(self.folder), port=self.port, user=user, dbname=name, autocommit=True
        ) as connection:
            answer = connection.execute(statement)
            return answer.fetchall() if answer.description else []

    def database(self, name: str, options: str = "") -> str:
        """The URL of database ``name``, which is made on the first call."""
        if not self.ask(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            self.ask(f'CREATE DATABASE "{name}" OWNER {USER} {options}')
        return self.url(name)

    def start(self) -> None:
        _run(self.folder, "pg_ctl", "start", "--wait", "--log", f"{self.folder}/log")

    def stop(self, mode: str = "immediate") -> None:
        _run(self.folder, "pg_ctl", "stop", "--mode", mode)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)


def start_cluster(durable: bool = False) -> Cluster:
    """A new cluster. Unless ``durable`` it does not wait for the disk: no test of its own can see the difference."""
    folder = Path(tempfile.mkdtemp(prefix="epochscope-postgres-", dir="/tmp"))
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        account = pwd.getpwnam(_account())
        os.chown(folder, account.pw_uid, account.pw_gid)
    # Text is ordered otherwise than by bytes here unless the schema says so; Debian's own clusters are like that.
    _run(
        folder, "initdb", "--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8",
        "--no-sync", "--locale-provider=icu", "--icu-locale=en-US",
    )  # fmt: skip
    port = _free_port()
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder}
    if not durable:
        settings |= {"fsync": "off", "full_page_writes": "off"}
    with (folder / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    cluster = Cluster(folder, port)
    cluster.start()
    cluster.ask(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
    return cluster


def _account() -> str:
    there = {account.pw_name for account in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in there)


def _run(folder: Path, program: str, *arguments: str) -> None:
    where = binaries()
    assert where is not None
    as_whom: dict[str, Any] = (
        {"user": _account(), "group": pwd.getpwnam(_account()).pw_gid} if os.geteuid() == 0 else {}
    )
    done = subprocess.run(
        [where / program, "--pgdata", folder, *arguments],
        check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/",
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, **as_whom,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
