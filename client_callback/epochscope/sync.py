"""``epochscope sync``: sends what trainings have left behind that ended while the service was away."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from epochscope import wire
from epochscope.connection import DEFAULT_URL, Connection
from epochscope.progress import Progress
from epochscope.sender import Delivery, State
from epochscope.spool import Spool, left_behind, spool_root, unpack

_TRIES = 3  # in a row without success, before a stream is left for another time

EXAMPLES = """\
examples:
  epochscope sync                                   send everything to where it was meant to go
  epochscope sync --url http://127.0.0.1:8080       the service has moved
  epochscope sync --spool-dir /mnt/job42/spool      what a job has left on another disk
  scp -r node7:.local/state/epochscope/spool from-node7
  epochscope sync --spool-dir from-node7            what another machine has left (or one run of it: from-node7/RUN)

A token is taken from $EPOCHSCOPE_TOKEN. What is sent is removed from the folder, what is not stays for another time.
exit code: 0 when everything is sent, 1 when something is left, 2 for an argument that can't be used
"""


@dataclass
class Tally:
    """What became of the updates of all streams."""

    sent: int = 0
    left: int = 0
    gone: dict[str, int] = field(default_factory=dict)  # what will never arrive, by the names of ``_GONE``

    def add_gone(self, missing: dict[str, str]) -> None:
        for name, count in missing.items():
            self.gone[name] = self.gone.get(name, 0) + int(count.replace(",", ""))

    def line(self, root: Path) -> str:
        """All of it in one line."""
        parts = [_counted(self.sent, "update") + " sent"]
        if self.left:
            parts.append(f"{self.left:,} left in {root}")
        parts += [
            words.format(_counted(self.gone[name], unit)) for name, (unit, words) in _GONE.items() if name in self.gone
        ]
        return ", ".join(parts)


_GONE = {
    wire.LOST: ("update", "{} lost to damage"),
    wire.THINNED: ("value", "{} thinned while the disk was full"),
    wire.DROPPED: ("value", "{} dropped while disk and memory were full"),
    wire.REFUSED: ("update", "{} refused by the service"),
}


def _counted(number: int, unit: str) -> str:
    return f"{number:,} {unit}" + ("" if number == 1 else "s")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--spool-dir",
        type=Path,
        metavar="DIR",
        help="where updates were saved, or the folder of one run in it "
        "(default: $EPOCHSCOPE_SPOOL_DIR, else the user's state folder)",
    )
    parser.add_argument("--url", help="the service to send to (default: the one that each training was meant for)")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """0 when everything is sent, 1 when something is left, 2 for an argument that can't be used."""
    try:
        root = spool_root(arguments.spool_dir)
    except ValueError as error:
        sys.stderr.write(f"epochscope: {error}\n")
        return 2
    if arguments.spool_dir is not None and not root.is_dir():
        sys.stderr.write(f"epochscope: there is no folder {root}\n")
        return 2
    try:
        left = synchronise(root, arguments.url, os.environ.get("EPOCHSCOPE_TOKEN"), _tell, Progress())
    except ValueError as error:
        sys.stderr.write(f"epochscope: {error}\n")
        return 2
    return 1 if left else 0


def synchronise(
    root: Path, url: str | None, token: str | None, tell: Callable[[str], None], progress: Progress | None = None
) -> int:
    """Sends every flush under ``root`` whose process has ended; returns how many are left.

    Raises:
        ValueError: ``url`` is none, or ``token``.
    """
    Connection(DEFAULT_URL if url is None else url, token)
    tally = Tally()
    streams = living = 0
    for folder in list(left_behind(root)):
        try:
            spool = Spool.of_ended_process(folder)
        except OSError as error:
            advice = ""
            if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                advice = "; what is sent is removed, so copy the folder to where you may write, and name that"
            tell(f"{folder} can't be read: {error}{advice}")
            tally.left += 1
            continue
        if spool is None:
            living += 1
            continue
        streams += 1
        try:
            _send(spool, url, token, tell, tally, progress)
        finally:
            if progress is not None:
                progress.end()
            spool.close()
    if living:
        tell(f"{living} of the trainings in {root} still run and send for themselves, or another sync sends them now")
    tell(tally.line(root) if streams else f"nothing to send in {root}")
    return tally.left


def _send(
    spool: Spool,
    url: str | None,
    token: str | None,
    tell: Callable[[str], None],
    tally: Tally,
    progress: Progress | None,
) -> None:
    if url is not None:
        spool.meta.url = url
    try:
        connection = Connection(spool.meta.url, token)
    except ValueError:
        tell(f"where to send {spool.folder} is not known, since its meta.json is damaged or gone; say it by --url")
        tally.left += len(spool)
        return

    def say(text: str) -> None:
        if progress is not None:
            progress.end()  # so that a line does not stand in the bar
        tell(text)

    delivery = Delivery(spool, connection, say, f"updates stay in {spool.root}")
    total = len(spool)
    name = f"run {spool.meta.info.name if spool.meta.info else spool.meta.run}"
    if progress is not None:
        progress.begin(name, total)
    last = _deliver(spool, delivery, progress)
    sent = total - len(spool)
    missing = spool.missing()
    if delivery.state is State.CONNECTED and missing and spool.meta.info is not None:
        _tell_missing(spool, missing, last)
        _deliver(spool, delivery, None)
    connection.close()
    if delivery.state is State.GONE:
        spool.discard()
    else:
        say(f"{name}: {sent:,} of {total:,} updates sent to {spool.meta.url}")
    tally.sent += sent
    tally.left += len(spool)
    tally.add_gone(missing)


def _deliver(spool: Spool, delivery: Delivery, progress: Progress | None) -> bytes | None:
    """Sends what can be sent; the last update that was."""
    last, failures = None, 0
    while len(spool) and failures < _TRIES:
        try:
            oldest = spool.oldest()
        except OSError:
            oldest = None  # the delivery says why
        if delivery.send_oldest():
            failures = 0
            if oldest is not None:
                last = oldest[1]
                if progress is not None:
                    progress.add(len(last))
        elif delivery.state in (State.AWAY, State.REFUSED, State.GONE):
            break
        else:
            failures += 1
            time.sleep(max(0.0, min(delivery.try_again_at - time.monotonic(), 10.0)))
    return last


def _tell_missing(spool: Spool, missing: dict[str, str], last: bytes | None) -> None:
    """One more update, that says what of the run will never arrive; its process could not say it."""
    assert spool.meta.info is not None
    info = msgspec.structs.replace(spool.meta.info, environment={**spool.meta.info.environment, **missing})
    said = wire.Flush(
        version=wire.VERSION,
        run=spool.meta.run,
        stream=spool.stream,
        seq=spool.next_seq,
        sent_ms=int(time.time() * 1000),
        info=info,
        end=unpack(last).end if last is not None else None,  # else the run would seem to go on
    )
    spool.put(wire.encode(said))


def _tell(text: str) -> None:
    sys.stdout.write(f"epochscope: {text}\n")
    sys.stdout.flush()
