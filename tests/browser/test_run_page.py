"""The page of a run, in a real Chromium: it draws, the brush chooses exactly a window, the address holds the view."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import expect
from sklearn.metrics import confusion_matrix, f1_score

if TYPE_CHECKING:
    from browser.conftest import Story, Tab
    from stage import Service

    Tabs = Callable[..., Tab]

pytestmark = pytest.mark.browser


def query(tab: Tab) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(tab.page.url).query).items()}


def brush(tab: Tab, begin: float, end: float) -> None:
    """Drag over the curves of the classes, from one share of the plot's width to another."""
    area = tab.chart("(F1|Recall|Precision) per class").locator(".nsewdrag").first.bounding_box()
    assert area is not None
    y = area["y"] + area["height"] / 2
    tab.page.mouse.move(area["x"] + begin * area["width"], y)
    tab.page.mouse.down()
    for part in np.linspace(begin, end, 8):
        tab.page.mouse.move(area["x"] + float(part) * area["width"], y + 5)
    tab.page.mouse.up()


def in_words(window: tuple[int, int]) -> re.Pattern[str]:
    return re.compile(f"^Confusion, train steps {window[0]:,}–{window[1] - 1:,}$")


def test_every_chart_is_drawn_by_the_trace_types_it_was_made_of(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    assert set(tab.drawn("F1 per class", "gd._fullData.map(t => t.type)")) == {"scatter"}
    assert len(tab.drawn("F1 per class", "gd._fullData.filter(t => t.name && t.hovertemplate)")) == 10
    assert tab.drawn("Confusion", "gd._fullData.map(t => t.type)") == ["heatmap", "heatmap"]
    for title in ("Loss", "accuracy", "Learning rate"):
        assert set(tab.drawn(title, "gd._fullData.map(t => t.type)")) == {"scatter"}
    expect(tab.page.locator(".veil:visible")).to_have_count(0)


def test_the_curves_are_those_of_scikit_learn(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001?width=100&focus=6")
    line = tab.drawn("F1 per class", "gd._fullData.filter(t => t.name === 'shirt').map(t => [[...t.x], [...t.y]])[0]")
    want = [
        f1_score(
            fashion.true[at : at + 100].ravel(), fashion.predicted[at : at + 100].ravel(), labels=[6], average=None
        )[0]
        for at in range(0, 400, 100)
    ]
    assert line[0] == [50.5, 150.5, 250.5, 350.5]
    assert line[1] == pytest.approx(want, abs=1e-6)


def test_brushing_the_curves_shows_the_matrix_of_exactly_that_window(
    shown: Service, tabs: Tabs, fashion: Story
) -> None:
    tab = tabs(shown).open("/runs/fashion00001?normalise=none")
    whole = confusion_matrix(fashion.true.ravel(), fashion.predicted.ravel(), labels=range(10))
    expect(tab.page.get_by_role("heading", name="Confusion, train steps 1–400")).to_be_visible()
    assert tab.matrix() == pytest.approx(whole)
    brush(tab, 0.38, 0.52)
    tab.until("new URLSearchParams(location.search).get('to') > 200", why="the brush does not arrive in the address")
    window = int(query(tab)["from"]), int(query(tab)["to"])
    assert (window[0] - 1) % 25 == (window[1] - 1) % 25 == 0  # whole windows of the curve
    assert 100 < window[0] < 200 < window[1] < 260
    expect(tab.page.get_by_role("heading", name=in_words(window))).to_be_visible()
    rows = slice(window[0] - 1, window[1] - 1)
    want = confusion_matrix(fashion.true[rows].ravel(), fashion.predicted[rows].ravel(), labels=range(10))
    assert tab.matrix() == pytest.approx(want)
    expect(tab.chart("Confusion").locator(".note")).to_contain_text(f"{want.sum():,} predictions")
    top = tab.page.locator(".largest tbody tr").first
    expect(top).to_contain_text("shirt → t-shirt/top")
    expect(top).to_contain_text(f"{want[6, 0]}")
    tab.page.go_back()  # one step, however long the drag was
    expect(tab.page.get_by_role("heading", name="Confusion, train steps 1–400")).to_be_visible()
    tab.page.go_forward()
    expect(tab.page.get_by_role("heading", name=in_words(window))).to_be_visible()
    tab.page.get_by_role("button", name="Whole run").click()
    expect(tab.page.get_by_role("heading", name="Confusion, train steps 1–400")).to_be_visible()


def test_a_window_is_marked_in_every_chart_and_only_the_matrix_is_drawn_anew(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    for title in ("Loss", "Confusion", "F1 per class"):
        tab.chart(title)
    expect(tab.page.locator("figure.chart[aria-busy]:visible")).to_have_count(0)
    tab.page.wait_for_timeout(500)  # for charts that come into sight
    again = "gd.on('plotly_afterplot', () => gd.drawnAgain = true)"
    tab.page.evaluate(f"document.querySelectorAll('.js-plotly-plot').forEach(gd => {again})")
    brush(tab, 0.4, 0.5)
    tab.until("document.querySelector('.square .js-plotly-plot').drawnAgain", why="the matrix stands still")
    window = [int(query(tab)[name]) - 0.5 for name in ("from", "to")]
    for title in ("F1 per class", "Loss"):
        (marked,) = tab.marked(title, "window")
        assert marked[:2] == pytest.approx(window, abs=0.5), title
    drawn = "[...document.querySelectorAll('.js-plotly-plot')].filter(gd => gd.drawnAgain)"
    assert tab.page.evaluate(f"{drawn}.map(gd => gd.closest('figure').className)") == ["chart square"]


def test_a_double_click_on_the_curves_is_the_whole_run_again(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001?from=101&to=201")
    area = tab.chart("F1 per class").locator(".nsewdrag").first.bounding_box()
    assert area is not None
    tab.page.mouse.dblclick(area["x"] + 20, area["y"] + 20)
    tab.until("!location.search.includes('to=')", why="the window is still there")
    expect(tab.page.get_by_role("heading", name="Confusion, train steps 1–400")).to_be_visible()


def test_a_finger_across_the_curves_is_a_brush_and_one_along_the_page_is_none(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown, width=420).open("/runs/fashion00001")
    finger = tab.page.context.new_cdp_session(tab.page)
    finger.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    area = tab.chart("F1 per class").locator(".nsewdrag").first.bounding_box()
    assert area is not None

    def drag(area: Any, across: float, down: float) -> None:
        x, y = area["x"] + 0.2 * area["width"], area["y"] + area["height"] / 2
        for part in range(12):
            point = {"x": x + across * part / 11, "y": y + down * part / 11}
            finger.send(
                "Input.dispatchTouchEvent", {"type": "touchMove" if part else "touchStart", "touchPoints": [point]}
            )
            tab.page.wait_for_timeout(20)
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        tab.page.wait_for_timeout(200)

    drag(area, 3, -120)
    assert query(tab) == {}
    assert tab.page.evaluate("scrollY") > 0
    tab.page.evaluate("scrollTo(0, 0)")
    tab.chart("F1 per class")
    area = tab.chart("F1 per class").locator(".nsewdrag").first.bounding_box()
    assert area is not None
    drag(area, 0.5 * area["width"], 2)
    low, high = tab.drawn("F1 per class", "gd._fullLayout.xaxis.range")
    assert int(query(tab)["from"]) == pytest.approx(low + 0.2 * (high - low), abs=25)
    assert int(query(tab)["to"]) == pytest.approx(low + 0.7 * (high - low), abs=26)


def test_the_window_can_be_typed_for_those_without_a_mouse(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001?normalise=true")
    first = tab.page.get_by_label("First step of the window")
    expect(first).to_be_visible()
    first.focus()
    tab.page.keyboard.type("151")
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.type("170")
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_role("heading", name=in_words((151, 171)))).to_be_visible()
    want = confusion_matrix(
        fashion.true[150:170].ravel(), fashion.predicted[150:170].ravel(), labels=range(10), normalize="true"
    )
    assert tab.matrix() == pytest.approx(want, abs=1e-6)


def test_a_click_on_an_epoch_shows_its_matrix(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001?split=val&by=epoch&normalise=none&focus=6")
    x, y = tab.drawn(
        "F1 per class",
        "(() => { const t = gd._fullData.find(t => t.name === 'shirt'), l = gd._fullLayout, "
        "b = gd.getBoundingClientRect(); return [b.x + l.xaxis._offset + l.xaxis.d2p(t.x[1]), "
        "b.y + l.yaxis._offset + l.yaxis.d2p(t.y[1])] })()",
    )
    tab.page.mouse.move(x - 3, y)
    tab.page.mouse.move(x, y)
    tab.page.mouse.click(x, y)
    expect(tab.page.get_by_role("heading", name="Confusion, after epoch 2")).to_be_visible()
    assert query(tab)["epoch"] == "2"
    want = confusion_matrix(fashion.val_true[1].ravel(), fashion.val_predicted[1].ravel(), labels=range(10))
    assert tab.matrix() == pytest.approx(want)


def test_the_address_holds_the_whole_view(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    page = tab.page
    page.get_by_role("radio", name="val", exact=True).check()
    page.get_by_role("radio", name="recall", exact=True).check()
    page.get_by_role("radio", name="of predicted", exact=True).check()
    page.get_by_text("Choose classes").click()
    page.get_by_role("checkbox", name="shirt", exact=True).check()
    page.keyboard.press("Escape")
    page.get_by_label("Matrix of epoch").select_option("3")
    page.get_by_role("radio", name="Dark", exact=True).check()
    expect(page.get_by_role("heading", name="Confusion, after epoch 3")).to_be_visible()
    assert query(tab) | {"focus": ""} == {
        "split": "val", "metric": "recall", "epoch": "3", "normalise": "predicted", "focus": "", "theme": "dark",
    }  # fmt: skip
    seen = [tab.matrix(), tab.drawn("Recall", "gd._fullData.length")]
    second = tabs(shown).open(urlsplit(page.url).path + "?" + urlsplit(page.url).query)
    expect(second.page.get_by_role("heading", name="Confusion, after epoch 3")).to_be_visible()
    assert np.array_equal(second.matrix(), seen[0], equal_nan=True)
    assert second.drawn("Recall", "gd._fullData.length") == seen[1]
    for name in ("val", "recall", "of predicted", "Dark"):
        expect(second.page.get_by_role("radio", name=name, exact=True)).to_be_checked()
    expect(second.page.locator(".chips li", has_text="shirt").last).to_be_visible()
    page.bring_to_front()
    page.go_back()
    expect(page.get_by_role("heading", name="Confusion, val steps 1–20")).to_be_visible()


def test_an_address_that_says_nonsense_shows_the_default(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001?split=moon&metric=&width=-3&from=9&to=2&epoch=x&focus=a,,99&theme=1")
    expect(tab.page.get_by_role("heading", name="Confusion, train steps 1–400")).to_be_visible()
    tab.chart("F1 per class")


def test_hostile_names_are_shown_as_they_are_written(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/hostile00001")
    tab.chart("F1 per class")
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("<b>bold</b>")
    drawn = tab.drawn("Confusion", "[...gd.querySelectorAll('.ytick text')].map(t => t.textContent)")
    assert drawn == ["<b>bold</b>", '<a href="javascri…', "R&D &lt;", "<img src=x onerro…"]
    cell = tab.drawn("Confusion", "(() => { const r = gd.querySelector('.nsewdrag').getBoundingClientRect(); "
        "return [r.x + r.width * 3 / 8, r.y + r.height / 8] })()")  # fmt: skip
    tab.page.mouse.move(*cell)
    hover = tab.page.locator(".hoverlayer .hovertext")
    expect(hover).to_contain_text('true <b>bold</b>, predicted <a href="javascript:alert(1)">x</a>')
    assert tab.page.locator("figure .plot a, figure img[src=x], h1 b, .hoverlayer a").count() == 0
    tab.page.get_by_role("link", name="About").click()
    expect(tab.page.locator(".card", has_text="Parameters")).to_contain_text("<img src=x onerror=alert(1)>")


def test_the_dark_theme_follows_the_system_and_the_switch(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown, scheme="dark").open("/runs/fashion00001")
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "gd._fullLayout.xaxis.tickfont.color"
    dark = tab.drawn("Confusion", ink), tab.page.evaluate(ground)
    tab.page.get_by_role("radio", name="Light", exact=True).check()
    tab.until(
        f"document.querySelector('.square .js-plotly-plot')._fullLayout.xaxis.tickfont.color !== '{dark[0]}'",
        why="figures keep the old theme",
    )
    assert tab.page.evaluate(ground) != dark[1] == "rgb(13, 16, 20)"
    tab.page.get_by_role("radio", name="System", exact=True).check()
    tab.until(
        f"document.querySelector('.square .js-plotly-plot')._fullLayout.xaxis.tickfont.color === '{dark[0]}'",
        why="the system's theme does not come back",
    )


@pytest.mark.parametrize("run", ["fashion00001", "pets00000001", "hundred00001", "hostile00001"])
def test_a_narrow_screen_has_nothing_to_scroll_sideways(run: str, shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown, width=400).open(f"/runs/{run}")
    tab.chart("F1 per class")
    tab.chart("Confusion")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 400


def test_a_hundred_classes_are_drawn_without_text_in_cells(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/hundred00001")
    assert tab.drawn("Confusion", "gd.querySelectorAll('.heatmap-label').length") == 0
    assert tab.drawn("F1 per class", "gd._fullData.filter(t => t.hovertemplate).length") == 100


def test_the_matrix_has_a_twin_that_is_a_table(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001?from=1&to=101")
    tab.page.get_by_text("Counts as a table").click()
    tab.page.locator(".cells tbody tr").first.wait_for()
    rows = [
        [int(text.replace(",", "")) for text in row.locator("td").all_inner_texts()]
        for row in tab.page.locator(".cells tbody tr").all()
    ]
    want = confusion_matrix(fashion.true[:100].ravel(), fashion.predicted[:100].ravel(), labels=range(10))
    assert rows == want.tolist()


def test_every_chart_has_a_name_and_says_in_one_sentence_what_it_shows(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    for title in ("F1 per class", "Confusion", "Loss", "accuracy", "Learning rate"):
        chart = tab.chart(title)
        said: Any = chart.locator(".plot").evaluate(
            "plot => ['aria-labelledby', 'aria-describedby'].map("
            "name => document.getElementById(plot.getAttribute(name)).textContent)"
        )
        assert said[0].startswith(title)
        assert said[1].endswith(".")


def test_what_was_recorded_by_epoch_alone_is_shown_by_epoch(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001?key=macro_f1")
    assert tab.drawn("macro_f1", "[gd._fullLayout.xaxis.title.text, [...gd._fullData[0].x]]") == ["epoch", [1, 2, 3, 4]]
    expect(tab.page.locator(".scalar-part figure")).to_have_count(1)


def test_no_button_of_a_chart_sends_its_numbers_away(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    for title in ("F1 per class", "Confusion", "Loss"):
        names = tab.drawn(title, "[...gd.querySelectorAll('.modebar-btn')].map(b => b.dataset.title.toLowerCase())")
        assert "download plot as a png" in names
        assert not [name for name in names if "cloud" in name or "share" in name or "edit" in name or "plotly" in name]


def test_an_unknown_run_says_so(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown)
    tab.expected = ("404",)
    tab.open("/runs/nosuchrun001")
    alert = tab.page.get_by_role("alert")
    expect(alert).to_contain_text("There is no run")
    expect(alert.get_by_role("link", name="All runs")).to_be_visible()


def test_each_output_of_a_model_with_several_has_its_own_matrix(shown: Service, tabs: Tabs) -> None:
    from epochscope import wire
    from stage import Training, counted

    outputs = [wire.Output("animal", ("cat", "dog")), wire.Output("colour", ("red", "green", "blue"))]
    training = Training(shown, "twooutputs01", info={"outputs": outputs})
    colours = np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1])
    animals = np.array([0, 1, 1, 1]), np.array([0, 1, 0, 1])
    training.send(confusion=[counted([animals], output="animal"), counted([colours], output="colour")])
    tab = tabs(shown).open("/runs/twooutputs01?normalise=none")
    assert tab.matrix().tolist() == [[1, 0], [1, 2]]
    tab.page.get_by_label("Output").select_option("colour")
    expect(tab.page.locator(".largest tbody tr")).to_contain_text("blue → green")
    assert tab.matrix().tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    tab.chart("F1 per class")


def test_the_label_whose_matrix_is_shown_can_be_chosen(shown: Service, tabs: Tabs) -> None:
    from epochscope import wire
    from stage import Training, counted

    outputs = [wire.Output("output", ("red", "ripe"), True)]
    training = Training(shown, "somelabels01", info={"outputs": outputs})
    true, said = np.array([0, 2, 1, 3, 1, 2, 0, 2]), np.array([0, 2, 1, 3, 0, 3, 0, 3])
    training.send(confusion=[counted([(true, said)])])
    tab = tabs(shown).open("/runs/somelabels01?normalise=none")
    assert tab.matrix().tolist() == [[2, 0], [1, 1]]
    tab.page.get_by_label("Label").select_option("ripe")
    expect(tab.page.locator(".largest tbody tr")).to_contain_text("no → yes")
    assert tab.matrix().tolist() == [[1, 2], [0, 1]]
    expect(tab.page).to_have_url(re.compile("label=ripe"))
    tab.page.locator(".largest tbody button").click()
    expect(tab.page).to_have_url(re.compile("focus=1"))
    tab.chart("F1 per class")


def test_a_run_without_counts_says_why_and_still_shows_its_series(shown: Service, tabs: Tabs) -> None:
    from epochscope import wire
    from stage import Training

    training = Training(
        shown, "regression01", class_names=(), info={"capture": "logs only: a regression has no classes"}
    )
    training.send(series=[wire.SeriesColumns.of("loss", "train", "batch", [1, 2, 3], [3.0, np.nan, 1.0])])
    tab = tabs(shown).open("/runs/regression01")
    expect(tab.page.locator(".run-head .note", has_text="a regression has no classes")).to_be_visible()
    expect(tab.page.locator(".grid > :visible")).to_have_count(1)  # nothing but the series
    assert tab.drawn("Loss", "gd._fullData.filter(t => t.mode === 'markers').length") == 1  # the NaN
