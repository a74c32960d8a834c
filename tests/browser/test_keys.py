"""The keys of the page and their help, in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from browser.conftest import Story, Tab
    from stage import Service

    Tabs = Callable[..., Tab]

pytestmark = pytest.mark.browser


def press(tab: Tab, *keys: str) -> None:
    for key in keys:
        tab.page.keyboard.press(key)


def test_the_help_has_every_key_keeps_the_focus_and_gives_it_back(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/")
    page = tab.page
    expect(page.locator(".runs a.name").first).to_be_visible()
    press(tab, "j", "?")
    sheet = page.get_by_role("dialog", name="Keys")
    expect(sheet).to_be_visible()
    heard = page.evaluate("import('/keys.js').then(({ KEYS }) => KEYS.map(({ says }) => says))")
    assert sheet.locator("dd").all_text_contents() == heard
    for _ in range(5):
        press(tab, "Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    press(tab, "x", "g", "s")  # nothing happens behind it
    expect(sheet).to_be_visible()
    assert "settings" not in page.url
    assert "runs=" not in page.url
    press(tab, "Escape")
    expect(sheet).to_be_hidden()
    expect(page.locator(".runs a.name").first).to_be_focused()
    page.get_by_role("button", name="Keys").click()
    expect(sheet).to_be_visible()


def test_two_keys_go_to_pages(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001?theme=dark")
    heading = tab.page.get_by_role("heading", level=1)
    expect(heading).to_have_text("shirt collapses")
    for key, title in (("a", "Alerts"), ("s", "Settings"), ("r", "Runs")):
        press(tab, "g", key)
        expect(heading).to_have_text(title)
        assert tab.page.url.endswith("theme=dark")
        expect(tab.page.get_by_role("navigation", name="Pages").locator("[aria-current=page]")).to_have_text(title)


def test_the_first_tab_skips_to_the_page(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/")
    expect(tab.page.locator(".runs tbody tr")).to_have_count(5)
    press(tab, "Tab")
    skip = tab.page.get_by_role("link", name="Skip to the page")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    press(tab, "Enter")
    expect(tab.page.locator("main")).to_be_focused()


def test_keys_walk_through_classes_windows_and_epochs(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001?from=101&to=151")
    page = tab.page
    chips = page.locator(".chips li .name")
    tab.chart("F1 per class")
    press(tab, "j")
    expect(chips).to_have_text([fashion.class_names[0]])
    press(tab, "k")
    expect(chips).to_have_text([fashion.class_names[-1]])
    press(tab, "]")
    assert re.search(r"from=151&to=201", page.url)
    press(tab, "[", "[")
    assert re.search(r"from=51&to=101", page.url)
    press(tab, "[", "[", "[")
    assert re.search(r"from=1&to=51", page.url)
    tab.open("/runs/fashion00001?epoch=2")
    tab.chart("F1 per class")
    press(tab, "]")
    assert re.search(r"epoch=3", page.url)
    press(tab, "[", "[", "[", "[")
    assert re.search(r"epoch=1", page.url)


def test_keys_open_the_search_of_classes_the_tables_and_other_pages(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    page = tab.page
    tab.chart("F1 per class")
    press(tab, "/")
    expect(page.get_by_role("searchbox", name="Find a class")).to_be_focused()
    press(tab, "Escape", "t")
    expect(page.get_by_role("region", name="Confusion counts as a table")).to_be_visible()
    press(tab, "t")
    expect(page.get_by_role("region", name="Confusion counts as a table")).to_be_hidden()
    press(tab, "i")
    expect(page.get_by_role("heading", name="Delivery")).to_be_visible()
    press(tab, "i")
    tab.chart("F1 per class")
    press(tab, "c")
    expect(page.get_by_role("checkbox", name="Compare shirt collapses")).to_be_checked()
