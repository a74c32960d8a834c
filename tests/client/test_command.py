"""The command ``epochscope``: what it says of itself, and without the service installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from epochscope import __version__
from epochscope.__main__ import SERVICE_COMMANDS, main
from listener import free_port

Console = pytest.CaptureFixture[str]


def exit_code(*arguments: str) -> int:
    try:
        return main(arguments)
    except SystemExit as leave:
        return int(leave.code or 0)


@pytest.mark.parametrize("command", [(), *((name,) for name in (*SERVICE_COMMANDS, "demo", "sync"))])
def test_help_has_examples(command: tuple[str, ...], capsys: Console) -> None:
    assert exit_code(*command, "--help") == 0
    assert "example" in capsys.readouterr().out


def test_version(capsys: Console) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"epochscope {__version__}\n"


def test_without_a_command_or_with_a_wrong_one_the_commands_are_named(capsys: Console) -> None:
    for arguments in ((), ("trian",)):
        assert exit_code(*arguments) == 2
        assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["serve", "--port", "8000"], ["open"], ["runs", "--json"], ["serve", "--help"]])
def test_without_the_service_its_commands_say_how_to_get_it(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Console
) -> None:
    monkeypatch.setitem(sys.modules, "epochscope_server", None)
    monkeypatch.delitem(sys.modules, "epochscope_server.cli", raising=False)
    assert exit_code(*command) == 1
    said = capsys.readouterr().err
    assert said.startswith(f'epochscope {command[0]} needs the service: pip install "epochscope[server]"')


def test_sync_with_nothing_to_send_says_so(spool_dir: Path, capsys: Console) -> None:
    assert exit_code("sync") == 0
    assert capsys.readouterr().out == f"epochscope: nothing to send in {spool_dir}\n"


def test_sync_to_no_address_is_answered(spool_dir: Path, capsys: Console) -> None:
    from epochscope import spool, wire

    kept = spool.Spool(spool_dir, spool.Meta(f"http://127.0.0.1:{free_port()}", "run00000x", "stream0x"))
    kept.put(wire.encode(wire.Flush(wire.VERSION, "run00000x", "stream0x", 1, 1, info=wire.RunInfo("p", "n", 1))))
    kept.let_go()  # as the end of its process does
    assert exit_code("sync", "--url", "mailto:me") == 2
    assert "url must look like" in capsys.readouterr().err
    assert exit_code("sync") == 1


@pytest.mark.parametrize("command", ["runs", "open", "keep"])
@pytest.mark.parametrize("url", ["nonsense://x", "http://a b", "http://[::1", "http://host:port", "http://"])
def test_an_address_that_is_none_is_answered_by_each_command(command: str, url: str, capsys: Console) -> None:
    assert exit_code(command, "--url", url) == 1
    said = capsys.readouterr().err
    assert "is no address of a service; it looks like http://host:port or https://host" in said


def test_a_token_that_can_not_be_sent_is_answered_by_sync(monkeypatch: pytest.MonkeyPatch, capsys: Console) -> None:
    monkeypatch.setenv("EPOCHSCOPE_TOKEN", "two\nlines")
    assert exit_code("sync") == 2
    assert "token must be one line" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = [sys.executable, "-c", "import sys; from epochscope.__main__ import main; sys.exit(main(['sync']))"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.stderr == ""
