"""Finding and keeping order among many runs, in a real Chromium: columns, groups, several at once, undo, keys."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from epochscope import wire
from playwright.sync_api import expect
from stage import Service, Training, counted, start_service

if TYPE_CHECKING:
    from browser.conftest import Story, Tab

    Tabs = Callable[..., Tab]

pytestmark = pytest.mark.browser

HOSTILE = "<b>bold</b>"  # of the runs shown the only one with other params
LEARNING = {"first": 0.1, "second": 0.01, "third": 0.01, "fourth": 0.1, "<b>fifth</b>": 0.1}


@pytest.fixture
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_service(tmp_path_factory.mktemp("five"))
    for place, (name, lr) in enumerate(LEARNING.items()):
        info = {"name": name, "params": {"lr": lr, "<i>odd</i>": place}, "started_ms": 1_700_000_000_000 + place}
        training = Training(service, f"run{place:013d}", info=info)
        loss = wire.SeriesColumns.of("loss", "train", "batch", [1], [place / 8])
        training.send(confusion=[counted([([0, 1], [0, 1])])], series=[loss], end=wire.End("finished"))
    yield service
    service.stop()


def names(tab: Tab) -> list[str]:
    return tab.page.locator(".runs tbody th a.name").all_text_contents()


def pick(tab: Tab, *runs: str) -> None:
    for run in runs:
        tab.page.get_by_role("checkbox", name=f"Compare {run}").check()


def test_a_run_shows_its_course_its_worst_class_and_its_certified_drop(
    shown: Service, tabs: Tabs, fashion: Story
) -> None:
    tab = tabs(shown).open("/")
    row = tab.page.get_by_role("row", name="shirt collapses")
    (run,) = [one for one in shown.get("/runs")["runs"] if one["name"] == "shirt collapses"]
    glance = run["glance"]
    expect(row.locator("svg.spark")).to_have_attribute("aria-label", re.compile(r"^Macro F1 in val: 0\.\d+ to 0\.\d+"))
    assert len(row.locator("svg.spark path").get_attribute("d").split("L")) == len(glance["macro_f1"]) == fashion.epochs  # type: ignore[union-attr]
    expect(row).to_contain_text(f"{glance['worst']['class_name']}{glance['worst']['value']:.3f}")
    assert glance["drop"]["class_name"] == "shirt"
    expect(row).to_contain_text(f"shirt▼ {100 * glance['drop']['value']:.1f}".removesuffix(".0"))


def test_the_list_is_sorted_by_the_worst_class_and_by_the_certified_drop(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/")
    for by, first_press, second_press in (("worst", "worst", "-worst"), ("drop", "-drop", "drop")):
        for sort in (first_press, second_press):
            tab.page.locator(f"thead [data-by={by}]").click()
            way = "descending" if sort.startswith("-") else "ascending"
            expect(tab.page.locator(f"th[aria-sort={way}] [data-by={by}]")).to_be_visible()
            expected = [run["name"] for run in shown.get("/runs", sort=sort)["runs"]]
            expect(tab.page.locator(".runs tbody th a.name")).to_have_text(expected)
    tab.open("/?sort=-drop")
    expect(tab.page.locator(".runs tbody a.name").first).to_have_text("shirt collapses")
    expect(tab.page.locator("table.runs caption")).to_have_text("Runs, sorted by drop, descending")


@pytest.mark.parametrize(("width", "columns"), [(390, 4), (800, None)])
def test_what_the_list_is_sorted_by_is_seen_on_a_narrow_page(
    shown: Service, tabs: Tabs, width: int, columns: int | None
) -> None:
    tab = tabs(shown, width=width).open("/?sort=-drop")
    expect(tab.page.get_by_role("row", name="shirt collapses")).to_contain_text("shirt▼")
    for head, sort in (("certified drop", "-drop"), ("worst class", "worst"), ("accuracy", "-summary.accuracy")):
        tab.open(f"/?sort={sort}")
        expect(tab.page.locator("thead th[aria-sort]", has_text=head)).to_be_visible()
        if columns is not None:
            expect(tab.page.locator("thead th:visible")).to_have_count(columns)
        wide = tab.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, "the page itself does not scroll sideways"
    tab.open("/")
    expect(tab.page.locator("thead th", has_text="step").first).to_be_visible()


def test_a_group_is_sorted_by_its_worst_classes(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/?group=optimizer&sort=worst")
    expect(tab.page.locator("tr.group").first).to_contain_text("adam")
    worst = {run["name"]: (run["glance"]["worst"] or {}).get("value", 9) for run in shown.get("/runs")["runs"]}
    adam = [name for name in names(tab) if name != HOSTILE]
    assert len(adam) > 3
    assert adam == sorted(adam, key=lambda name: worst[name])


def test_a_run_that_goes_on_says_how_far_it_is_and_how_long_it_has_still_to_go(
    quiet_service: Callable[..., Service], tabs: Tabs, fashion: Story
) -> None:
    service = quiet_service()
    begun = time.time_ns() // 1_000_000 - 300_000
    training = fashion.begin(service, "goingon00001", "goes on", started_ms=begun)
    fashion.go_on(training, 1, fashion.steps // 4)
    row = tabs(service).open("/").page.get_by_role("row", name="goes on")
    expect(row.get_by_role("img", name="25 %")).to_be_visible()
    expect(row).to_contain_text("about 15 min left")


def test_columns_are_chosen_found_and_kept_in_the_address(five: Service, tabs: Tabs) -> None:
    tab = tabs(five).open("/")
    page = tab.page
    expect(page.locator("th", has_text="certified drop")).to_be_visible()
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("checkbox", name="certified drop").uncheck()
    page.get_by_role("searchbox", name="Find a column").fill("odd")
    page.get_by_role("checkbox", name="<i>odd</i>").check()
    page.keyboard.press("Escape")
    expect(page.locator("th", has_text="certified drop")).to_have_count(0)
    expect(page.locator("thead th", has_text="<i>odd</i>")).to_be_visible()
    expect(page.get_by_role("row", name="fourth").locator("td").last).to_have_text("3")
    page.reload()
    expect(page.locator("thead th", has_text="<i>odd</i>")).to_be_visible()
    page.locator("thead button", has_text="<i>odd</i>").click()  # greatest first
    expect(page.locator(".runs tbody a.name").first).to_have_text("<b>fifth</b>")
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("button", name="Back to the usual columns").click()
    expect(page.locator("th", has_text="certified drop")).to_be_visible()
    assert "column" not in page.url


def test_runs_are_grouped_by_a_param_with_the_mean_of_each_number(five: Service, tabs: Tabs) -> None:
    tab = tabs(five, width=1700).open("/")
    page = tab.page
    page.get_by_label("Group by").focus()
    expect(page.locator("select option[value=lr]")).to_have_count(1)
    page.get_by_label("Group by").select_option("lr")
    heads = page.locator("tr.group")
    expect(heads).to_have_count(2)
    expect(heads.nth(0)).to_contain_text("lr 0.01 2 runs")
    expect(heads.nth(1)).to_contain_text("lr 0.1 3 runs")
    assert names(tab) == ["third", "second", "<b>fifth</b>", "fourth", "first"]
    expect(heads.nth(0)).to_contain_text(f"⌀ {(1 / 8 + 2 / 8) / 2:.3f}")
    page.locator("thead [data-by=name]").click()
    expect(page.locator(".runs tbody a.name").first).to_have_text("second")
    assert names(tab) == ["second", "third", "<b>fifth</b>", "first", "fourth"]
    page.reload()
    expect(heads).to_have_count(2)


def test_several_runs_are_tagged_at_once_and_the_tag_is_taken_away(five: Service, tabs: Tabs) -> None:
    tab = tabs(five).open("/")
    pick(tab, "first", "<b>fifth</b>")
    expect(tab.page.get_by_text("2 picked")).to_be_visible()
    tab.page.locator(".bulk summary", has_text="Tag").click()
    tab.page.get_by_label("Tag", exact=True).fill("<u>best</u>")
    tab.page.get_by_role("button", name="Add").click()
    expect(tab.page.locator(".runs button.tag")).to_have_count(2)
    tagged = [run["name"] for run in five.get("/runs", tag="<u>best</u>")["runs"]]
    assert tagged == ["<b>fifth</b>", "first"]
    tab.page.locator(".bulk summary", has_text="Tag").click()
    tab.page.get_by_label("Tag", exact=True).fill("<u>best</u>")
    tab.page.get_by_role("button", name="Take away").click()
    expect(tab.page.locator(".runs button.tag")).to_have_count(0)


def test_a_range_of_runs_is_archived_and_comes_back(five: Service, tabs: Tabs) -> None:
    tab = tabs(five).open("/")
    pick(tab, "fourth")
    tab.page.get_by_role("checkbox", name="Compare second").click(modifiers=["Shift"])
    expect(tab.page.get_by_text("3 picked")).to_be_visible()
    tab.page.get_by_role("button", name="Archive").click()
    expect(tab.page.locator(".runs tbody tr")).to_have_count(2)
    assert names(tab) == ["<b>fifth</b>", "first"]
    tab.open("/?q=is:archived")
    tab.page.get_by_role("checkbox", name="Pick all runs shown").check()
    tab.page.get_by_role("button", name="Back from the archive").click()
    expect(tab.page.get_by_text("No run matches")).to_be_visible()
    assert len(five.get("/runs")["runs"]) == 5


def test_deleted_runs_are_gone_at_once_and_come_back_undone(five: Service, tabs: Tabs) -> None:
    tab = tabs(five).open("/")
    pick(tab, "second", "third")
    tab.page.get_by_role("button", name="Delete", exact=True).click()
    expect(tab.page.locator(".runs tbody tr")).to_have_count(3)
    expect(tab.page.get_by_text("2 runs are deleted for good in ten seconds.")).to_be_visible()
    assert len(five.get("/runs")["runs"]) == 5, "nothing was asked of the service yet"
    tab.page.get_by_role("button", name="Undo").click()
    expect(tab.page.locator(".runs tbody tr")).to_have_count(5)
    assert tab.page.locator(".undo-notice").count() == 0


def test_a_deletion_that_nobody_takes_back_is_carried_out(five: Service, tabs: Tabs) -> None:
    tab = tabs(five)
    tab.page.clock.install()
    tab.open("/")
    pick(tab, "second")
    tab.page.get_by_role("button", name="Delete", exact=True).click()
    expect(tab.page.locator(".undo-notice .clock")).to_have_text("10 s")
    tab.page.get_by_role("heading", name="Runs").hover()
    tab.page.locator(".undo-notice").hover()
    tab.page.clock.run_for(30_000)
    assert len(five.get("/runs")["runs"]) == 5, "nobody is hurried whose hand is on the notice"
    tab.page.get_by_role("heading", name="Runs").hover()
    tab.page.clock.run_for(12_000)
    expect(tab.page.locator(".undo-notice")).to_have_count(0)
    assert [run["name"] for run in five.get("/runs")["runs"]] == ["<b>fifth</b>", "fourth", "third", "first"]


def test_a_page_that_is_closed_before_the_time_is_over_deletes_nothing(five: Service, tabs: Tabs) -> None:
    tab = tabs(five).open("/")
    pick(tab, "second")
    tab.page.get_by_role("button", name="Delete", exact=True).click()
    expect(tab.page.locator(".runs tbody tr")).to_have_count(4)
    tab.page.goto("about:blank")
    tab.open("/")
    expect(tab.page.locator(".runs tbody tr")).to_have_count(5)


def test_what_can_not_be_deleted_comes_back_and_says_why(five: Service, tabs: Tabs) -> None:
    tab = tabs(five)
    tab.expected = ("503",)
    tab.page.route(
        "**/api/v1/runs/run*",
        lambda route: (
            route.fulfill(status=503, body=json.dumps({"error": {"code": "busy", "message": "The disk is full"}}))
            if route.request.method == "DELETE"
            else route.continue_()
        ),
    )
    tab.open("/")
    pick(tab, "<b>fifth</b>")
    tab.page.get_by_role("button", name="Delete", exact=True).click()
    tab.page.get_by_role("button", name="Delete now").click()
    expect(tab.page.locator(".undo-notice [role=alert]")).to_have_text(
        "“<b>fifth</b>” is still there: The disk is full"
    )
    expect(tab.page.locator(".runs tbody tr")).to_have_count(5)


def test_the_list_is_walked_picked_and_opened_by_keys(five: Service, tabs: Tabs) -> None:
    tab = tabs(five).open("/")
    page = tab.page
    expect(page.locator(".runs tbody tr")).to_have_count(5)
    for key in "jjx":
        page.keyboard.press(key)
    expect(page.get_by_role("checkbox", name="Compare fourth")).to_be_checked()
    expect(page.get_by_role("link", name="fourth")).to_be_focused()
    for key in "jxkkx":
        page.keyboard.press(key)
    expect(page.get_by_text("3 picked")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Filter runs")).to_be_focused()
    page.keyboard.type("jx")  # in a field they are letters
    expect(page.get_by_text("No run matches “jx”.")).to_be_visible()
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    expect(page.locator(".runs tbody tr")).to_have_count(5)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("<b>fifth</b>")
