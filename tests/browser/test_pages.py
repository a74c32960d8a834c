"""The pages about a run, of alerts and of settings, in a real Chromium, with all their states."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from epochscope import __version__, wire
from playwright.sync_api import expect
from stage import Service, Training, start_service

if TYPE_CHECKING:
    from browser.conftest import Story, Tab

    Tabs = Callable[..., Tab]

pytestmark = pytest.mark.browser

ENVIRONMENT = {
    "python": "3.11.2", "hostname": "<i>host</i>", "command": "python train.py --token ***", "git_commit": "7cfcfdc",
    "keras": "3.15.1", "model_summary": 'Model: "<b>net</b>"\n dense (Dense)', "values thinned": "1,200",
}  # fmt: skip


@pytest.fixture
def told(tmp_path_factory: pytest.TempPathFactory, fashion: Story) -> Iterator[Service]:
    """A service with a run in which a class collapses, that says much about itself, and one that says nothing."""
    service = start_service(tmp_path_factory.mktemp("told"))
    training = fashion.begin(
        service, "fashion00001", "shirt collapses", params={"lr": 0.001, "<u>odd</u>": "x"}, environment=ENVIRONMENT,
        notes="with <b>dropout</b>", tags=["best"],
    )  # fmt: skip
    fashion.go_on(training, 1, fashion.steps)
    load = [20.0 + step % 50 for step in range(1, 101)]
    training.send(series=[wire.SeriesColumns.of("system/cpu", "train", "batch", range(1, 101), load)])
    training.send(end=wire.End("finished"))
    Training(service, "empty0000001", info={"project": "plants", "name": "says nothing"}).send()
    deadline = time.monotonic() + 20
    while not service.get("/alerts")["alerts"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield service
    service.stop()


def card(tab: Tab, title: str) -> Any:
    return tab.page.locator(".card", has=tab.page.get_by_role("heading", name=title, exact=True))


def test_a_run_says_what_it_was_and_what_of_it_arrived(told: Service, tabs: Tabs) -> None:
    tab = tabs(told).open("/runs/fashion00001?split=val")
    tab.page.get_by_role("link", name="About").click()
    assert re.search(r"/runs/fashion00001/about\?split=val$", tab.page.url)
    expect(card(tab, "Parameters")).to_contain_text("<u>odd</u>")
    expect(card(tab, "Notes and tags")).to_contain_text("with <b>dropout</b>")
    expect(card(tab, "Model").locator("pre")).to_have_text(ENVIRONMENT["model_summary"])
    expect(card(tab, "Code")).to_contain_text("python train.py --token ***")
    expect(card(tab, "Machine")).to_contain_text("<i>host</i>")
    expect(card(tab, "Machine")).not_to_contain_text("thinned")
    expect(card(tab, "Delivery")).to_contain_text("batches, train400 of 400")
    expect(card(tab, "Delivery")).to_contain_text("thinned, dropped, refused, lost1,200, as said above")
    expect(tab.page.get_by_text("1,200 values by batch thinned while the disk")).to_be_visible()
    drawn = tab.drawn("Processors and memory", "gd._fullData.map(t => Math.max(...t.y))")
    assert drawn == [pytest.approx(69, abs=0.5)]
    tab.page.get_by_role("link", name="shirt collapses").click()
    assert tab.page.url.endswith("/runs/fashion00001?split=val")


def test_what_is_not_known_of_a_run_is_said(told: Service, tabs: Tabs) -> None:
    tab = tabs(told).open("/runs/empty0000001/about")
    for title, says in (
        ("Parameters", "None were given"), ("Code", "Nothing is known"), ("Machine", "Nothing is known"),
        ("Notes and tags", "None yet"),
    ):  # fmt: skip
        expect(card(tab, title)).to_contain_text(says)
    expect(tab.page.get_by_text("Nothing is known of the load of the machine.")).to_be_visible()


def test_a_page_about_no_run_says_so_and_what_else_there_is(told: Service, tabs: Tabs) -> None:
    tab = tabs(told)
    tab.expected = ("404",)
    tab.open("/runs/nosuchrun001/about")
    expect(tab.page.get_by_role("alert")).to_contain_text("There is no run of this id")
    tab.page.get_by_role("link", name="Runs").first.click()
    expect(tab.page.get_by_role("heading", name="Runs")).to_be_visible()


def test_alerts_are_filtered_and_lead_to_the_steps_where_they_are_seen(told: Service, tabs: Tabs) -> None:
    tab = tabs(told).open("/")
    page = tab.page
    page.get_by_role("link", name="Alerts").click()
    (alert,) = told.get("/alerts")["alerts"]
    expect(page.locator(".alerts li")).to_have_count(1)
    expect(page.locator(".alerts li")).to_contain_text(f"shirt fell from a recall of {alert['details']['best']:.2f}")
    page.locator(".controls").get_by_label("Rule").select_option("nan")
    expect(page.get_by_text("No alert matches.")).to_be_visible()
    assert page.url.endswith("/alerts?kind=nan")
    page.get_by_role("button", name="All alerts").click()
    page.locator(".controls").get_by_label("Project").select_option("animals")
    page.get_by_role("radio", name="still on").check()
    expect(page.get_by_text("No alert matches.")).to_be_visible()
    page.go_back()
    page.get_by_role("link", name="shirt fell").click()
    window = alert["window"]
    assert page.url.endswith(f"/runs/fashion00001?from={window['from']}&to={window['to']}&output=output")
    tab.chart("F1 per class")


def test_the_rules_of_a_project_are_changed_on_the_page_and_changed_back(told: Service, tabs: Tabs) -> None:
    def kinds() -> list[str]:
        return [rule["kind"] for rule in told.get("/alerts/rules", project="plants")["rules"]]

    tab = tabs(told).open("/alerts")
    page, panel = tab.page, tab.page.locator(".rules-panel")
    panel.get_by_role("button", name="plants").click()
    expect(panel).to_contain_text("In runs of plants, as nobody has said otherwise:")
    panel.get_by_role("button", name="Look no more for: the loss").click()
    expect(panel.locator("li")).to_have_count(4)
    assert kinds() == ["change", "drop", "stalled", "lost"]
    panel.get_by_role("button", name="Undo the last change").click()
    expect(panel.locator("li")).to_have_count(5)
    panel.get_by_text("Add a rule").click()
    panel.get_by_label("Rule").select_option("below")
    panel.get_by_label("At, 0 to 1").fill("0.65")
    panel.get_by_label("Classes").fill("<b>oak</b>, fir")
    panel.get_by_role("button", name="Add the rule").click()
    expect(panel.locator("li").last).to_contain_text("<b>oak</b>")
    rule = told.get("/alerts/rules", project="plants")["rules"][-1]
    assert (rule["kind"], rule["at"], rule["classes"]) == ("below", 0.65, ["<b>oak</b>", "fir"])
    panel.get_by_role("button", name="Back to the usual rules").click()
    expect(panel).to_contain_text("as nobody has said otherwise")
    assert kinds() == ["change", "drop", "nan", "stalled", "lost"]
    assert page.url.endswith("/alerts?project=plants")


def test_settings_say_what_the_service_is_and_set_how_long_runs_are_kept(told: Service, tabs: Tabs) -> None:
    tab = tabs(told).open("/settings")
    expect(card(tab, "The service")).to_contain_text(__version__)
    expect(card(tab, "The service")).to_contain_text("SQLite")
    expect(card(tab, "This page")).to_contain_text("1,234,567")  # as en-GB writes it
    days = tab.page.get_by_label("Days for which runs of animals are kept")
    days.fill("90")
    tab.page.get_by_role("button", name="Set").click()
    expect(tab.page.get_by_role("button", name="Set")).to_have_count(0)
    assert {one["name"]: one["keep_days"] for one in told.get("/projects")["projects"]} == {
        "animals": 90,
        "plants": None,
    }
    tab.page.get_by_role("radio", name="Dark").last.check()
    assert tab.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert tab.page.url.endswith("/settings?theme=dark")
    assert tab.page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]


@pytest.mark.parametrize("address", ["/alerts", "/settings", "/runs/fashion00001/about"])
def test_a_page_whose_service_is_away_says_so_and_goes_on_by_itself(told: Service, tabs: Tabs, address: str) -> None:
    tab = tabs(told)
    tab.expected = ("ERR_FAILED", "503")
    tab.page.route("**/api/v1/*", lambda route: route.abort())
    tab.page.route("**/api/v1/runs/*", lambda route: route.abort())
    tab.open(address)
    expect(tab.page.get_by_role("alert").first).to_contain_text("The service does not answer.")
    tab.page.unroute_all()
    expect(tab.page.get_by_text("The service does not answer.")).to_have_count(0)
    expect(tab.page.locator(".skeleton:visible")).to_have_count(0)


def test_a_service_without_runs_has_its_words_on_every_page(quiet_service: Callable[..., Service], tabs: Tabs) -> None:
    tab = tabs(quiet_service()).open("/alerts")
    expect(tab.page.get_by_text("No runs yet, and so nothing to look at.")).to_be_visible()
    tab.open("/settings")
    expect(tab.page.get_by_text("No projects yet.")).to_be_visible()
    tab.open("/")
    expect(tab.page.get_by_role("heading", name="No runs yet")).to_be_visible()
