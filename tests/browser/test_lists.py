"""The list of runs and the page that compares them, in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from playwright.sync_api import expect
from sklearn.metrics import confusion_matrix, recall_score

if TYPE_CHECKING:
    from browser.conftest import Story, Tab
    from stage import Service

    Tabs = Callable[..., Tab]

pytestmark = pytest.mark.browser


def test_the_list_says_how_each_run_is_doing(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/")
    row = tab.page.get_by_role("row", name="shirt collapses")
    expect(row).to_contain_text("finished")
    expect(row).to_contain_text("400")
    expect(row).to_contain_text("4 / 4")
    right = float((fashion.val_true[-1] == fashion.val_predicted[-1]).mean())
    expect(row).to_contain_text(f"{right:.3f}")
    expect(row).to_contain_text(f"{right - 0.01:.3f}")


def test_the_filter_is_in_the_address_and_says_when_nothing_matches(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/")
    tab.page.get_by_role("searchbox").fill("kinds")
    expect(tab.page.locator("tbody tr")).to_have_count(1)
    assert tab.page.url.endswith("/?q=kinds")
    tab.page.get_by_role("searchbox").fill("kindsx")
    expect(tab.page.get_by_text("No run matches “kindsx”.")).to_be_visible()
    expect(tab.page.get_by_text("No runs yet")).to_have_count(0)


def test_two_picked_runs_are_compared(shown: Service, tabs: Tabs, fashion: Story, other: Story) -> None:
    tab = tabs(shown).open("/")
    page = tab.page
    expect(page.get_by_text("Compare", exact=True)).to_have_attribute("aria-disabled", "true")
    page.get_by_role("checkbox", name="Compare shirt collapses").check()
    page.get_by_role("checkbox", name="Compare other seed").check()
    page.get_by_role("link", name="Compare 2 runs").click()
    assert page.url.endswith("/compare?runs=fashion00001,fashion00002")
    page.get_by_role("radio", name="recall", exact=True).check()
    shares = [
        confusion_matrix(story.true.ravel(), story.predicted.ravel(), labels=range(10), normalize="true")
        for story in (fashion, other)
    ]
    assert tab.matrix("Difference") == pytest.approx(100 * (shares[1] - shares[0]), abs=1e-3)
    lines = tab.drawn("Recall of", "gd._fullData.filter(t => t.hovertemplate).map(t => t.name)")
    worst = fashion.class_names[
        int(np.argmin(recall_score(fashion.true[375:].ravel(), fashion.predicted[375:].ravel(), average=None)))
    ]
    assert lines == [f"shirt collapses · {worst}", f"other seed · {worst}"]
    assert (
        len(tab.drawn("Loss", "gd._fullData.filter(t => t.showlegend).map(t => t.name)")) == 4
    )  # train and val of each


def test_the_difference_of_an_epoch_can_be_turned_round(
    shown: Service, tabs: Tabs, fashion: Story, other: Story
) -> None:
    tab = tabs(shown).open("/compare?runs=fashion00001,fashion00002&split=val&epoch=2&normalise=none")
    counts = [
        confusion_matrix(story.val_true[1].ravel(), story.val_predicted[1].ravel(), labels=range(10))
        for story in (fashion, other)
    ]
    assert tab.matrix("Difference") == pytest.approx(counts[1] - counts[0])
    tab.page.get_by_label("From").select_option("fashion00002")
    tab.until("location.search.includes('runs=fashion00002,fashion00001')", why="the address does not turn round")
    tab.until(
        f"document.querySelector('.square .plot')._fullData[0].z[0][1] === {counts[0][0, 1] - counts[1][0, 1]}",
        why="the matrix does not turn round",
    )
    assert tab.matrix("Difference") == pytest.approx(counts[0] - counts[1])


def test_runs_that_cannot_be_compared_say_why(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown)
    tab.expected = ("422",)
    tab.open("/compare?runs=fashion00001,pets00000001")
    expect(tab.page.locator(".square .veil")).to_contain_text("classes")
    tab.drawn("Loss", "gd._fullData.length")


def test_who_compares_nothing_is_sent_back_to_the_list(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/compare")
    expect(tab.page.get_by_role("alert")).to_contain_text("Pick two runs or more")
    expect(tab.page.get_by_role("link", name="Pick runs")).to_be_visible()


def test_a_hidden_page_asks_for_nothing(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    tab.chart("F1 per class")
    tab.page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    shown.client.patch("/api/v1/runs/fashion00001", json={"notes": "changed"})
    tab.page.wait_for_timeout(1500)
    assert asked == []
    tab.page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    tab.page.wait_for_timeout(1200)
    assert any(url.endswith("/api/v1/runs/fashion00001") for url in asked)
