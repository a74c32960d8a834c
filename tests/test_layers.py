"""Imports point down: which room may look into which, read from the source without running it.

``RULES`` says what a file may not import and why; ``CHAIN`` is the way of a number through the training side, in
which no module may reach a later one, not even by way of a third. Each rule is shown to catch the import it forbids.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("client_callback", "server", "frontend")

WEB = ("fastapi", "starlette", "uvicorn", "sse_starlette", "http", "urllib.request", "httpx", "requests")
SQL = ("sqlalchemy", "alembic", "sqlite3", "psycopg")
TRAINING = ("keras", "tensorflow", "jax", "torch")

CHAIN = ("wire", "spool", "sender", "run", "keras_capture", "keras")


@dataclass(frozen=True)
class Rule:
    """Files like ``who`` but not like ``but`` never import ``never``, save ``save``; those like ``lazily`` only in a
    function."""

    why: str
    who: str
    never: tuple[str, ...]
    but: tuple[str, ...] = ()
    lazily: tuple[str, ...] = ()
    save: tuple[str, ...] = ()


CLIENT = "client_callback/epochscope/"
SERVER = "server/epochscope_server/"
RULES = (
    Rule(
        "the training side never looks into the service; only its command does, when it is asked for",
        CLIENT + "*",
        ("epochscope_server", "epochscope_web"),
        lazily=(CLIENT + "__main__.py",),
    ),
    Rule(
        "Keras stays in keras*.py, so that a script without it can use the rest",
        "*",
        TRAINING,
        but=(CLIENT + "keras*.py",),
        lazily=(CLIENT + "fashion_mnist.py",),
    ),
    Rule("the training side needs no framework", CLIENT + "*", ("fastapi", "starlette", "uvicorn", *SQL)),
    Rule(
        "the training side speaks HTTP in one place",
        CLIENT + "*",
        WEB,
        but=(CLIENT + "connection.py", CLIENT + "keras_demo.py"),
    ),
    Rule(
        "what travels is understood without the rooms that use it",
        CLIENT + "wire.py",
        ("epochscope",),
        save=("epochscope.names",),
    ),
    Rule("a name is understood without what it names", CLIENT + "names.py", ("epochscope",)),
    Rule(
        "importing the package loads neither NumPy nor a room",
        CLIENT + "__init__.py",
        ("numpy", "msgspec", "epochscope"),
        lazily=(CLIENT + "__init__.py",),
    ),
    Rule(
        "analysis is pure: numbers in, numbers out",
        SERVER + "analysis/*",
        (*WEB, *SQL, "plotly", "epochscope_server.api", "epochscope_server.store", "epochscope_server.figures"),
    ),
    Rule(
        "figures are pure functions of analysis",
        SERVER + "figures/*",
        (*WEB, *SQL, "plotly", "epochscope_server.api", "epochscope_server.store"),
    ),
    Rule("SQL stays in store/", SERVER + "*", SQL, but=(SERVER + "store/*",)),
    Rule(
        "the store knows nothing of who asks",
        SERVER + "store/*",
        (*WEB, "epochscope_server.api", "epochscope_server.figures", "epochscope_server.app"),
    ),
    Rule(
        "HTTP stays at the door of the service",
        SERVER + "*",
        WEB,
        but=tuple(
            SERVER + name
            for name in ("api/*", "app.py", "guard.py", "pages.py", "serving.py", "cli.py", "alerts/webhooks.py")
        ),
    ),
    Rule(
        "alerts are found and sent whether or not anybody asks",
        SERVER + "alerts/*",
        ("epochscope_server.api", "epochscope_server.figures", "epochscope_server.app"),
    ),
    Rule("the frontend's package is a folder with an address", "frontend/*", ("epochscope", "epochscope_server", *WEB)),
)
# The only words the two sides share.
SHARED = ("epochscope.wire", "epochscope.__version__")


@dataclass(frozen=True)
class Import:
    name: str  # dotted; `from a import b` is "a.b"
    line: int
    lazy: bool  # in a function, or for the type checker only


def imports(source: str) -> Iterator[Import]:
    """Every import of a module, in its body or deeper."""

    def walk(node: ast.AST, lazy: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, lazy)
            elif isinstance(child, ast.ImportFrom):
                for alias in child.names:
                    yield Import("." * child.level + f"{child.module or ''}.{alias.name}", child.lineno, lazy)
            else:
                later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
                yield from walk(child, lazy or later or types)

    return walk(ast.parse(source), lazy=False)


def matches(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def sources() -> dict[str, str]:
    """Path from the repository's root -> source, of every Python file of the three rooms."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text()
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if "node_modules" not in path.parts
    }


def violations(files: Mapping[str, str]) -> list[str]:
    """A line for each forbidden import: where, what, and why not."""
    found = []
    for path, source in files.items():
        for each in imports(source):
            where = f"{path}:{each.line} imports {each.name}"
            if each.name.startswith("."):
                found.append(f"{where}: write it out; relative imports hide which room is meant")
            for rule in RULES:
                if not fnmatch(path, rule.who) or any(fnmatch(path, name) for name in rule.but):
                    continue
                allowed = each.lazy and any(fnmatch(path, name) for name in rule.lazily)
                if matches(each.name, rule.never) and not matches(each.name, rule.save) and not allowed:
                    found.append(f"{where}: {rule.why}")
            if path.startswith(SERVER) and matches(each.name, ("epochscope",)) and not matches(each.name, SHARED):
                found.append(f"{where}: the service shares only {' and '.join(SHARED)} with the training side")
    return found + uphill(files)


