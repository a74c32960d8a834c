"""The command about alerts: what a service has found, and a test of the webhooks it would tell."""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

from epochscope_server import settings
from epochscope_server.alerts import webhooks
from epochscope_server.alerts.messages import example
from epochscope_server.errors import StartError

WEBHOOKS = ("alert_webhook", "alert_webhook_file")


def add_commands(commands: Any, ask: Callable[[str], Any], service: Callable[[argparse.Namespace], str]) -> Any:
    """Add ``epochscope alerts``. ``ask`` answers an address or says on stderr why not; ``service`` is where it runs."""
    parser = commands.add_parser(
        "alerts",
        help="list what was found in runs, or test the webhooks",
        description="List the alerts of a running service, the latest first; or send a test alert to webhooks.",
        epilog="examples:\n  epochscope alerts --project mnist --on\n"
        "  epochscope alerts --test --alert-webhook-file ~/.config/epochscope/webhooks\n"
        "  EPOCHSCOPE_ALERT_WEBHOOK=slack+https://chat.example.org/hooks/abc epochscope alerts --test",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--project", help="only of this project")
    parser.add_argument("--on", action="store_true", help="only those that have not ended")
    parser.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
    parser.add_argument("--json", action="store_true", help="the service's answer as it is")
    parser.add_argument("--test", action="store_true", help="send a test alert from here to each webhook, once")
    settings.add_arguments(parser, only=WEBHOOKS)
    parser.set_defaults(run=lambda arguments: _test(arguments) if arguments.test else _list(arguments, ask, service))
    return parser


def _test(arguments: argparse.Namespace) -> int:
    try:
        chosen = settings.read(vars(arguments))
        there = webhooks.read(chosen.alert_webhook, chosen.alert_webhook_file)
    except StartError as error:
        print(f"epochscope: {error}", file=sys.stderr)
        return 1
    if not there:
        print("epochscope: name a webhook with --alert-webhook or --alert-webhook-file", file=sys.stderr)
        return 1
    failed = False
    for one in there:
        outcome = webhooks.send(one, [example()], chosen.address)
        print(f"{one.host} ({one.style}): {outcome.says}")
        failed |= outcome.state != "sent"
    return int(failed)


def _list(
    arguments: argparse.Namespace, ask: Callable[[str], Any], service: Callable[[argparse.Namespace], str]
) -> int:
    query: dict[str, Any] = {"limit": arguments.limit}
    if arguments.project:
        query["project"] = arguments.project
    if arguments.on:
        query["on"] = "true"
    answer = ask(f"{service(arguments)}/api/v1/alerts?{urllib.parse.urlencode(query)}")
    if answer is None:
        return 1
    if arguments.json:
        print(json.dumps(answer, indent=2))
        return 0
    for one in answer["alerts"]:
        found = time.strftime("%Y-%m-%d %H:%M", time.localtime(one["found_ms"] / 1000))
        state = "on" if one["on"] else "over"
        print(f"{found}  {state:<4}  {one['run']}  {one['project']} / {one['run_name']}: {one['says']}")
    if not answer["alerts"]:
        print("no alerts")
    return 0
