"""Every setting of the service in one table: its name, default, environment variable and help.

The command line, the README's table and the test that compares them all read from here.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from epochscope_server.errors import StartError


@dataclass(frozen=True)
class Setting:
    """One row: ``--name``, ``EPOCHSCOPE_NAME`` and the field of ``Settings`` called the same."""

    name: str
    default: str | int | bool | None
    help: str

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "EPOCHSCOPE_" + self.name.upper()


TABLE = (
    Setting("host", "127.0.0.1", "address to listen on; anything but loopback needs --public-url"),
    Setting("port", 7010, "port to listen on; 0 picks a free one"),
    Setting("data_dir", None, "folder of the store (default: epochscope in $XDG_DATA_HOME or ~/.local/share)"),
    Setting(
        "database",
        None,
        "PostgreSQL instead of a file, e.g. postgresql://scope@db.example.org/epochscope; a password is better kept in "
        "PGPASSWORD or ~/.pgpass",
    ),
    Setting("allow_network_folder", False, "use --data-dir on a network file system all the same; it may be damaged"),
    Setting(
        "public_url",
        None,
        "address that viewers type when it is not loopback, e.g. https://scope.example.org",
    ),
    Setting(
        "alert_webhook",
        None,
        "where alerts are posted, https://...; slack+https://... for a chat that takes Slack's messages; several with "
        "blanks between. Others on this machine see what is typed: a file is better",
    ),
    Setting("alert_webhook_file", None, "a file of such addresses, one a line, # before remarks"),
    Setting("no_browser", False, "do not open a browser at the start"),
    Setting("no_auth", False, "accepted for the sake of scripts; this version has no login, so it changes nothing"),
)

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    host: str
    port: int
    data_dir: Path
    public_url: str | None
    no_browser: bool
    no_auth: bool
    database: str | None = field(default=None, repr=False)  # may hold a password
    allow_network_folder: bool = False
    alert_webhook: str | None = field(default=None, repr=False)  # it is a secret mostly
    alert_webhook_file: str | None = None

    @property
    def address(self) -> str | None:
        """Where viewers find the service, as far as it is known before a free port was picked."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        return f"http://{host}:{self.port}" if self.port else None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise StartError(f"--port must lie between 0 and 65535, not {self.port}")
        if self.public_url is not None:
            parts = urlsplit(self.public_url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
                raise StartError(f"--public-url must look like https://scope.example.org, not {self.public_url!r}")
        elif self.host not in LOOPBACK:
            raise StartError(
                f"--host {self.host} would let other machines in. Say which address they use with "
                "--public-url https://..., or leave --host out to listen on this machine only"
            )


def default_data_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """``epochscope`` in ``$XDG_DATA_HOME``, which is ``~/.local/share`` unless set."""
    home = environment.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "epochscope"


def add_arguments(parser: argparse.ArgumentParser, only: Collection[str] = ()) -> None:
    """A flag for each row, or those in ``only``; what was not typed is None, so that the environment can speak."""
    for row in TABLE:
        if only and row.name not in only:
            continue
        help_text = row.help if row.default in (None, False) else f"{row.help} (default: {row.default})"
        if isinstance(row.default, bool):
            parser.add_argument(row.flag, action="store_true", default=None, help=help_text)
        else:
            kind = int if isinstance(row.default, int) else str
            parser.add_argument(row.flag, type=kind, default=None, metavar=row.name.upper(), help=help_text)


def read(arguments: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from what was typed, else from the environment, else by default.

    Raises:
        StartError: a value that can't be used, and why.
    """
    values: dict[str, Any] = {}
    for row in TABLE:
        value = arguments.get(row.name)
        if value is None and (text := environment.get(row.variable)):
            value = _from_text(row, text)
        values[row.name] = row.default if value is None else value
    values["data_dir"] = Path(values["data_dir"]) if values["data_dir"] else default_data_dir(environment)
    return Settings(**values)


def _from_text(row: Setting, text: str) -> str | int | bool:
    if isinstance(row.default, bool):
        if text.lower() not in ("0", "1", "true", "false"):
            raise StartError(f"{row.variable} must be 1 or 0, not {text!r}")
        return text.lower() in ("1", "true")
    if isinstance(row.default, int):
        if not text.isdecimal():
            raise StartError(f"{row.variable} must be a number, not {text!r}")
        return int(text)
    return text
