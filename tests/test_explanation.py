"""The page that explains every number: made from docs/stability.md, served offline, and every link into it arrives."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from epochscope_web import STATIC
from stage import Service

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"/stability\.html#([\w-]+)")


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("as_page", ROOT / "docs" / "as_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors(page: str) -> set[str]:
    return set(re.findall(r'<h[1-6] id="([^"]+)"', page))


def test_the_page_is_made_from_the_text(maker: ModuleType) -> None:
    assert maker.PAGE.read_text() == maker.page(maker.SOURCE.read_text()), "run: python docs/as_page.py"


def test_the_service_serves_it_with_nothing_from_elsewhere(service: Service) -> None:
    answer = service.client.get("/stability.html")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "<script" not in answer.text
    assert re.findall(r'(?:src|href)="([^"#]+)"', answer.text) == ["/favicon.svg", "/stability.css", "/"]
    assert service.client.get("/stability.css").status_code == 200


def test_every_link_into_the_page_and_within_it_arrives() -> None:
    page = (STATIC / "stability.html").read_text()
    there = anchors(page)
    linked = {target for path in (ROOT / "server").rglob("*.py") for target in LINK.findall(path.read_text())}
    panel = (STATIC / "panels" / "stability.js").read_text()
    linked |= set(re.findall(r'explained\("([\w-]+)"', panel))
    linked |= set(re.findall(r'href="#([^"]+)"', page))
    assert {"certified-drop", "changes", "runs-and-seeds", "training-against-validation"} <= linked
    assert linked <= there, linked - there


def test_every_kind_of_number_has_a_place_of_its_own_that_says_what_it_cannot_tell() -> None:
    text = (ROOT / "docs" / "stability.md").read_text()
    for number in (
        "Intervals", "Averages", "Excess instability", "Certified drop", "Likely drop", "Learnt at", "Forgetting",
        "Changes", "Alarms while it trains", "Comparing",
    ):  # fmt: skip
        (section,) = re.findall(rf"^## {number}\n(.*?)(?=^## )", text, flags=re.MULTILINE | re.DOTALL)
        assert "What it cannot tell" in section, number
