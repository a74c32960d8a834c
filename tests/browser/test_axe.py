"""No page, in no state, light or dark, has a fault that axe-core knows: WCAG 2.2 A and AA, and best practices.

axe runs in a world of its own beside the page's scripts: the page's policy stays as it is, and the page sees nothing.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from browser.conftest import Tab
    from stage import Service

    Tabs = Callable[..., Tab]

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[2] / "frontend/node_modules/axe-core/axe.min.js"


@functools.cache
def source() -> str:
    if not AXE.exists() and not os.environ.get("CI"):
        pytest.skip("no axe-core here; make browser brings it")
    return AXE.read_text()


def faults(tab: Tab) -> list[str]:
    """A line for each rule that is broken: which, where, and why."""
    session = tab.page.context.new_cdp_session(tab.page)
    try:
        frame = session.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
        world = session.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "axe"})["executionContextId"]
        here: dict[str, Any] = {"contextId": world, "awaitPromise": True, "returnByValue": True}
        session.send("Runtime.evaluate", {"expression": source(), **here, "returnByValue": False})
        run = "axe.run(document, { preload: false, resultTypes: ['violations'] }).then(found => found.violations)"
        answer = session.send("Runtime.evaluate", {"expression": run, **here})
        assert "exceptionDetails" not in answer, answer
        found = answer["result"]["value"]
    finally:
        session.detach()
    return [
        f"{one['id']}: {node['target']} {node['html'][:200]} {' '.join(node['failureSummary'].split())[:300]}"
        for one in found
        for node in one["nodes"]
    ]


def clean(tab: Tab) -> None:
    """Light and dark."""
    for scheme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=scheme)
        tab.page.wait_for_timeout(100)
        assert faults(tab) == [], scheme
    tab.page.emulate_media(color_scheme="light")


def settled(tab: Tab) -> None:
    """Every chart in sight is drawn, and nothing is on its way."""
    expect(tab.page.locator("h1:visible")).to_have_count(1)
    expect(tab.page.locator("[aria-busy]")).to_have_count(0)
    tab.page.wait_for_timeout(300)


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize(
    "address",
    [
        "/", "/?q=nothing", "/?runs=fashion00001,fashion00002&group=batch size&column=params.optimizer&column=curve",
        "/runs/fashion00001", "/runs/fashion00001?from=101&to=151&cell=6,0&focus=6,0", "/runs/hundred00001?split=val",
        "/runs/fashion00001?steadiness=multiples&by=epoch", "/runs/pets00000001", "/runs/hostile00001",
        "/runs/fashion00001?class=6", "/runs/fashion00001/about", "/compare?runs=fashion00001,fashion00002",
        "/alerts", "/alerts?project=animals", "/settings", "/runs/nowhere",
    ],
)  # fmt: skip
def test_no_page_has_a_fault(shown: Service, tabs: Tabs, address: str, width: int) -> None:
    tab = tabs(shown, width=width)
    tab.open(address)
    settled(tab)
    clean(tab)


def test_no_state_of_the_list_has_a_fault(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/")
    page = tab.page
    expect(page.locator(".runs tbody tr")).to_have_count(5)
    page.keyboard.press("?")
    clean(tab)
    page.keyboard.press("Escape")
    page.get_by_text("Columns", exact=True).click()
    clean(tab)
    page.keyboard.press("Escape")
    page.get_by_role("checkbox", name="Compare cats and dogs").check()
    page.locator(".bulk summary", has_text="Tag").click()
    clean(tab)
    page.get_by_role("button", name="Delete", exact=True).click()
    clean(tab)
    page.get_by_role("button", name="Undo").click()


def test_no_sheet_of_a_run_has_a_fault(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    tab.chart("F1 per class")
    for sheet in tab.page.locator("details:visible > summary").all():
        sheet.press("Enter")  # one may lie over the next
    settled(tab)
    assert faults(tab) == []


@pytest.mark.parametrize("address", ["/", "/runs/fashion00001", "/compare?runs=fashion00001,fashion00002", "/alerts"])
def test_a_page_whose_service_is_away_has_no_fault(shown: Service, tabs: Tabs, address: str) -> None:
    tab = tabs(shown)
    tab.expected = ("ERR_FAILED",)
    tab.page.route(re.compile("/api/v1/(?!live)"), lambda route: route.abort())
    tab.open(address)
    expect(tab.page.get_by_role("alert").first).to_contain_text("The service does not answer.")
    clean(tab)


def test_the_first_words_to_somebody_new_have_no_fault(quiet_service: Callable[..., Service], tabs: Tabs) -> None:
    tab = tabs(quiet_service()).open("/")
    expect(tab.page.get_by_role("heading", name="No runs yet")).to_be_visible()
    clean(tab)


def test_a_fault_is_seen(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/settings")
    settled(tab)
    tab.page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<input><p id=pale>pale</p>')")
    tab.page.evaluate("document.getElementById('pale').style.color = '#eee'")
    assert sorted({line.split(":")[0] for line in faults(tab)}) == ["color-contrast", "label"]
