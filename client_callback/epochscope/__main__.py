"""The command ``epochscope``: what it can do, and who does it.

``sync`` belongs to the training side; ``demo`` comes with it, but needs Keras and the service; the rest is the
service's, which need not be installed where trainings run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from epochscope import __version__

SERVICE_COMMANDS = {
    "serve": "run the service that trainings report to",
    "open": "open the page of the running service",
    "runs": "list the runs of the running service",
    "keep": "say for how long the runs of a project are kept",
    "backup": "copy the store to a file while the service runs",
    "restore": "make a store from a backup",
    "doctor": "look through the store for damage, and mend it",
}

EXAMPLES = """\
examples:
  epochscope serve                  start the service on http://127.0.0.1:7010
  epochscope demo                   train a small network on Fashion-MNIST and watch it
  epochscope sync                   send what was saved while the service was away
  epochscope serve --help           what a command can do

Attach a training:
  from epochscope.keras import Monitor
  model.fit(x, y, validation_data=(x_val, y_val), callbacks=[Monitor(class_names=names)])
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code of the process."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Only the command that is asked for is imported; for --help, all of them.
    wanted = next((word for word in given if not word.startswith("-")), None)
    parser = argparse.ArgumentParser(
        prog="epochscope",
        description="See every class learn, live: a monitor for model.fit().",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"epochscope {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_service(commands)
    _add_demo(commands, wanted)
    _add_sync(commands, wanted)
    try:
        parsed = parser.parse_args(given)
        code = int(parsed.run(parsed))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads has seen enough: `epochscope runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python would complain at its end
        return 1
    return code


def _add_service(commands: Any) -> None:
    try:
        from epochscope_server.cli import add_commands
    except ImportError as error:
        for name, text in SERVICE_COMMANDS.items():
            command = commands.add_parser(name, help=text, add_help=False, prefix_chars="\0")
            command.add_argument("rest", nargs="*")
            command.set_defaults(run=_missing_service, name=name, missing=error)
    else:
        add_commands(commands)


def _missing_service(arguments: argparse.Namespace) -> int:
    sys.stderr.write(
        f'epochscope {arguments.name} needs the service: pip install "epochscope[server]" ({arguments.missing})\n'
    )
    return 1


def _add_demo(commands: Any, wanted: str | None) -> None:
    command = commands.add_parser(
        "demo",
        help="train a small network on Fashion-MNIST and watch it",
        description="Starts a service, trains a small network on Fashion-MNIST and shows how each class is learnt.",
        epilog=DEMO_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if wanted == "demo":
        from epochscope import keras_demo

        keras_demo.add_arguments(command)
        command.set_defaults(run=keras_demo.main)


def _add_sync(commands: Any, wanted: str | None) -> None:
    command = commands.add_parser(
        "sync",
        help="send what was saved while the service was away",
        description="Sends the updates of trainings that ended before the service had taken all of them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if wanted == "sync":
        from epochscope import sync

        command.epilog = sync.EXAMPLES
        sync.add_arguments(command)


DEMO_EXAMPLES = """\
examples:
  epochscope demo                                   until Ctrl-C, with a browser if there is one
  epochscope demo --epochs 2 --exit --no-browser    in a script
"""

if __name__ == "__main__":
    sys.exit(main())
