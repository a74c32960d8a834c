"""The commands of the service: serve, open, runs, keep; those that look after its store are in `care.py`."""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import logging
import os
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import webbrowser
from typing import Any

import uvicorn

from epochscope_server import care, settings
from epochscope_server.alerts import command as alerts_command
from epochscope_server.app import create_app
from epochscope_server.conditions import GLANCED, Field, conditions, order
from epochscope_server.errors import StartError
from epochscope_server.serving import listen, make_server
from epochscope_server.store.postgres import place

DEFAULT_URL = "http://127.0.0.1:7010"


def add_commands(commands: Any) -> None:
    """Add the service's commands to the ``epochscope`` command; each sets ``run``, a function of the arguments."""
    serve = commands.add_parser(
        "serve",
        help="start the service and its page",
        description="Start the service: it takes what callbacks send, keeps it, and serves the page.",
        epilog="examples:\n  epochscope serve\n  epochscope serve --port 8000 --data-dir ./runs --no-browser\n"
        "  epochscope serve --database postgresql://scope@db.example.org/epochscope\n"
        "  epochscope serve --host 0.0.0.0 --public-url https://scope.example.org\n"
        "  epochscope serve --alert-webhook-file ~/.config/epochscope/webhooks",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    settings.add_arguments(serve)
    serve.set_defaults(run=_serve)
    show = commands.add_parser(
        "open",
        help="open the page of a running service in a browser",
        epilog="example:\n  epochscope open",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    show.set_defaults(run=_open)
    listing = commands.add_parser(
        "runs",
        help="list the runs that a service keeps",
        description="List the runs that a service keeps, newest first.",
        epilog="examples:\n  epochscope runs\n  epochscope runs --project mnist --json\n"
        "  epochscope runs --where 'params.lr<0.001' --where params.optimizer=adam --sort=-summary.val_macro_f1",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    listing.add_argument("--project", help="only of this project")
    listing.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="CONDITION",
        help="only runs that meet it, such as 'params.lr<0.001' or 'summary.val_macro_f1>=0.9', in quotes for the "
        "shell; given several times, all of them",
    )
    listing.add_argument(
        "--sort",
        metavar="ORDER",
        help="created, heard, name, project, worst (the F1 of the worst class), drop (the certified drop), params.NAME "
        "or summary.NAME; - before it reverses, which is written --sort=-summary.val_accuracy (default: -created)",
    )
    listing.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
    listing.add_argument("--json", action="store_true", help="the service's answer as it is")
    listing.set_defaults(run=_runs)
    keeping = commands.add_parser(
        "keep",
        help="say for how long the runs of a project are kept",
        description="Say for how long the runs of a project are kept; for ever unless you say otherwise. Without a "
        "project it shows what was said of each. A run goes as a whole, so many days after it was last heard of; one "
        "that goes on, has a tag or is archived is never deleted. The first go an hour after you say so.",
        epilog="examples:\n  epochscope keep\n  epochscope keep fashion --days 90\n  epochscope keep fashion --forever",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    keeping.add_argument("project", nargs="?", help="the project whose runs are meant")
    how_long = keeping.add_mutually_exclusive_group()
    how_long.add_argument("--days", type=int, help="delete a run so many days after it was last heard of")
    how_long.add_argument("--forever", action="store_true", help="keep all runs, whatever was said before")
    keeping.set_defaults(run=_keep)
    care.add_commands(commands)
    alerting = alerts_command.add_commands(commands, _ask, _service)
    for command in (show, listing, keeping, alerting):
        command.add_argument("--url", help=f"the service (default: $EPOCHSCOPE_URL, else {DEFAULT_URL})")


def _serve(arguments: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        chosen = settings.read(vars(arguments))
        listener = listen(chosen.host, chosen.port)
        app = create_app(chosen)
    except StartError as error:
        print(f"epochscope: {error}", file=sys.stderr)
        return 1
    url = chosen.public_url or _url(chosen.host, listener.getsockname()[1])
    where = place(chosen.database) if chosen.database else chosen.data_dir
    print(f"epochscope: {url}  (data in {where}; Ctrl-C ends it)", flush=True)
    server = make_server(app)
    if not chosen.no_browser:
        threading.Thread(target=_open_when_up, args=(server, url), daemon=True).start()
    gc.freeze()  # what stands until the end is not looked through again and again: flushes waited 90 ms for that
    # uvicorn shuts down in order and then passes the signal on; an operator's Ctrl-C is no error.
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _open_when_up(server: uvicorn.Server, url: str) -> None:
    while not server.started:
        time.sleep(0.05)
    _browse(url)


def _browse(url: str) -> bool:
    # Without a display, webbrowser would start a text browser in the terminal of the service.
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    return webbrowser.open(url)


def _open(arguments: argparse.Namespace) -> int:
    url = _service(arguments)
    if _ask(f"{url}/api/v1/health") is None:
        return 1
    if not _browse(url):
        print(f"epochscope: no browser found here; open {url} where you have one")
    return 0


def _runs(arguments: argparse.Namespace) -> int:
    query: dict[str, Any] = {"limit": arguments.limit}
    for name in ("project", "where", "sort"):
        if given := getattr(arguments, name):
            query[name] = given
    answer = _ask(f"{_service(arguments)}/api/v1/runs?{urllib.parse.urlencode(query, doseq=True)}")
    if answer is None:
        return 1
    if arguments.json:
        print(json.dumps(answer, indent=2))
        return 0
    asked = [condition.field for condition in conditions(arguments.where)]
    by = order(arguments.sort).by if arguments.sort else ""
    if isinstance(by, Field):
        asked.append(by)
    for run in answer["runs"]:
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(run["created_ms"] / 1000))
        steps = run["steps"].get("train", 0)
        values = "".join(f"  {one.name}={run[one.kind].get(one.name, '-')}" for one in dict.fromkeys(asked))
        if by in GLANCED:
            told = (run["glance"] or {}).get(by)
            values += f"  {by}={told['class_name']} {told['value']}" if told else f"  {by}=-"
        print(f"{run['id']}  {run['status']:<11}  {began}  {steps:>9,} steps  {run['project']} / {run['name']}{values}")
    if not answer["runs"]:
        print("no run matches" if arguments.project or arguments.where else "no runs yet")
    return 0


def _keep(arguments: argparse.Namespace) -> int:
    url = f"{_service(arguments)}/api/v1/projects"
    if arguments.days is None and not arguments.forever:
        answer = _ask(url)
        if answer is None:
            return 1
        told = [one for one in answer["projects"] if arguments.project in (None, one["name"])]
        width = max((len(one["name"]) for one in told), default=0)
        for one in told:
            kept = "for ever" if one["keep_days"] is None else f"{one['keep_days']} days"
            print(
                f"{one['name']:<{width}}  {kept:>11}  {_many(one['runs'])}, {one['due']} due, {one['removed']} deleted"
            )
        if not told:
            print("no such project" if arguments.project else "no runs yet")
        return 0
    if arguments.project is None:
        print("epochscope: name the project, as in: epochscope keep fashion --days 90", file=sys.stderr)
        return 1
    query = urllib.parse.urlencode({"project": arguments.project})
    one = _ask(f"{url}/retention?{query}", {"keep_days": None if arguments.forever else arguments.days})
    if one is None:
        return 1
    if one["keep_days"] is None:
        print(f"epochscope: the runs of {one['name']} are kept for ever")
        return 0
    print(
        f"epochscope: the runs of {one['name']} are deleted {one['keep_days']} days after they were last heard of, "
        "unless they go on, have a tag or are archived"
    )
    print(f"due now: {one['due']} of {_many(one['runs'])}; the first go in an hour. --forever takes it back")
    return 0


def _many(runs: int) -> str:
    return f"{runs:,} run{'' if runs == 1 else 's'}"


def _service(arguments: argparse.Namespace) -> str:
    return str(arguments.url or os.environ.get("EPOCHSCOPE_URL") or DEFAULT_URL).rstrip("/")


def _ask(url: str, put: Any = None) -> Any:
    """The service's answer, or None after saying on stderr why there is none; ``put`` is sent to change something."""
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half of an IPv6 address
        good = False
    if not good or any(map(str.isspace, url)):
        print(
            f"epochscope: {url} is no address of a service; it looks like http://host:port or https://host",
            file=sys.stderr,
        )
        return None
    try:
        body = None if put is None else json.dumps(put).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(url, body, headers, method="GET" if put is None else "PUT")  # noqa: S310
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  the scheme is checked above
            return json.load(answer)
    except urllib.error.HTTPError as error:
        try:
            why = json.load(error)["error"]["message"]
        except (ValueError, KeyError, TypeError):
            why = f"status {error.code}"
        print(f"epochscope: {url} says: {why}", file=sys.stderr)
    except (OSError, ValueError) as error:
        print(f"epochscope: no service at {url} ({error}); start one with `epochscope serve`", file=sys.stderr)
    return None
