"""Keras's own tests, as its wheel carries them, run without and with a Monitor in every ``fit()`` and ``evaluate()``.

::

    python tests/campaign/keras_own_tests.py --backend jax           every test file that trains a model
    python tests/campaign/keras_own_tests.py trainer_test            those files alone whose name has this in it

Prints each test whose outcome differs, and how many do not. Some of them hold that History has just the keys of the
compiled metrics; those that fail with Monitor are run a third time, with Monitor's own keys taken out of the History
that ``fit`` returns. Exits with 1 if a test fails even then that passes without Monitor.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
TRAINS = re.compile(r"\.(fit|evaluate|train_on_batch|test_on_batch)\(")
# In the names of tests that are named after objects; another one in every process.
ADDRESS = re.compile(r"0x[0-9a-f]+")
# Always among them, whether they train or not: what a callback and a trainer are.
ALWAYS = ("src/trainers/", "src/callbacks/", "src/models/")


@dataclass
class Outcomes:
    """What became of each test, and how many fits and evaluations had a Monitor."""

    tests: dict[str, str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    watched: Counter[str] = field(default_factory=Counter)
    whole: bool = False  # the process has come to its own end

    @property
    def passed(self) -> set[str]:
        return {test for test, outcome in self.tests.items() if outcome == "passed"}


def test_files(words: list[str]) -> list[Path]:
    """The test files of the installed Keras that train models; those alone that have one of ``words`` in their name."""
    spec = find_spec("keras")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("there is no Keras here")
    root = Path(spec.submodule_search_locations[0])
    found = []
    for path in sorted(root.rglob("*_test.py")):
        name = path.relative_to(root).as_posix()
        if (name.startswith(ALWAYS) or TRAINS.search(path.read_text())) and (
            not words or any(word in name for word in words)
        ):
            found.append(path)
    return found


def run(path: Path, backend: str, limit_s: float, *how: str, only: Collection[str] = ()) -> Outcomes:
    """One file of tests in a process of its own, or of them ``only`` some; ``how``: options of the plugin."""
    known = only and not any(ADDRESS.search(test) for test in only)
    chosen = [str(path.parent / test) for test in sorted(only)] if known else [str(path)]
    with tempfile.TemporaryDirectory() as folder:
        outcomes = Path(folder) / "outcomes"
        outcomes.touch()
        command = [
            *(sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(path.parent)),
            *("-p", "monitor_everywhere", "-p", "no:cacheprovider", "-p", "no:timeout", "-p", "no:xdist"),
            *("--outcomes", str(outcomes), "--basetemp", f"{folder}/tmp", *how, *chosen),
        ]
        paths = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        more = {"KERAS_BACKEND": backend, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment = {**os.environ, **more}
        try:
            ended = subprocess.run(command, env=environment, capture_output=True, timeout=limit_s, cwd=folder)
            why = f"ended by itself with {ended.returncode}: {ended.stderr[-500:].decode(errors='replace')}"
        except subprocess.TimeoutExpired:
            why = f"took longer than {limit_s:.0f} s"
        found = read(outcomes)
        if not found.whole:
            sys.stdout.write(f"  {path.name} {' '.join(how)} {why}; what it had not begun is left out\n")
        return found


def read(path: Path) -> Outcomes:
    found = Outcomes()
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        if "watched" in entry:
            found.watched.update(entry["watched"])
            found.whole = True
            continue
        test = ADDRESS.sub("0x", entry["test"])
        if found.tests.get(test) not in (None, "passed"):
            continue  # the first thing that went wrong tells
        found.tests[test] = entry["outcome"]
        found.why[test] = entry["why"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="parts of the names of files; without any, all that train")
    parser.add_argument("--backend", default="tensorflow", choices=("tensorflow", "jax", "torch"))
    parser.add_argument("--place", default="last", choices=("first", "last"), help="of Monitor among the callbacks")
    parser.add_argument("-k", default="", metavar="EXPRESSION", dest="tests", help="which tests of a file, as pytest's")
    parser.add_argument("--limit", type=float, default=900, metavar="SECONDS", help="for one file of tests")
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    for path in test_files(arguments.words):
        total += compare(path, arguments.backend, arguments.place, arguments.limit, arguments.tests)
    sys.stdout.write(
        f"{arguments.backend}, Monitor {arguments.place}: of {total['tests']} tests {total['without']} pass without; "
        f"with it {total['same']} of these do, {total['keys']} when History has no keys of ours, {total['harmed']} do "
        f"not; {total['fit']} fits and {total['evaluate']} evaluations were watched\n"
    )
    return 1 if total["harmed"] else 0


def compare(path: Path, backend: str, place: str, limit_s: float, tests: str = "") -> Counter[str]:
    """Runs a file without and with Monitor, prints what differs and returns how many tests and fits there were.

    Args:
        tests: which of the file, as an expression of pytest's ``-k``; "" for all.
    """
    began = time.monotonic()
    some = ("-k", tests) if tests else ()
    plain = run(path, backend, limit_s, *some)
    watched = run(path, backend, limit_s, *some, "--monitor", place)
    failed = plain.passed - watched.passed
    harmed = failed
    if failed:
        without_keys = run(path, backend, limit_s, *some, "--monitor", place, "--plain-history", only=failed)
        harmed = failed - without_keys.passed
    found = Counter(tests=len(plain.tests), without=len(plain.passed), same=len(plain.passed & watched.passed))
    found += Counter(keys=len(failed - harmed), harmed=len(harmed)) + watched.watched
    sys.stdout.write(f"{path.name}: {dict(found)}, {time.monotonic() - began:.0f} s\n")
    for test in sorted(failed):
        why = watched.why.get(test, "not run")
        sys.stdout.write(f"  {test}: {'fails' if test in harmed else 'compares the keys in History'}: {why}\n")
    for test in sorted(watched.passed - plain.passed):
        sys.stdout.write(f"  {test}: passes with Monitor alone\n")
    sys.stdout.flush()
    return found


if __name__ == "__main__":
    sys.exit(main())
