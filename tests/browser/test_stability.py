"""Stability on a run's page: who fell most stands first, a change leads to its window, a number to its explanation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from epochscope import wire
from playwright.sync_api import Locator, expect
from stage import Training, counted

if TYPE_CHECKING:
    from browser.conftest import Story, Tab
    from stage import Service

    Tabs = Callable[..., Tab]
    Start = Callable[..., Service]

pytestmark = pytest.mark.browser

NAMES = "gd._fullLayout.yaxis.ticktext.map(text => text.replace(/<[^>]*>/g, ''))"
STEADY = ".steady-panel .js-plotly-plot"


def query(tab: Tab) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(tab.page.url).query).items()}


def panel(tab: Tab) -> Locator:
    found = tab.page.locator(".steady-panel")
    found.scroll_into_view_if_needed()
    return found


def test_rows_stand_in_order_of_how_far_the_classes_likely_fell(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    drawn = tab.drawn("Stability", NAMES)
    told = shown.get("/runs/fashion00001/stability")
    likely = [one["certified_drop"]["likely"] for one in told["classes"]]
    assert drawn == [fashion.class_names[index] for index in np.argsort(-np.array(likely), kind="stable")]
    assert drawn[0] == "shirt"
    bars = tab.drawn("Stability", "gd._fullData.filter(t => t.name.startsWith('seen')).map(t => [...t.x])[0]")
    assert bars == sorted(bars, reverse=True)
    expect(panel(tab)).to_contain_text("shirt surely fell by")


@pytest.mark.parametrize("width", [1440, 390])
def test_a_legend_says_which_part_of_a_bar_is_certain(shown: Service, tabs: Tabs, width: int) -> None:
    tab = tabs(shown, width=width).open("/runs/fashion00001")
    figure = tab.chart("Stability")
    words = figure.locator(".legend .legendtext")
    expect(words).to_have_text(["certified", "seen, may be sampling noise"])
    plot = figure.locator(".js-plotly-plot").bounding_box()
    bars = figure.locator(".subplot.x2y .barlayer").bounding_box()
    assert plot is not None
    assert bars is not None
    for word in words.all():
        box = word.bounding_box()
        assert box is not None
        assert plot["x"] <= box["x"]
        assert box["x"] + box["width"] <= plot["x"] + plot["width"]
        assert box["y"] + box["height"] <= bars["y"] + 1 or box["y"] >= bars["y"] + bars["height"]


def test_a_click_on_a_change_leads_to_its_window_and_class(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    tab.chart("Stability")
    (change, *_) = tab.drawn("Stability", "gd.layout.meta.changes")
    assert (change["name"], change["kind"]) == ("shirt", "drop")
    assert change["from"] <= 161 <= change["to"] + 5
    panel(tab).get_by_role("button", name="shirt fell from").click()
    start, stop = change["window"]
    assert query(tab) == {"from": str(start), "to": str(stop), "focus": "6"}
    expect(tab.page.get_by_role("heading", name=f"Confusion, train steps {start}–{stop - 1}")).to_be_visible()
    window = slice(start - 1, stop - 1)
    taken = (fashion.true[window] == 6) & (fashion.predicted[window] == 0)
    assert tab.matrix().shape == (10, 10)
    assert shown.get("/runs/fashion00001/confusion", **{"from": start, "to": stop})["counts"][6][0] == taken.sum()
    tab.page.go_back()
    assert query(tab) == {}


def test_every_kind_of_number_leads_to_where_it_is_explained(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    tab.chart("Stability")
    links = panel(tab).locator("a.explained")
    places = [str(link.get_attribute("href")) for link in links.all()]
    assert {place.partition("#")[2] for place in places} == {"certified-drop", "changes", "excess-instability"}
    for place in places:
        other = tabs(shown).open(place)
        heading = other.page.locator(f"#{place.partition('#')[2]}")
        expect(heading).to_be_visible()
        assert heading.evaluate("one => Math.abs(one.getBoundingClientRect().top) < innerHeight")


def test_what_is_too_thin_to_tell_is_named_and_not_called_calm(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/pets00000001")
    tab.chart("Stability")
    verdicts = [one["instability"]["verdict"] for one in shown.get("/runs/pets00000001/stability")["classes"]]
    rng = np.random.default_rng(1)
    training = Training(shown, "thin00000001", class_names=("common", "rare", "never"))
    batches = [(rng.permutation([0] * 31 + [int(step % 40 == 0)]), np.zeros(32, np.int64)) for step in range(400)]
    training.send(confusion=[counted(batches)], end=wire.End("finished"))
    thin = tabs(shown).open("/runs/thin00000001")
    thin.chart("Stability")
    expect(panel(thin)).to_contain_text("Too few samples to tell: rare.")
    expect(panel(thin)).to_contain_text("None: no class fell")
    assert thin.drawn("Stability", NAMES)[:2] == ["common", "rare"] or "never" not in thin.drawn("Stability", NAMES)
    if "cannot tell" not in verdicts:
        expect(panel(tab)).not_to_contain_text("Too few samples to tell")


def test_before_the_first_batch_and_without_counts_it_says_so(quiet_service: Start, tabs: Tabs, fashion: Story) -> None:
    service = quiet_service()
    training = fashion.begin(service, "empty0000001", "nothing yet", outputs=[])
    tab = tabs(service).open("/runs/empty0000001")
    expect(panel(tab)).to_contain_text("Waiting for the first batch.")
    expect(panel(tab).get_by_text("Changes that noise does not explain")).to_be_hidden()
    again = Training(service, training.run, seq=training.seq, class_names=fashion.class_names)
    again.send(info=again.told())
    expect(panel(tab)).to_contain_text("No predictions counted here yet.")
    expect(panel(tab).get_by_text("Changes that noise does not explain")).to_be_hidden()


def test_it_grows_while_the_training_goes_on_marks_who_is_down_and_not_when_it_has_ended(
    quiet_service: Start, tabs: Tabs, fashion: Story
) -> None:
    service = quiet_service()
    training = fashion.begin(service, "live00000001", "goes on")
    fashion.go_on(training, 1, 100)
    tab = tabs(service).open("/runs/live00000001")
    tab.page.evaluate("globalThis.sameDocument = true")
    tab.chart("Stability")
    expect(panel(tab)).to_contain_text("None: no class fell")
    fashion.go_on(training, 101, 195)
    tab.until(f"document.querySelector('{STEADY}').layout.meta.to.at(-1) >= 193", why="the raster stands still")
    tab.until(
        f"document.querySelector('{STEADY}')._fullLayout.yaxis.ticktext.some(t => /▾.*shirt/.test(t))",
        why="nobody says that the shirt is down",
    )
    fashion.go_on(training, 196, 400)
    expect(panel(tab).get_by_role("button", name="shirt fell from")).to_be_visible()
    expect(panel(tab).get_by_role("button", name="shirt came back from")).to_be_visible()
    training.send(end=wire.End("finished"))
    expect(tab.page.locator(".run-head .status")).to_contain_text("finished")
    tab.until(
        f"!document.querySelector('{STEADY}')._fullLayout.yaxis.ticktext.some(t => t.includes('▾'))",
        why="a class of a run that has ended has an alarm",
    )
    assert tab.page.evaluate("globalThis.sameDocument")
    ended = fashion.begin(service, "live00000002", "ended while the shirt was down")
    fashion.go_on(ended, 1, 195)
    ended.send(end=wire.End("finished"))
    other = tabs(service).open("/runs/live00000002")
    assert other.drawn("Stability", "gd._fullLayout.yaxis.ticktext.filter(t => t.includes('▾'))") == []
    expect(panel(other).get_by_role("button", name="shirt fell from")).to_be_visible()


def alerts_of(tab: Tab) -> Locator:
    return tab.page.get_by_role("region", name="Alerts")


def test_alerts_come_without_a_reload_lead_to_their_window_and_say_when_they_are_over(
    quiet_service: Start, tabs: Tabs, fashion: Story
) -> None:
    service = quiet_service()
    training = fashion.begin(service, "live00000001", "goes on")
    fashion.go_on(training, 1, 100)
    tab = tabs(service).open("/runs/live00000001")
    expect(alerts_of(tab)).to_contain_text("None: nothing that is looked for was found.")
    alerts_of(tab).get_by_text("What is looked for").click()
    expect(alerts_of(tab).get_by_role("listitem")).to_have_count(5)
    listed = tabs(service).open("/")
    row = listed.page.get_by_role("row", name="goes on")
    expect(row).not_to_contain_text("alert")
    fashion.go_on(training, 101, 195)
    found = alerts_of(tab).get_by_role("button", name="shirt fell from a recall of")
    expect(found).to_be_visible()
    expect(alerts_of(tab)).to_contain_text("taken for t-shirt/top")
    expect(alerts_of(tab)).to_contain_text("1 is still on.")
    expect(row).to_contain_text("1 alert")
    window: dict[str, Any] = service.get("/runs/live00000001/alerts")["alerts"][0]["window"]
    found.click()
    assert query(tab) == {"from": str(window["from"]), "to": str(window["to"]), "focus": "6"}
    last = min(window["to"] - 1, 195)
    expect(tab.page.get_by_role("heading", name=f"Confusion, train steps {window['from']}–{last}")).to_be_visible()
    fashion.go_on(training, 196, 400)
    expect(alerts_of(tab)).to_contain_text("All of them are over.")
    expect(alerts_of(tab)).to_contain_text("over at step")


def test_hostile_names_in_an_alert_stay_text(quiet_service: Start, tabs: Tabs) -> None:
    service = quiet_service()
    name = "<img src=x onerror=alert(1)>"
    rng = np.random.default_rng(2)
    training = Training(service, "hostile00001", class_names=(name, "b"))
    batches = []
    for step in range(200):
        true = rng.integers(0, 2, 60)
        right = rng.random(60) < (0.2 if step >= 120 else 0.95)
        batches.append((true, np.where(right, true, 1 - true)))
    training.send(confusion=[counted(batches)])
    tab = tabs(service).open("/runs/hostile00001")
    expect(alerts_of(tab)).to_contain_text(f"{name} fell from a recall of")
    assert tab.page.locator(".alerts img").count() == 0
