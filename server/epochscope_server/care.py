"""The commands that look after a store: backup, restore, doctor. They need no service, and may run beside one."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from epochscope_server import settings
from epochscope_server.errors import CareError, StartError
from epochscope_server.store import backup, doctor, postgres
from epochscope_server.store.findings import Findings

SHOWN = 20  # runs in the table of sizes


def add_commands(commands: Any) -> None:
    saving = commands.add_parser(
        "backup",
        help="copy the store to a file while the service runs",
        description="Copy the whole store to one file: its state of this moment, checked from end to end, while the "
        "service goes on. A file that is there is never written over.",
        epilog="examples:\n  epochscope backup runs-monday.db\n"
        "  epochscope backup /mnt/safe/runs.db --data-dir ./runs\n"
        '  epochscope backup "runs-$(date +%F).db"      from cron, a new one every day\n'
        "Of a store in PostgreSQL it says the command of pg_dump that does the same.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    saving.add_argument("file", type=Path, metavar="FILE", help="the backup; it must not be there yet")
    saving.set_defaults(run=_backup)
    restoring = commands.add_parser(
        "restore",
        help="make a store from a backup",
        description="Make a store from a backup, in a folder that has none and is not in use. The backup is checked "
        "before anything is written, and stays as it is.",
        epilog="example:\n  epochscope restore runs-monday.db --data-dir ./restored\n"
        "  epochscope serve --data-dir ./restored",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    restoring.add_argument("file", type=Path, metavar="FILE", help="what `epochscope backup` wrote")
    restoring.set_defaults(run=_restore)
    looking = commands.add_parser(
        "doctor",
        help="look through the store for damage, and mend it",
        description="Check the file, every stored block, and all sums against what they were made of; say what each "
        "run takes. Nothing is changed without --rebuild. Exit codes: 0 all is well now, 1 something is wrong or could "
        "not be looked at.",
        epilog="examples:\n  epochscope doctor                    also beside a running service\n"
        "  epochscope doctor --rebuild          with the service stopped\n  epochscope doctor --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    looking.add_argument(
        "--rebuild", action="store_true", help="build anew what is wrong, as far as it follows from what is kept"
    )
    looking.add_argument("--json", action="store_true", help="what was found and what every run takes, for programs")
    looking.set_defaults(run=_doctor)
    for command in (saving, restoring, looking):
        settings.add_arguments(command, ("data_dir", "database"))


class Progress:
    """One line on a terminal that says how far a command is; nothing where nobody watches."""

    def __init__(self) -> None:
        self._shown, self._next, self._width = sys.stderr.isatty(), 0.0, 0

    def __call__(self, what: str, done: int, whole: int) -> None:
        if not self._shown or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.2
        how_far = f"{min(100 * done // whole, 100):3d} %  {_size(done)} of {_size(whole)} " if whole else ""
        self._show(f"{how_far}{what}")

    def close(self) -> None:
        if self._width:
            self._show("")
            print("\r", end="", file=sys.stderr, flush=True)

    def _show(self, line: str) -> None:
        print(f"\r{line:<{self._width}}", end="", file=sys.stderr, flush=True)
        self._width = len(line)


def _backup(arguments: argparse.Namespace) -> int:
    def save(chosen: settings.Settings, progress: Progress) -> int:
        if chosen.database:
            return _say_how(f"pg_dump --format=custom --file={_quoted(arguments.file)} {_address(chosen.database)}")
        copied = backup.save(chosen.data_dir, arguments.file, progress)
        progress.close()
        print(f"epochscope: {copied.path} holds {_runs(copied.runs)}, {_size(copied.size)}, checked")
        return 0

    return _carried_out(arguments, save)


def _restore(arguments: argparse.Namespace) -> int:
    def put_back(chosen: settings.Settings, progress: Progress) -> int:
        if chosen.database:
            address = _address(chosen.database)
            return _say_how(f"pg_restore --no-owner --dbname={address} {_quoted(arguments.file)}")
        copied = backup.put_back(arguments.file, chosen.data_dir, progress)
        progress.close()
        print(f"epochscope: {copied.path} holds {_runs(copied.runs)}, {_size(copied.size)}, checked")
        print(f"start it with: epochscope serve --data-dir {_quoted(chosen.data_dir)}")
        return 0

    return _carried_out(arguments, put_back)


def _doctor(arguments: argparse.Namespace) -> int:
    def look(chosen: settings.Settings, progress: Progress) -> int:
        with doctor.opened(chosen.data_dir, chosen.database, arguments.rebuild) as findings:
            sizes = _looked_through(findings, progress)
        progress.close()
        (_print_json if arguments.json else _print_tables)(findings, sizes)
        return 1 if findings.wrong else 0

    return _carried_out(arguments, look)


def _looked_through(findings: Findings, progress: Progress) -> list[doctor.Sizes]:
    """Everything is checked; says how far it is."""
    progress("checking the file", 0, 0)
    doctor.check_file(findings)
    doctor.check_relations(findings)
    sizes = doctor.sizes(findings)
    whole, seen = sum(one.total for one in sizes), 0
    for number, one in enumerate(sizes, 1):
        progress(f"checked, run {number:,} of {len(sizes):,}", seen, whole)
        doctor.check_run(findings, one.run)
        seen += one.total
    return sizes


def _print_tables(findings: Findings, sizes: list[doctor.Sizes]) -> None:
    largest = sorted(sizes, key=lambda one: -one.total)
    rows = [["run", "log", "counts", "curves", "series", "all", "project / name"]]
    for one in largest[:SHOWN]:
        parts = (one.log, one.counts, one.curves, one.series, one.total)
        rows.append([one.run, *map(_size, parts), f"{one.project} / {one.name}"])
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for first, *numbers, last in rows if sizes else ():
        columns = [f"{number:>{width}}" for number, width in zip(numbers, widths[1:], strict=True)]
        print(f"{first:<{widths[0]}}", *columns, last, sep="  ")
    if rest := largest[SHOWN:]:
        print(f"and {_runs(len(rest))} more of {_size(sum(one.total for one in rest))} together; --json lists them all")
    for found in findings.all:
        about = f"run {found.run}: " if found.run else ""
        print(f"{'mended' if found.mended else 'WRONG '}  {about}{found.where} {found.what}")
    print(f"epochscope: {_runs(len(sizes))}, {findings.blocks:,} blocks checked: {_verdict(findings)}")


def _verdict(findings: Findings) -> str:
    if not findings.all:
        return "all is well"
    if not findings.wrong:
        return f"all {len(findings.all)} mended"
    if findings.write is None:
        return f"{findings.wrong} wrong; stop the service and run `epochscope doctor --rebuild` to mend what can be"
    mended = len(findings.all) - findings.wrong
    return f"{mended} mended, {findings.wrong} wrong and kept nowhere else; a backup may have it"


def _print_json(findings: Findings, sizes: list[doctor.Sizes]) -> None:
    told = {
        "blocks": findings.blocks,
        "findings": [asdict(one) for one in findings.all],
        "runs": [{**asdict(one), "total": one.total} for one in sizes],
    }
    print(json.dumps(told, indent=2))


def _carried_out(arguments: argparse.Namespace, command: Callable[[settings.Settings, Progress], int]) -> int:
    progress = Progress()
    try:
        return command(settings.read(vars(arguments)), progress)
    except (CareError, StartError) as error:
        progress.close()
        print(f"epochscope: {error}", file=sys.stderr)
        return 1


def _say_how(command: str) -> int:
    """PostgreSQL has tools of its own for this, which do it better."""
    print(f"epochscope: the store is in PostgreSQL, whose own tools do this:\n  {command}", file=sys.stderr)
    return 1


def _address(url: str) -> str:
    return _quoted(postgres.without_password(url))


def _quoted(word: Any) -> str:
    return shlex.quote(str(word))


def _runs(count: int) -> str:
    return f"{count:,} run{'' if count == 1 else 's'}"


def _size(count: int) -> str:
    """Bytes as a person reads them: 512 B, 1.4 MB."""
    if count < 1000:
        return f"{count} B"
    value, units = count / 1000, iter("kMGT")
    unit = next(units)
    while value >= 999.5 and unit != "T":
        value, unit = value / 1000, next(units)
    return f"{value:.{1 if value < 99.95 else 0}f} {unit}B"
