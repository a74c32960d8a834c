"""What a run says of the machine, the command line and the code it was started with; and what it never says."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from epochscope import Run
from listener import Listener, until

SCRIPT = """
import sys, time
from epochscope import Run, environment
git = environment.git_state()
with Run(url=sys.argv[1]) as run:
    while not git.items() <= run._info.environment.items():  # it comes from a thread, which this might outrun
        time.sleep(0.02)
"""


def environment_of(listener: Listener, folder: Path, *arguments: str, script: Path | None = None) -> dict[str, str]:
    """What a training started in ``folder`` tells of its environment."""
    script = script or folder / "train.py"
    if not script.exists():
        script.write_text(SCRIPT)
    command = [sys.executable, str(script), listener.url, *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return listener.info(listener.runs[-1]).environment


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@x", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    git(folder, "tag", "-a", "v1", "-m", "a tag does not stand in for the commit")
    return folder


def test_a_clean_repository_is_told_by_its_commit(listener: Listener, repository: Path) -> None:
    (repository / "notes.txt").write_text("a file that git does not know")
    told = environment_of(listener, repository)
    assert told["git_commit"] == git(repository, "rev-parse", "HEAD")
    assert told["git_dirty"] == "no"


def test_a_changed_file_makes_it_dirty(listener: Listener, repository: Path) -> None:
    (repository / "train.py").write_text(SCRIPT + "\n# changed\n")
    told = environment_of(listener, repository)
    assert told["git_commit"] == git(repository, "rev-parse", "HEAD")
    assert told["git_dirty"] == "yes"


@pytest.mark.slow
def test_the_repository_of_the_script_counts_before_that_of_the_working_directory(
    listener: Listener, repository: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outside = environment_of(listener, elsewhere, script=repository / "train.py")
    assert outside["git_commit"] == git(repository, "rev-parse", "HEAD")
    script = elsewhere / "train.py"
    script.write_text(SCRIPT)
    assert environment_of(listener, repository, script=script)["git_commit"] == outside["git_commit"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["no repository", "no commit yet", "no git"])
def test_where_there_is_no_commit_nothing_is_said_of_it(
    kind: str, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "no commit yet":
        git(tmp_path, "init", "-q")
    if kind == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    told = environment_of(listener, tmp_path)
    assert not {"git_commit", "git_dirty"} & told.keys()
    assert "python" in told


def test_environment_variables_are_never_captured(
    listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MY_TOKEN", "HARMLESS", "EPOCHSCOPE_TOKEN"):
        monkeypatch.setenv(name, "in-the-environment")
    environment_of(listener, tmp_path)
    for flush in listener.flushes:
        assert "in-the-environment" not in repr(flush)


def test_versions_host_and_command_line_are_told(listener: Listener, tmp_path: Path) -> None:
    told = environment_of(listener, tmp_path, "--lr", "0.1", "a b")
    assert told["python"] == platform.python_version()
    assert told["numpy"] == np.__version__
    assert told["hostname"] == platform.node()
    assert int(told["processors"]) >= 1
    assert shlex.split(told["command"]) == [str(tmp_path / "train.py"), listener.url, "--lr", "0.1", "a b"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--token", "s3cret"],
        ["--token=s3cret"],
        ["--password", "s3cret"],
        ["--db-password=s3cret with more"],
        ["--api-key", "s3cret"],
        ["--apiKey=s3cret"],
        ["-hf_token", "s3cret"],
        ["key=s3cret"],
        ["HF_TOKEN=s3cret"],
        ["+trainer.wandb.api_key=s3cret"],
        ["--authToken", "s3cret"],
        ["--url", "postgresql://me:s3cret@host/db"],
        ["https://host/?access_token=s3cret&x=1"],
        ["--config", '{"lr": 1, "password": "s3cret word"}'],
        ["--header", "Authorization: Bearer s3cret"],
        ["--header", "x: bearer s3cret"],
        ["hf_s3cretABCDEFGHIJKLMNOP"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_what_looks_like_a_secret_on_the_command_line_is_masked(
    arguments: list[str], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--epochs", "3", *arguments, "--last", "1"])
    Run(url=listener.url).finish()
    command = listener.info().environment["command"]
    assert "***" in command
    assert "s3cret" not in command
    assert "word" not in command.replace("password", "")
    assert command.startswith("train.py --epochs 3 ")
    assert command.endswith(" --last 1")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max-tokens", "512"], ["num_tokens=3"], ["--tokenizer", "bert"], ["--author", "me"], ["--monkey=1"],
        ["--use-auth", "--lr", "1"], ["--bypass", "x"], ["--compass=n"], ["https://host/a?b=c"], ["it's", "a b"],
    ],
)  # fmt: skip
def test_what_is_no_secret_stays_as_it_was_typed(
    arguments: list[str], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    Run(url=listener.url).finish()
    assert shlex.split(listener.info().environment["command"]) == ["train.py", *arguments]


def test_a_command_line_without_end_or_that_is_no_text_is_bounded(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "\udcff\0", *["x" * 99] * 1000])
    Run(url=listener.url).finish()
    command = listener.info().environment["command"]
    assert len(command) == 10_000
    assert command.endswith("…")
    assert "\0" not in command


def test_what_is_said_later_of_the_environment_is_added(listener: Listener) -> None:
    run = Run(url=listener.url, environment={"framework": "mine"})
    run.describe(environment={"accelerator": "none"})
    run.finish()
    until(lambda: "accelerator" in listener.info().environment)
    assert {"framework", "accelerator", "python"} <= listener.info().environment.keys()
