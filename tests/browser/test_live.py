"""The page while a training goes on: it follows without a reload, keeps what the viewer chose, survives a restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from browser.conftest import Story, Tab
    from stage import Service

    Tabs = Callable[..., Tab]
    Start = Callable[..., Service]

pytestmark = pytest.mark.browser

RANGE = "gd._fullLayout.xaxis.range.slice()"
LAST = "gd._fullData.filter(t => t.name === 'train').map(t => t.x.at(-1))[0]"


def test_a_page_follows_a_training_and_keeps_zoom_and_brush(quiet_service: Start, tabs: Tabs, fashion: Story) -> None:
    service = quiet_service()
    training = fashion.begin(service, "live00000001", "goes on")
    fashion.go_on(training, 1, 100)
    tab = tabs(service).open("/runs/live00000001?from=26&to=76")
    page = tab.page
    expect(page.get_by_role("heading", name="Confusion, train steps 26–75")).to_be_visible()
    page.evaluate("globalThis.sameDocument = true")
    loss = tab.chart("Loss")
    loss.hover()
    loss.locator('[data-attr="dragmode"][data-val="zoom"]').click()  # else a drag chooses the page's window
    area = loss.locator(".nsewdrag").first.bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + 30, area["y"] + 20)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 0.6, area["y"] + 90, steps=5)
    page.mouse.up()
    page.wait_for_timeout(300)
    zoomed = tab.drawn("Loss", RANGE)
    assert zoomed[0] > 5
    before = tab.matrix()
    for last in (120, 140, 160):
        fashion.go_on(training, last - 19, last)
        expect(page.locator(".facts dd").first).to_contain_text(f"{last} of 400")
    tab.until(
        "document.querySelector('.small .js-plotly-plot')._fullData[0].x.at(-1) === 160", why="the loss stands still"
    )
    tab.until(
        "document.querySelector('.large .js-plotly-plot').layout.meta.to.at(-1) === 161", why="the curves stand still"
    )
    assert tab.drawn("Loss", RANGE) == zoomed
    assert (tab.matrix() == before).all()
    expect(page.get_by_role("heading", name="Confusion, train steps 26–75")).to_be_visible()
    shaded = tab.marked("F1 per class", "window")
    assert [one[:2] for one in shaded] == [pytest.approx([25.5, 75.5], abs=0.1)]
    page.get_by_role("button", name="Whole run").click()
    expect(page.get_by_role("heading", name="Confusion, train steps 1–160")).to_be_visible()
    fashion.go_on(training, 161, 180)
    expect(page.get_by_role("heading", name="Confusion, train steps 1–180")).to_be_visible()
    assert page.evaluate("globalThis.sameDocument")


def test_the_first_run_appears_where_there_was_none(quiet_service: Start, tabs: Tabs, fashion: Story) -> None:
    service = quiet_service()
    tab = tabs(service).open("/")
    expect(tab.page.get_by_text("No runs yet")).to_be_visible()
    snippet = tab.page.locator("pre").inner_text()
    assert f'url="{service.url}"' in snippet
    compile(snippet, "snippet", "exec")
    training = fashion.begin(service, "first0000001", "the first")
    row = tab.page.get_by_role("row", name="the first")
    expect(row).to_contain_text("live")
    expect(tab.page.get_by_text("No runs yet")).to_be_hidden()
    fashion.go_on(training, 1, 40)
    expect(row).to_contain_text("40")
    row.get_by_role("link", name="the first").click()
    expect(tab.page.get_by_role("heading", name="Confusion, train steps 1–40")).to_be_visible()


def test_a_run_without_a_batch_waits_and_then_begins(quiet_service: Start, tabs: Tabs, fashion: Story) -> None:
    service = quiet_service()
    training = fashion.begin(service, "waits0000001", "waits")
    tab = tabs(service).open("/runs/waits0000001")
    curves = tab.page.locator("figure.large", has=tab.page.get_by_role("heading", name="F1 per class"))
    expect(curves.locator(".veil")).to_contain_text("No predictions counted here yet")
    fashion.go_on(training, 1, 60)
    tab.chart("F1 per class")
    tab.chart("Confusion")
    expect(curves.locator(".veil")).to_be_hidden()


def test_a_page_survives_a_restart_of_the_service(quiet_service: Start, tabs: Tabs, fashion: Story) -> None:
    service = quiet_service()
    training = fashion.begin(service, "restart00001", "survives")
    fashion.go_on(training, 1, 50)
    tab = tabs(service).open("/runs/restart00001")
    expect(tab.page.get_by_role("heading", name="Confusion, train steps 1–50")).to_be_visible()
    expect(tab.page.locator("#connection")).to_have_text("●live")
    tab.expected = ("ERR_CONNECTION", "ERR_INCOMPLETE")
    service.stop()
    expect(tab.page.locator("#connection")).to_have_text("✕disconnected")
    assert tab.page.locator(".js-plotly-plot").count() >= 2  # what was shown stays
    again = quiet_service(int(urlsplit(service.url).port or 0))
    training.service = again
    fashion.go_on(training, 51, 90)
    expect(tab.page.locator("#connection")).to_have_text("●live", timeout=20_000)
    expect(tab.page.get_by_role("heading", name="Confusion, train steps 1–90")).to_be_visible()


def test_eight_tabs_load_and_follow_over_one_stream(quiet_service: Start, tabs: Tabs, fashion: Story) -> None:
    service = quiet_service()
    training = fashion.begin(service, "manytabs0001", "watched")
    many = [tabs(service).open("/") for _ in range(8)]  # a browser keeps six connections to a service
    for tab in many:
        expect(tab.page.locator("#connection")).to_have_text("●live")
    fashion.go_on(training, 1, 30)
    for tab in (many[0], many[-1]):
        tab.page.bring_to_front()
        expect(tab.page.get_by_role("row", name="watched")).to_contain_text("30")
