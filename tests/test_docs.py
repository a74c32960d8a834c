"""What the papers say and what the program does are the same: commands, settings, routes, targets, links."""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import re
import subprocess
from pathlib import Path

import pytest
from epochscope.__main__ import main
from epochscope_server.app import create_app
from epochscope_server.settings import TABLE, Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAPERS = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
        *ROOT.glob("docs/*.md"),
    ]
)
VARIABLE = re.compile(r"EPOCHSCOPE_[A-Z]+(?:_[A-Z]+)*")


def blocks(paper: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", paper.read_text(), flags=re.MULTILINE | re.DOTALL)


def code(paper: Path) -> str:
    """Everything of a page that is set as code: its blocks and its `words`."""
    text = paper.read_text()
    fenced = re.findall(r"^```.*?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*fenced, *inline])


@functools.cache
def help_of(*words: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        main([*words, "--help"])
    return said.getvalue()


def commands() -> set[str]:
    listed = set(re.findall(r"^    ([a-z]+)  ", help_of().partition("commands:")[2], flags=re.MULTILINE))
    assert listed, help_of()
    return listed


def flags(command: str) -> set[str]:
    return set(re.findall(r"--[a-z-]+", help_of(command)))


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every path below /api/v1, as OpenAPI has it."""
    settings = Settings("127.0.0.1", 0, tmp_path_factory.mktemp("store"), None, no_browser=True, no_auth=False)
    from starlette.testclient import TestClient

    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        paths = client.get("/api/openapi.json").json()["paths"]
    return {path.removeprefix("/api/v1") for path in paths}


def test_every_command_is_in_the_readme() -> None:
    missing = {command for command in commands() if f"epochscope {command}" not in code(ROOT / "README.md")}
    assert missing == set()


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_every_command_and_flag_on_a_page_exists(paper: Path) -> None:
    for command, rest in re.findall(r"(?:^|[`$(/]|&& )epochscope ([a-z]+)(.*)", code(paper), flags=re.MULTILINE):
        assert command in commands(), f"epochscope {command}"
        typed = set(re.findall(r"(?<![\w-])--[a-z-]+", rest.split("#")[0]))
        assert typed <= flags(command), f"epochscope {command} {rest}"


def test_every_setting_of_the_service_is_in_the_readme() -> None:
    assert [row.flag for row in TABLE if row.flag not in README] == []
    assert [row.variable for row in TABLE if row.variable not in README] == []


def test_every_environment_variable_is_in_the_readme_and_read_somewhere() -> None:
    read = {row.variable for row in TABLE}
    for path in (ROOT / "client_callback").rglob("*.py"):
        read |= set(VARIABLE.findall(path.read_text()))
    assert read <= set(VARIABLE.findall(README))
    for paper in PAPERS:
        assert set(VARIABLE.findall(paper.read_text())) <= read, paper.name


def test_every_route_is_in_the_readme(routes: set[str]) -> None:
    def said(route: str) -> bool:
        return re.search(re.escape(route) + r"(?![\w/{])", README) is not None

    assert [route for route in sorted(routes) if not said(route)] == []


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_every_route_on_a_page_exists(paper: Path, routes: set[str]) -> None:
    patterns = [re.compile(re.sub(r"\{\w+\}", r"[^/]+", route)) for route in routes]
    for path in re.findall(r"/api/v1(/[\w/{}.-]+)", paper.read_text()):
        assert any(pattern.fullmatch(path.rstrip("/.")) for pattern in patterns), path


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_every_make_target_on_a_page_exists(paper: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", paper.read_text(), flags=re.MULTILINE)) <= targets


def test_every_make_target_says_what_it_is_for() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [target for target in phony.split() if f"make {target} " not in done.stdout] == []


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_every_block_parses(paper: Path) -> None:
    for block in blocks(paper, "python"):
        ast.parse(block)
    for language in ("sh", "bash"):
        for block in blocks(paper, language):
            done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block}\n{done.stderr}"


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_every_link_and_script_on_a_page_leads_to_a_file(paper: Path) -> None:
    text = paper.read_text()
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not target.startswith(("http://", "https://")):
            assert (paper.parent / target).exists(), target
    for script in re.findall(r"python ([\w/.]+\.py)", text):
        assert (ROOT / script).exists(), script
