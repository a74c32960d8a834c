"""The matrix in a real Chromium: how it is drawn, the list beside it, its table, and what is lit in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import expect
from sklearn.metrics import confusion_matrix
from stage import Training
from stage import counted as told

if TYPE_CHECKING:
    from browser.conftest import Story, Tab
    from stage import Service

    Tabs = Callable[..., Tab]

pytestmark = pytest.mark.browser

SHOWN = "gd._fullData.filter(t => t.type === 'heatmap').map(t => Array.from(t.z, row => Array.from(row)))[0]"


def query(tab: Tab) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(tab.page.url).query).items()}


def counted(story: Story) -> np.ndarray:
    matrix: np.ndarray = confusion_matrix(
        story.true.ravel(), story.predicted.ravel(), labels=range(len(story.class_names))
    )
    return matrix


def test_classes_are_ordered_as_chosen_and_the_numbers_go_with_them(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001?normalise=none")
    counts = counted(fashion)
    tab.chart("Confusion")
    tab.page.locator(".looks select").select_option("by error")
    order = np.argsort(counts.diagonal() / counts.sum(axis=1), kind="stable")
    names = [fashion.class_names[index] for index in order]
    tab.until(
        f"document.querySelector('.matrix .ytick text')?.textContent === {names[0]!r}", why="the order does not arrive"
    )
    assert tab.drawn("Confusion", "[...gd.querySelectorAll('.ytick text')].map(t => t.textContent)") == names
    assert tab.drawn("Confusion", SHOWN) == counts[np.ix_(order, order)].tolist()
    assert query(tab)["order"] == "error"
    tab.page.reload()
    expect(tab.page.locator(".looks select")).to_have_value("error")
    assert tab.drawn("Confusion", SHOWN) == counts[np.ix_(order, order)].tolist()


def test_a_click_in_an_ordered_matrix_follows_the_cell_that_is_seen(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001?order=name")
    order = sorted(range(10), key=lambda index: fashion.class_names[index])
    row, column = order.index(6), order.index(0)
    tab.click_cell(row, column)
    expect(tab.page.get_by_role("heading", name="shirt taken for t-shirt/top")).to_be_visible()
    assert query(tab)["cell"] == "6,0"
    frame = tab.marked("Confusion", "cell")
    assert frame == [pytest.approx([column - 0.5, column + 0.5, row - 0.5, row + 0.5], abs=0.02)]


def test_diagonal_and_ink_are_chosen_and_in_the_address(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    tab.chart("Confusion")
    tab.page.get_by_label("diagonal").uncheck()
    tab.page.get_by_role("radio", name="log", exact=True).check()
    ticks = "document.querySelector('.matrix .js-plotly-plot')._fullData.at(-1).marker?.colorbar.ticktext?.join()"
    tab.until(f"{ticks} === '0,0.1 %,1 %,10 %'", why="the scale of the ink does not change")
    assert tab.drawn("Confusion", "[...new Set(gd._fullData[1].colorscale.map(s => s[1]))]") == ["#ffffff"]
    assert (query(tab)["diagonal"], query(tab)["ink"]) == ("hide", "log")
    tab.page.go_back()
    tab.page.go_back()
    expect(tab.page.get_by_label("diagonal")).to_be_checked()
    assert query(tab) == {}


def test_the_list_says_how_much_of_all_error_it_covers(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    off = counted(fashion)
    np.fill_diagonal(off, 0)
    tab.chart("Confusion")
    said = tab.page.locator(".largest .note")
    largest = np.sort(off.ravel())[::-1]
    covered = 100 * largest[:8].sum() / off.sum()
    expect(said).to_contain_text(f"These 8 make up {covered:.1f}% of all {off.sum():,} mistakes")
    tab.page.get_by_role("button", name="Show 50").click()
    expect(tab.page.locator(".largest tbody tr")).to_have_count(50)
    expect(said).to_contain_text(f"These 50 make up {100 * largest[:50].sum() / off.sum():.1f}%")


def test_confusions_are_searched_among_a_hundred_classes(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/hundred00001")
    tab.chart("Confusion")
    tab.page.get_by_role("searchbox", name="Find classes").fill("kind 42")
    rows = tab.page.locator(".largest tbody tr")
    expect(tab.page.locator(".largest .note")).to_contain_text("pairs fit")
    assert all("kind 42" in text for text in rows.all_inner_texts())
    assert query(tab)["find"] == "kind 42"
    tab.page.get_by_role("searchbox", name="Find classes").fill("nobody")
    expect(rows.first).to_contain_text("No confusion of such classes.")


def test_a_column_of_the_table_sorts_its_rows(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    tab.page.get_by_text("Counts as a table").click()
    tab.page.locator(".cells thead").get_by_role("button", name="shirt", exact=True).click()
    counts = counted(fashion)
    order = np.argsort(-counts[:, 6], kind="stable")
    heads = tab.page.locator(".cells tbody th")
    expect(heads.first).to_have_text("shirt")
    assert heads.all_inner_texts() == [fashion.class_names[index] for index in order]
    expect(tab.page.locator(".cells thead th").nth(7)).to_have_attribute("aria-sort", "descending")


@pytest.fixture(scope="module")
def six_hundred(shown: Service) -> Any:
    """The counts of a run of 600 classes, [600, 600]; one is taken for another throughout."""
    rng = np.random.default_rng(2)
    true = rng.integers(0, 600, (40, 300))
    predicted = np.where(rng.random(true.shape) < 0.9, true, (true + rng.integers(0, 9, true.shape)) % 600)
    predicted[true == 300] = 450
    training = Training(shown, "sixhundred01", class_names=tuple(f"art {index}" for index in range(600)))
    training.send(confusion=[told(list(zip(true, predicted, strict=True)))])
    return np.histogram2d(true.ravel(), predicted.ravel(), bins=[range(601)] * 2)[0]


def place(tab: Tab, x: float, y: float) -> tuple[float, float]:
    """Where a place of the matrix is on the screen."""
    found: list[float] = tab.drawn(
        "Confusion",
        "(() => { const l = gd._fullLayout, b = gd.getBoundingClientRect(); "
        f"return [b.x + l.xaxis._offset + l.xaxis.d2p({x}), b.y + l.yaxis._offset + l.yaxis.d2p({y})] }})()",
    )
    return found[0], found[1]


def test_very_many_classes_are_a_map_whose_squares_are_followed(shown: Service, tabs: Tabs, six_hundred: Any) -> None:
    tab = tabs(shown).open("/runs/sixhundred01?normalise=none")
    assert tab.drawn("Confusion", "gd._fullData.map(t => [t.type, t.z.length])") == [["heatmap", 200]]
    squares = np.array(tab.drawn("Confusion", SHOWN))
    assert squares[100, 150] == six_hundred[300, 450]  # three classes to a square
    x, y = place(tab, 451, 301)
    tab.page.mouse.move(x - 3, y)
    tab.page.mouse.move(x, y)
    expect(tab.page.locator(".matrix .hoverlayer")).to_contain_text("true art 300, predicted art 450")
    tab.page.mouse.click(x, y)
    expect(tab.page.get_by_role("heading", name="art 300 taken for art 450")).to_be_visible()


def test_the_part_of_a_map_that_is_zoomed_into_is_drawn_cell_by_cell(
    shown: Service, tabs: Tabs, six_hundred: Any
) -> None:
    tab = tabs(shown).open("/runs/sixhundred01?normalise=none")
    tab.chart("Confusion")
    drawn = "document.querySelector('.matrix .js-plotly-plot')._fullData.length"
    begin, end = place(tab, 400, 250), place(tab, 520, 370)
    tab.page.mouse.move(*begin)
    tab.page.mouse.down()
    tab.page.mouse.move((begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2)
    tab.page.mouse.move(*end)
    tab.page.mouse.up()
    tab.until(f"{drawn} > 1", why="no finer part is drawn")
    fine = "gd._fullData.slice(1, 2).map(t => [t.y0, t.x0, t.dx, t.z.map(row => [...row])])[0]"
    top, left, width, cells = tab.drawn("Confusion", fine)
    assert (top, left, width) == (pytest.approx(250, abs=5), pytest.approx(400, abs=5), 1)
    z = np.array(cells)
    off = six_hundred - np.diag(six_hundred.diagonal())
    assert z.tolist() == off[top : top + len(z), left : left + z.shape[1]].tolist()
    low, high = tab.drawn("Confusion", "gd._fullLayout.xaxis.range")
    assert (low, high) == (pytest.approx(400, abs=5), pytest.approx(520, abs=5)), "what is seen stays"
    tab.page.mouse.move(*place(tab, 449, 300))
    tab.page.mouse.move(*place(tab, 450, 300))
    expect(tab.page.locator(".matrix .hoverlayer")).to_contain_text("true art 300, predicted art 450")
    tab.page.mouse.dblclick(*place(tab, 460, 310))
    tab.until(f"{drawn} === 1", why="the finer part stays")
    assert tab.drawn("Confusion", "gd._fullLayout.xaxis.range") == [-0.5, 599.5]
    assert tab.drawn("Confusion", "gd._fullLayout.yaxis.range") == [599.5, -0.5]


def test_of_more_than_a_thousand_classes_the_list_is_there_and_is_searched(shown: Service, tabs: Tabs) -> None:
    training = Training(shown, "manykinds001", class_names=tuple(f"item {index:04d}" for index in range(1200)))
    pairs = [(0, 1199, 5), (7, 8, 3), (8, 7, 2), (9, 9, 90)]
    labels = [np.repeat([pair[side] for pair in pairs], [pair[2] for pair in pairs]) for side in (0, 1)]
    training.send(confusion=[told([(labels[0], labels[1])])])
    tab = tabs(shown).open("/runs/manykinds001")
    expect(tab.page.locator(".matrix .veil")).to_contain_text("1,200 classes are too many for a matrix")
    rows = tab.page.locator(".largest tbody tr")
    expect(rows.first).to_contain_text("item 0000 → item 1199")
    expect(tab.page.locator(".largest .note")).to_contain_text("These are 100.0% of all 10 mistakes")
    tab.page.get_by_role("searchbox", name="Find classes").fill("0008")
    expect(rows).to_have_count(2)
    assert [re.sub(r"\s+", " ", text) for text in rows.all_inner_texts()] == [
        "item 0007 → item 0008 3 100.0%",
        "item 0008 → item 0007 2 100.0%",
    ]


def test_a_class_under_the_mouse_is_lit_in_curves_matrix_and_list_without_a_new_drawing(
    shown: Service, tabs: Tabs, fashion: Story
) -> None:
    tab = tabs(shown).open("/runs/fashion00001?focus=6")
    tab.chart("F1 per class")
    tab.chart("Confusion")
    expect(tab.page.locator("figure.chart[aria-busy]:visible")).to_have_count(0)  # the others may be drawn only now
    tab.page.wait_for_timeout(500)  # what is drawn first is fitted to its box in the next frames
    again = "gd.on('plotly_afterplot', () => gd.drawnAgain = true)"
    tab.page.evaluate(f"document.querySelectorAll('.js-plotly-plot').forEach(gd => {again})")
    tab.page.locator(".chips li", has_text="shirt").hover()
    lines = "gd.querySelectorAll('.scatterlayer > .trace.lit').length"
    assert tab.drawn("F1 per class", f"[gd.classList.contains('lighting'), {lines} > 0]") == [True, True]
    bands = tab.drawn(
        "Confusion",
        "(() => { const o = gd._fullLayout.yaxis; return [...gd.querySelectorAll('.crossing')]"
        ".map(b => Math.round(o.p2d(parseFloat(b.style.top) + parseFloat(b.style.height) / 2 - o._offset))) })()",
    )
    assert bands[0] == 6
    assert len(bands) == 2
    expect(tab.page.locator(".largest tr.lit")).not_to_have_count(0)
    tab.page.mouse.move(5, 5)
    assert tab.drawn("Confusion", "gd.querySelectorAll('.crossing').length") == 0
    drawn = "[...document.querySelectorAll('.js-plotly-plot')].filter(gd => gd.drawnAgain)"
    assert tab.page.evaluate(f"{drawn}.map(gd => gd.closest('figure').querySelector('h2').textContent)") == []


def test_on_a_phone_there_are_no_more_names_below_a_matrix_than_fit(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown, width=400).open("/runs/hundred00001")
    places = tab.drawn("Confusion", "gd._fullLayout.xaxis.tickvals.map(v => gd._fullLayout.xaxis.d2p(v))")
    assert len(places) > 5
    assert min(np.diff(places)) >= 9  # pixels: the height of a letter
    names = tab.drawn("Confusion", "[gd._fullLayout.xaxis.ticktext[1], gd._fullLayout.xaxis.tickvals[1]]")
    assert names[0] == f"kind {names[1]:02d}"


def test_two_classes_have_share_and_count_in_their_cells(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/pets00000001")
    shares = tab.matrix()
    (texts,) = tab.drawn("Confusion", "[gd._fullData[0].text]")
    assert texts[0][1].startswith(f"{100 * shares[0, 1]:.1f} %<br>")