def uphill(files: Mapping[str, str]) -> list[str]:
    """A line for each module of ``CHAIN`` from which a later one can be reached, and by which way."""
    modules = {Path(path).stem: source for path, source in files.items() if path.startswith(CLIENT)}
    edges = {
        module: {
            name
            for each in imports(source)
            if each.name.startswith("epochscope.") and (name := each.name.split(".")[1]) in modules
        }
        for module, source in modules.items()
        if module != "__init__"
    }
    found = []
    for place, start in enumerate(CHAIN):
        ways = {start: start}
        queue = [start]
        for module in queue:
            for reached in sorted(edges.get(module, set()) - ways.keys()):
                ways[reached] = f"{ways[module]} -> {reached}"
                queue.append(reached)
        found += [
            f"{CLIENT}: {ways[later]} points up; the way is {' -> '.join(reversed(CHAIN))}"
            for later in CHAIN[place + 1 :]
            if later in ways
        ]
    return found


def test_every_import_points_down() -> None:
    assert violations(sources()) == []


def test_the_rooms_are_really_read() -> None:
    paths = sources().keys()
    assert CLIENT + "wire.py" in paths
    assert SERVER + "analysis/rates.py" in paths
    assert {Path(path).stem for path in paths} >= set(CHAIN), "a module of the chain is gone; name its heir in CHAIN"


@pytest.mark.parametrize(
    ("path", "line", "why"),
    [
        (CLIENT + "connection.py", "import epochscope_server.app", "never looks into the service"),
        (CLIENT + "__main__.py", "from epochscope_server import cli", "never looks into the service"),
        (CLIENT + "run.py", "from keras import Model", "Keras stays in keras"),
        (CLIENT + "fashion_mnist.py", "import keras", "Keras stays in keras"),
        (SERVER + "app.py", "import tensorflow as tf", "Keras stays in keras"),
        (CLIENT + "spool.py", "import sqlalchemy", "needs no framework"),
        (CLIENT + "run.py", "from urllib.request import urlopen", "HTTP in one place"),
        (CLIENT + "wire.py", "from epochscope.run import Run", "without the rooms that use it"),
        (CLIENT + "names.py", "from epochscope import wire", "without what it names"),
        (CLIENT + "__init__.py", "import numpy as np", "neither NumPy nor a room"),
        (SERVER + "analysis/rates.py", "from fastapi import Query", "analysis is pure"),
        (SERVER + "analysis/rates.py", "from epochscope_server.store import log", "analysis is pure"),
        (SERVER + "figures/series.py", "from epochscope_server.api import runs", "figures are pure"),
        (SERVER + "figures/series.py", "import plotly.graph_objects as go", "figures are pure"),
        (SERVER + "api/runs.py", "from sqlalchemy import select", "SQL stays in store"),
        (SERVER + "alerts/look.py", "from epochscope_server.api import classes", "whether or not anybody asks"),
        (SERVER + "alerts/courier.py", "import http.client", "HTTP stays at the door"),
        (SERVER + "store/log.py", "from epochscope_server.api import runs", "knows nothing of who asks"),
        (SERVER + "window.py", "from starlette.requests import Request", "HTTP stays at the door"),
        (SERVER + "api/runs.py", "from epochscope.run import Run", "shares only epochscope.wire"),
        (SERVER + "api/runs.py", "from . import health", "relative imports hide"),
        ("frontend/epochscope_web/__init__.py", "import epochscope", "a folder with an address"),
    ],
)
def test_a_forbidden_import_is_named_with_its_place_and_reason(path: str, line: str, why: str) -> None:
    found = violations({path: f'"""A room."""\n{line}\n'})
    assert any(message.startswith(f"{path}:2 imports ") and why in message for message in found), found


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (CLIENT + "__main__.py", "def main():\n    from epochscope_server import cli"),
        (CLIENT + "fashion_mnist.py", "def load():\n    import keras"),
        (CLIENT + "keras.py", "import keras"),
        (CLIENT + "wire.py", "from epochscope.names import check_id"),
        (CLIENT + "__init__.py", "if TYPE_CHECKING:\n    from epochscope.run import Run"),
        (SERVER + "app.py", "from epochscope import __version__"),
        (SERVER + "api/flushes.py", "from epochscope import wire"),
        (SERVER + "api/flushes.py", "from epochscope.wire import decode"),
        (SERVER + "store/log.py", "import sqlalchemy as sa"),
        (CLIENT + "run.py", "import epochscope_servers  # another package, by the look of it"),
    ],
)
def test_a_permitted_import_is_left_alone(path: str, line: str) -> None:
    assert violations({path: line}) == []


def test_a_way_up_through_a_third_module_is_found() -> None:
    files = {CLIENT + "spool.py": "from epochscope import piece", CLIENT + "piece.py": "import epochscope.sender"}
    files[CLIENT + "sender.py"] = "from epochscope.spool import Spool"
    assert [message.split(":")[1] for message in violations(files)] == [
        " spool -> piece -> sender points up; the way is keras -> keras_capture -> run -> sender -> spool -> wire"
    ]
