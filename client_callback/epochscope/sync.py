"""``epochscope sync``: sends what trainings have left behind that ended while the service was away."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from epochscope.sender import Connection, Delivery, State
from epochscope.spool import Spool, default_spool_dir, left_behind

_TRIES = 3  # in a row without success, before a stream is left for another time

EXAMPLES = """\
examples:
  epochscope sync                                   send everything to where it was meant to go
  epochscope sync --url http://127.0.0.1:8080       the service has moved
  epochscope sync --spool-dir /mnt/job42/spool      what a job has left on another disk
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--spool-dir",
        type=Path,
        metavar="DIR",
        help="where updates were saved (default: $EPOCHSCOPE_SPOOL_DIR, else the user's state folder)",
    )
    parser.add_argument("--url", help="the service to send to (default: the one that each training was meant for)")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """0 when everything is sent, 1 when something is left."""
    root = (arguments.spool_dir or default_spool_dir()).expanduser().absolute()
    try:
        left = synchronise(root, arguments.url, os.environ.get("EPOCHSCOPE_TOKEN"), _tell)
    except ValueError as error:
        sys.stderr.write(f"epochscope: {error}\n")
        return 2
    return 1 if left else 0


def synchronise(root: Path, url: str | None, token: str | None, tell: Callable[[str], None]) -> int:
    """Sends every flush under ``root`` whose process has ended; returns how many are left.

    Raises:
        ValueError: ``url`` is none.
    """
    streams = sent = left = living = 0
    for folder in list(left_behind(root)):
        try:
            spool = Spool.of_ended_process(folder)
        except OSError as error:
            tell(f"{folder} can't be read: {error}")
            left += 1
            continue
        if spool is None:
            living += 1
            continue
        streams += 1
        try:
            before = len(spool)
            left += _send(spool, url, token, tell)
            sent += before - len(spool)
        finally:
            spool.close()
    if living:
        tell(f"{living} of the trainings in {root} still run and send for themselves")
    if not streams:
        tell(f"nothing to send in {root}")
    else:
        tell(f"{sent:,} updates sent" + (f", {left:,} left in {root}" if left else ""))
    return left


def _send(spool: Spool, url: str | None, token: str | None, tell: Callable[[str], None]) -> int:
    if url is not None:
        spool.meta.url = url
    delivery = Delivery(spool, Connection(spool.meta.url, token), tell, f"updates stay in {spool.root}")
    total = len(spool)
    failures = 0
    told_at = time.monotonic()
    while len(spool) and failures < _TRIES:
        if delivery.send_oldest():
            failures = 0
        elif delivery.state in (State.AWAY, State.REFUSED, State.GONE):
            break
        else:
            failures += 1
            time.sleep(max(0.0, min(delivery.try_again_at - time.monotonic(), 10.0)))
        if time.monotonic() - told_at >= 1.0:
            told_at = time.monotonic()
            tell(f"run {spool.meta.run}: {total - len(spool):,} of {total:,} updates sent")
    delivery.connection.close()
    if spool.lost:
        tell(f"run {spool.meta.run}: {spool.lost:,} updates were damaged on disk and are lost")
    if delivery.state is State.GONE:
        spool.discard()
    else:
        tell(f"run {spool.meta.run}: {total - len(spool):,} of {total:,} updates sent to {spool.meta.url}")
    return len(spool)


def _tell(text: str) -> None:
    sys.stdout.write(f"epochscope: {text}\n")
    sys.stdout.flush()
