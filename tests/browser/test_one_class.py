"""The page of one class, and the epochs that are scrubbed and played, in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, expect
from sklearn.metrics import precision_score, recall_score

if TYPE_CHECKING:
    from browser.conftest import Story, Tab
    from stage import Service

    Tabs = Callable[..., Tab]

pytestmark = pytest.mark.browser

LINES = "Object.fromEntries(gd._fullData.filter(t => t.hovertemplate).map(t => [t.name, Array.from(t.y)]))"


def query(tab: Tab) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(tab.page.url).query).items()}


def test_a_name_beside_the_matrix_leads_to_the_page_of_its_class(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001?width=100")
    x, y = tab.drawn(
        "Confusion",
        "(() => { const b = [...gd.querySelectorAll('.ytick text')][6].getBoundingClientRect(); "
        "return [b.x + b.width / 2, b.y + b.height / 2] })()",
    )
    tab.page.mouse.click(x, y)
    expect(tab.page.get_by_role("heading", name="shirt", exact=True)).to_be_visible()
    assert query(tab)["class"] == "6"
    drawn = tab.drawn("Recall, precision and F1 of shirt", LINES)
    windows = [slice(at, at + 100) for at in range(0, 400, 100)]
    for name, score in (("recall", recall_score), ("precision", precision_score)):
        want = [
            score(fashion.true[w].ravel(), fashion.predicted[w].ravel(), labels=[6], average=None)[0] for w in windows
        ]
        assert drawn[name] == pytest.approx(want, abs=1e-6)
    expect(tab.page.get_by_role("heading", name="Confusion, train")).to_be_hidden()
    tab.page.get_by_role("link", name="The whole run").click()
    expect(tab.page.get_by_role("heading", name="Confusion, train")).to_be_visible()
    tab.page.go_back()
    expect(tab.page.get_by_role("heading", name="shirt", exact=True)).to_be_visible()


def test_where_mistakes_go_and_come_from_is_drawn_and_listed_for_the_window(
    shown: Service, tabs: Tabs, fashion: Story
) -> None:
    tab = tabs(shown).open("/runs/fashion00001?class=6&width=100&from=101&to=201")
    shirts = (fashion.true == 6) & (fashion.predicted != 6)
    drawn = tab.drawn("What shirt was taken for", LINES)
    windows = [slice(at, at + 100) for at in range(0, 400, 100)]
    want = [np.sum(shirts[w] & (fashion.predicted[w] == 0)) / np.sum(fashion.true[w] == 6) for w in windows]
    assert drawn["t-shirt/top"] == pytest.approx(want, abs=1e-6)
    assert np.sum(list(drawn.values()), axis=0) == pytest.approx(
        [np.sum(shirts[w]) / np.sum(fashion.true[w] == 6) for w in windows], abs=1e-6
    )
    called = (fashion.predicted == 6) & (fashion.true != 6)
    came = tab.drawn("What was taken for shirt", LINES)
    assert np.sum(list(came.values()), axis=0) == pytest.approx(
        [np.sum(called[w]) / np.sum(fashion.predicted[w] == 6) for w in windows], abs=1e-6
    )
    here = slice(100, 200)
    row = tab.page.locator(".lists .largest").first.locator("tbody tr").first
    expect(row).to_contain_text("t-shirt/top")
    expect(row.locator(".n").first).to_have_text(f"{np.sum(shirts[here] & (fashion.predicted[here] == 0)):,}")
    head = tab.page.locator(".class-head")
    expect(head).to_contain_text("steps 101–200")
    expect(head).to_contain_text(f"{np.mean(fashion.predicted[here][fashion.true[here] == 6] == 6):.3f}")
    expect(tab.page.locator(".one-class .changes")).to_contain_text("taken for t-shirt/top")


def test_brushing_the_rates_of_a_class_chooses_the_window_of_its_lists(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001?class=6&width=50")
    area = tab.chart("Recall, precision and F1").locator(".nsewdrag").first.bounding_box()
    assert area is not None
    y = area["y"] + area["height"] / 2
    tab.page.mouse.move(area["x"] + 0.4 * area["width"], y)
    tab.page.mouse.down()
    for part in np.linspace(0.4, 0.55, 6):
        tab.page.mouse.move(area["x"] + float(part) * area["width"], y + 5)
    tab.page.mouse.up()
    tab.until("new URLSearchParams(location.search).has('to')", why="the brush does not arrive in the address")
    window = f"steps {query(tab)['from']}–{int(query(tab)['to']) - 1}"
    expect(tab.page.locator(".class-head")).to_contain_text(window)
    expect(tab.page.get_by_role("heading", name=f"Its samples were taken for, {window}")).to_be_visible()


def test_the_keys_j_and_k_go_from_class_to_class(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001?class=9")
    expect(tab.page.get_by_role("heading", name="ankle boot", exact=True)).to_be_visible()
    tab.page.keyboard.press("j")
    expect(tab.page.get_by_role("heading", name="t-shirt/top", exact=True)).to_be_visible()
    tab.page.keyboard.press("k")
    tab.page.keyboard.press("k")
    expect(tab.page.get_by_role("heading", name="bag", exact=True)).to_be_visible()
    assert query(tab)["class"] == "8"


def test_a_class_that_is_none_says_so(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001?class=77")
    expect(tab.page.get_by_role("heading", name="There is no class 77")).to_be_visible()
    expect(tab.page.locator(".class-head")).to_contain_text("10 classes, 0 to 9")
    tab.page.get_by_role("link", name="The whole run").click()
    tab.chart("F1 per class")


def test_hostile_names_are_text_on_the_page_of_a_class(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/hostile00001?class=3")
    expect(tab.page.get_by_role("heading", name="<img src=x onerror=alert(1)>", exact=True)).to_be_visible()
    tab.chart("What <img src=x").locator(".legendtext").first.wait_for()
    assert tab.page.locator(".one-class img, .one-class .plot a, h2 b").count() == 0


def test_scrubbing_moves_the_window_from_epoch_to_epoch_in_one_step_of_history(
    shown: Service, tabs: Tabs, fashion: Story
) -> None:
    tab = tabs(shown).open("/runs/fashion00001?normalise=none")
    tab.chart("Confusion")
    slider = tab.page.get_by_role("slider", name="Epoch of the window")
    before = tab.page.evaluate("history.length")
    slider.evaluate(
        "one => { for (const at of [0, 1, 2]) { one.value = at; one.dispatchEvent(new Event('input')) } "
        "one.dispatchEvent(new Event('change')) }"
    )
    expect(tab.page.get_by_role("heading", name="Confusion, train epoch 3")).to_be_visible()
    assert query(tab)["epoch"] == "3"
    assert tab.page.evaluate("history.length") == before + 1
    assert tab.matrix().sum() == fashion.batches * fashion.size
    tab.page.get_by_role("button", name="Next epoch").click()
    expect(tab.page.get_by_role("heading", name="Confusion, train epoch 4")).to_be_visible()
    slider.focus()
    tab.page.keyboard.press("Home")
    expect(tab.page.get_by_role("heading", name="Confusion, train epoch 1")).to_be_visible()
    expect(tab.page.get_by_role("button", name="Play")).to_be_hidden()  # the reader wants no motion
    tab.page.keyboard.press(" ")
    expect(tab.page.get_by_role("heading", name="Confusion, train epoch 2")).to_be_visible()


def test_playing_shows_one_epoch_after_the_other_and_ends_at_the_last(shown: Service, chromium: Browser) -> None:
    page = chromium.new_page(viewport={"width": 1400, "height": 900}, reduced_motion="no-preference")
    try:
        page.goto(f"{shown.url}/runs/fashion00001?epoch=1")
        heading = page.locator(".matrix h2")
        expect(heading).to_contain_text("train epoch 1")
        page.evaluate(
            "() => { window.seen = []; new MutationObserver(() => window.seen.push(new URLSearchParams(location.search)"
            ".get('epoch'))).observe(document.querySelector('.scrub output'), { childList: true, subtree: true }) }"
        )
        page.get_by_role("slider", name="Epoch of the window").focus()
        page.keyboard.press(" ")
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        expect(heading).to_contain_text("train epoch 4")
        expect(page.get_by_role("button", name="Play")).to_be_visible()
        assert page.evaluate("window.seen") == ["2", "3", "4"]
        page.go_back()
        expect(heading).to_contain_text("train epoch 1")  # playing was one step
    finally:
        page.close()
