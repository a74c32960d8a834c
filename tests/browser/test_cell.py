"""A cell of the matrix followed over time, in a real Chromium: a click, its course, its window, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from browser.conftest import Story, Tab
    from stage import Service

    Tabs = Callable[..., Tab]

pytestmark = pytest.mark.browser

LINE = "gd._fullData.filter(t => t.name === {!r} && t.hovertemplate).map(t => [[...t.x], [...t.y]])[0]"


def test_a_click_on_a_cell_follows_that_confusion_over_time(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001?width=50")
    tab.click_cell(6, 0)
    expect(tab.page.get_by_role("heading", name="shirt taken for t-shirt/top")).to_be_visible()
    drawn = tab.drawn("shirt taken for", LINE.format("shirt taken for t-shirt/top"))
    rows = [slice(at, at + 50) for at in range(0, 400, 50)]
    for name, true, predicted in (("shirt taken for t-shirt/top", 6, 0), ("t-shirt/top taken for shirt", 0, 6)):
        drawn = tab.drawn("shirt taken for", LINE.format(name))
        shirts = [fashion.true[part] == true for part in rows]
        taken = [(fashion.predicted[part] == predicted) & one for part, one in zip(rows, shirts, strict=True)]
        assert drawn[0] == [at + 25.5 for at in range(0, 400, 50)]
        assert drawn[1] == pytest.approx([np.sum(a) / np.sum(b) for a, b in zip(taken, shirts, strict=True)], abs=1e-6)
    both = int(np.sum((fashion.true == 6) & (fashion.predicted == 0))), int(np.sum(fashion.true == 6))
    expect(tab.chart("shirt taken for").locator(".note")).to_contain_text(f"{both[0]:,} of {both[1]:,}")


def test_the_followed_cell_is_in_the_address_and_back_leaves_it(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    tab.click_cell(6, 0)
    heading = tab.page.get_by_role("heading", name="shirt taken for t-shirt/top")
    expect(heading).to_be_visible()
    assert parse_qs(urlsplit(tab.page.url).query)["cell"] == ["6,0"]
    tab.page.reload()
    expect(heading).to_be_visible()
    tab.page.go_back()
    expect(heading).to_be_hidden()
    tab.page.go_forward()
    tab.page.locator(".cell-panel").get_by_role("button", name="Close").click()
    expect(heading).to_be_hidden()
    assert "cell" not in parse_qs(urlsplit(tab.page.url).query)


def test_a_confusion_of_the_list_is_followed_from_the_keyboard(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    tab.chart("Confusion")
    tab.page.locator(".largest button").first.focus()
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_role("heading", name="shirt taken for t-shirt/top")).to_be_visible()


def test_the_diagonal_is_followed_as_what_was_recognised(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001?cell=4,4&split=val&by=epoch")
    assert tab.drawn("coat recognised", "gd._fullData.filter(t => t.hovertemplate).map(t => t.name)") == [
        "coat recognised"
    ]


def test_a_stretch_of_the_trajectory_chooses_the_window_of_the_matrix(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001?width=50&cell=6,0")
    area = tab.chart("shirt taken for").locator(".nsewdrag").first.bounding_box()
    assert area is not None
    y = area["y"] + area["height"] / 2
    tab.page.mouse.move(area["x"] + 0.3 * area["width"], y)
    tab.page.mouse.down()
    for part in np.linspace(0.3, 0.6, 8):
        tab.page.mouse.move(area["x"] + float(part) * area["width"], y + 5)
    tab.page.mouse.up()
    tab.until("new URLSearchParams(location.search).has('to')", why="the brush does not arrive in the address")
    query = parse_qs(urlsplit(tab.page.url).query)
    assert (int(query["from"][0]) - 1) % 50 == (int(query["to"][0]) - 1) % 50 == 0
    expect(tab.page.get_by_role("heading", name=f"Confusion, train steps {query['from'][0]}–")).to_be_visible()


def test_a_cell_that_is_none_is_not_followed(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001?cell=6,77")
    tab.chart("Confusion")
    expect(tab.page.locator(".cell-panel")).to_be_hidden()


def test_hostile_names_are_followed_as_text(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/hostile00001?cell=1,3")
    name = '<a href="javascript:alert(1)">x</a> taken for <img src=x onerror=alert(1)>'
    expect(tab.page.get_by_role("heading", name=name)).to_be_visible()
    legend = tab.chart("<a href").locator(".legendtext").first
    expect(legend).to_contain_text(name)
