"""What a run runs on and what it was started with: versions, machine, command line, the state of its code.

Environment variables are not looked at, ever: secrets live there. What looks like a secret on the command line is
masked before anything else is done with it.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from epochscope import wire

MASK = "***"
MOST_TEXT = 10_000  # characters of one value
GIT_S = 2.0

# A word of its own in the name of an option, or a part of it set off by -, _, . or a capital letter.
_SECRET = re.compile(
    r"(?:^|[-_.+])(?:tokens?|passwords?|passwd|passphrase|pass|pwd|secrets?|credentials?|auth|authorization|bearer|"
    r"cookie|key|apikey)(?:$|[-_.])",
    re.IGNORECASE,
)
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_INSIDE = re.compile(r"""([\w.+-]+)(["']?\s*[=:](?!//)\s*)("[^"]*"|'[^']*'|[^\s"',;&{}]+)""")
_LOGIN = re.compile(r"(://[^/\s:@]*:)[^/\s]*(?=@)")
_SCHEME = re.compile(r"\b(bearer|basic)\s+\S+", re.IGNORECASE)
_KNOWN = re.compile(r"\b(?:hf_|gh[pousr]_|github_pat_|glpat-|sk-|xox[abp]-|AKIA|eyJ)[\w.-]{12,}")


def environment_of(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a run: what any Python can tell, and ``more``."""
    found = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "hostname": socket.gethostname(),
        "processors": str(os.cpu_count() or ""),
        "command": command_line(getattr(sys, "argv", [])),
    }
    return {wire.clean_name(key): bounded(str(value)) for key, value in {**found, **more}.items() if value}


def bounded(text: str) -> str:
    """Text that can be stored anywhere, and not too much of it."""
    text = text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"


def command_line(arguments: Sequence[str]) -> str:
    """``arguments`` as one would type them, with ``***`` for what looks like a secret.

    That is the value of an option or setting whose name says so (``--token x``, ``--db-password=x``,
    ``api_key=x``), the password in an address, what follows "Bearer", and tokens of well-known forms.
    """
    masked: list[str] = []
    for number, argument in enumerate(arguments):
        before = arguments[number - 1] if number else ""
        if before.startswith("-") and "=" not in before and not argument.startswith("--") and _secret(before, argument):
            masked.append(MASK)
        else:
            masked.append(_masked(argument))
    return shlex.join(masked).replace(shlex.quote(MASK), MASK)


def _masked(argument: str) -> str:
    name, equals, value = argument.partition("=")
    if equals and re.fullmatch(r"[\w.+-]+", name) and _secret(name, value):
        return f"{name}={MASK}"
    argument = _LOGIN.sub(rf"\1{MASK}", argument)
    argument = _SCHEME.sub(rf"\1 {MASK}", argument)
    argument = _INSIDE.sub(lambda m: m[1] + m[2] + (MASK if _secret(m[1], m[3]) else m[3]), argument)
    return _KNOWN.sub(MASK, argument)


def _secret(name: str, value: str) -> bool:
    """Whether the value of ``name`` is one to hide; a number of tokens is none."""
    name = _CAPITAL.sub("_", name.lstrip("-"))
    if re.search(r"tokens$", name, re.IGNORECASE) and re.fullmatch(r"[\d_.,]+", value):
        return False
    return _SECRET.search(name) is not None


def git_state() -> dict[str, str]:
    """The commit of the code that runs and whether tracked files differ from it; empty where there is none.

    Of the repository in which the started script lies, else of the working directory. Takes at most 4 s.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    for folder in ([Path(script).absolute().parent] if script else []) + [Path.cwd()]:
        if found := _git_state(folder):
            return found
    return {}


def _git_state(folder: Path) -> dict[str, str]:
    # Nothing is written, not even git's own index.
    command = [
        *("git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder)),
        *("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"),
    ]
    try:
        answer = subprocess.run(  # noqa: S603 - no shell, no argument of anyone else's
            command, capture_output=True, text=True, timeout=GIT_S, stdin=subprocess.DEVNULL, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return {}
    match = re.fullmatch(r"([0-9a-f]{40,64})(-dirty)?", answer)
    return {"git_commit": match[1], "git_dirty": "yes" if match[2] else "no"} if match else {}
