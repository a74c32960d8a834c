"""Finding and keeping order among runs, in a real Chromium: filter, sort, rename, tag, archive, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from stage import Service, Training, counted, start_service

if TYPE_CHECKING:
    from browser.conftest import Tab

    Tabs = Callable[..., Tab]

pytestmark = pytest.mark.browser

RUNS = {
    "first": ({"lr": 0.1}, ["baseline"]),
    "second": ({"lr": 0.001}, ["first try", "baseline"]),
    "third": ({"lr": 0.01}, []),
}


@pytest.fixture
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_service(tmp_path_factory.mktemp("three"))
    for place, (name, (params, tags)) in enumerate(RUNS.items()):
        info = {"name": name, "params": params, "tags": tags, "started_ms": 1_700_000_000_000 + place}
        Training(service, f"run{place:013d}", info=info).send(confusion=[counted([([0, 1], [0, 1])])])
    yield service
    service.stop()


def listed(tab: Tab) -> list[str]:
    return tab.page.locator(".runs tbody th a.name").all_text_contents()


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("tag:baseline", ["second", "first"]),
        ('tag:"first try"', ["second"]),
        ("params.lr<0.05", ["third", "second"]),
        ("params.lr<0.05 tag:baseline", ["second"]),
        ("is:live ird", ["third"]),
        ("project:nowhere", []),
    ],
)
def test_the_filter_knows_words_conditions_tags_and_states(
    three: Service, tabs: Tabs, asked: str, names: list[str]
) -> None:
    tab = tabs(three).open("/")
    expect(tab.page.locator(".runs tbody tr")).to_have_count(3)
    tab.page.get_by_role("searchbox", name="Filter runs").fill(asked)
    expect(tab.page.locator(".runs tbody tr")).to_have_count(len(names))
    assert listed(tab) == names
    tab.page.reload()  # the address holds it
    expect(tab.page.locator(".runs tbody tr")).to_have_count(len(names))


def test_a_filter_that_makes_no_sense_says_what_would(three: Service, tabs: Tabs) -> None:
    tab = tabs(three)
    tab.expected = ("422",)
    tab.open("/?q=is:sleeping")
    expect(tab.page.get_by_role("alert")).to_contain_text("'sleeping' is no state; they are running")


def test_a_press_on_a_column_sorts_by_it_and_back(three: Service, tabs: Tabs) -> None:
    tab = tabs(three).open("/")
    column = tab.page.get_by_role("button", name="run", exact=False).and_(tab.page.locator("[data-by=name]"))
    first = tab.page.locator(".runs tbody th a.name").first
    expect(first).to_have_text("third")  # the newest
    column.click()
    expect(first).to_have_text("first")
    expect(tab.page.locator("th[aria-sort]")).to_have_attribute("aria-sort", "ascending")
    expect(column).to_be_focused()
    assert "sort=name" in tab.page.url
    column.press("Enter")
    expect(first).to_have_text("third")
    expect(tab.page.locator("th[aria-sort]")).to_have_attribute("aria-sort", "descending")
    column.press("Enter")
    expect(tab.page.locator("th[aria-sort=descending] [data-by=created]")).to_be_visible()


def test_a_press_on_a_tag_leaves_the_runs_with_it(three: Service, tabs: Tabs) -> None:
    tab = tabs(three).open("/")
    tab.page.get_by_role("button", name="first try").click()
    expect(tab.page.locator(".runs tbody tr")).to_have_count(1)
    assert listed(tab) == ["second"]


def test_a_run_is_renamed_tagged_and_annotated_on_its_page(three: Service, tabs: Tabs) -> None:
    tab = tabs(three).open("/runs/run0000000000000")
    page = tab.page
    page.get_by_text("Edit", exact=True).click()
    page.get_by_role("textbox", name="Name").fill("<b>best</b>")
    page.get_by_label("Tags").fill("keep, seed 1, keep")
    page.get_by_label("Notes").fill("with dropout")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("<b>best</b>")
    told = three.get("/runs/run0000000000000")
    assert (told["name"], told["tags"], told["notes"]) == ("<b>best</b>", ["keep", "seed 1"], "with dropout")


def test_what_cannot_be_a_name_is_refused_beside_the_form(three: Service, tabs: Tabs) -> None:
    tab = tabs(three)
    tab.expected = ("422",)
    page = tab.open("/runs/run0000000000000").page
    page.get_by_text("Edit", exact=True).click()
    page.get_by_label("Tags").fill("x" * 300)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".amend [role=alert]")).to_contain_text("tags")
    assert three.get("/runs/run0000000000000")["tags"] == ["baseline"]


def test_an_archived_run_leaves_the_list_and_comes_back(three: Service, tabs: Tabs) -> None:
    tab = tabs(three).open("/runs/run0000000000002")
    tab.page.get_by_text("Edit", exact=True).click()
    tab.page.get_by_role("button", name="Archive").click()
    expect(tab.page.locator(".run-head .project")).to_contain_text("archived")
    tab.open("/")
    expect(tab.page.locator(".runs tbody tr")).to_have_count(2)
    tab.open("/?q=is:archived")
    expect(tab.page.locator(".runs tbody tr")).to_have_count(1)
    assert listed(tab) == ["third"]


def test_a_run_is_deleted_on_its_page_and_can_be_had_back(three: Service, tabs: Tabs) -> None:
    tab = tabs(three).open("/runs/run0000000000001")
    page = tab.page
    for last in ("Undo", "Delete now"):
        page.get_by_text("Edit", exact=True).click()
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
        expect(page.locator(".runs tbody tr")).to_have_count(2)
        assert three.ask("/runs/run0000000000001").status_code == 200
        page.get_by_role("button", name=last).click()
        expect(page.locator(".undo-notice")).to_have_count(0)
        if last == "Undo":
            page.get_by_role("link", name="second").click()
    assert three.ask("/runs/run0000000000001").status_code == 404
    assert listed(tab) == ["third", "first"]
