"""The page's files: arrows point down, one fetches, one draws, and the library is the one figures are tested with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from epochscope_web import STATIC

MODULES = sorted(path for path in STATIC.rglob("*.js") if "vendor" not in path.parts and path.name != "docs.js")
# What stands in a lower row knows nothing of a higher one; within a row, only panels know each other, and what draws.
LOWEST = ("address.js", "api.js", "draw.js", "keys.js", "live.js", "live-worker.js")
ROWS = {"main.js": 3, "panels": 2, **dict.fromkeys(LOWEST, 1), "drawing": 0}


def row(path: Path) -> int:
    return ROWS[path.relative_to(STATIC).parts[0]]


def code(path: Path) -> str:
    """The file without comments, so that what is said about a thing is not taken for its use."""
    return re.sub(r"/\*.*?\*/|(?<!:)//[^\n]*", "", path.read_text(), flags=re.DOTALL)


def files_with(pattern: str) -> set[str]:
    return {str(path.relative_to(STATIC)) for path in MODULES if re.search(pattern, code(path))}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(STATIC)))
def test_imports_point_down(path: Path) -> None:
    for name in re.findall(r'^import .*?from "([^"]+)";', code(path), flags=re.MULTILINE | re.DOTALL):
        target = (path.parent / name).resolve()
        assert target.is_file(), f"{path.name} imports {name}, which is not there"
        below = row(target) < row(path) or row(target) == row(path) in (0, 2)
        assert below, f"{path.name} must not import {name}"
        assert row(target) > 0 or path.name == "draw.js" or row(path) == 0, "draw.js is the door to what draws"


def test_only_api_js_fetches_and_only_live_listens_to_a_stream() -> None:
    assert files_with(r"\bfetch\(|XMLHttpRequest|sendBeacon|WebSocket") == {"api.js"}
    assert files_with(r"EventSource|SharedWorker") == {"live.js", "live-worker.js"}


def drawing(name: str) -> bool:
    return name == "draw.js" or name.startswith("drawing/")


def test_only_what_draws_knows_plotly() -> None:
    assert all(map(drawing, files_with(r"(?i)plotly(?!\.graph_objects)")))


def test_only_panels_draw_and_main_touch_the_page() -> None:
    touching = files_with(r"\bdocument\b|createElement|querySelector")
    others = {name for name in touching if not name.startswith("panels/") and not drawing(name)}
    assert others <= {"keys.js", "main.js"}


def test_nothing_is_ever_read_as_markup() -> None:
    assert (
        files_with(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function") == set()
    )


def test_nothing_points_off_the_machine() -> None:
    for path in [*MODULES, STATIC / "index.html", *STATIC.glob("*.css"), STATIC / "favicon.svg"]:
        found = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", path.read_text())
        assert found in ([], ["http://www.w3.org"]), path.name


def test_every_module_opens_with_a_sentence_about_itself() -> None:
    for path in MODULES:
        assert path.read_text().startswith("// "), path.name


def test_the_vendored_library_is_the_version_that_figures_are_validated_against() -> None:
    offline = pytest.importorskip("plotly.offline")
    version = offline.get_plotlyjs_version()
    library = STATIC / "vendor" / f"plotly-cartesian-{version}.min.js"
    assert library.is_file()
    assert f"v{version}" in library.read_text()[:200]
    assert (STATIC / "vendor" / f"plotly-cartesian-{version}.LICENSE.txt").read_text().startswith("MIT License")
    assert f'"/vendor/{library.name}"' in (STATIC / "drawing" / "plotly.js").read_text()
