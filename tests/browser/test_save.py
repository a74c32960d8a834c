"""Taking a chart away, in a real Chromium: picture, table, figure and code are files that say what they are."""

from __future__ import annotations

import ast
import csv
import io
import json
import struct
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright.sync_api import Locator, expect
from sklearn.metrics import confusion_matrix

if TYPE_CHECKING:
    from browser.conftest import Story, Tab
    from stage import Service

    Tabs = Callable[..., Tab]

pytestmark = pytest.mark.browser


def saved(tab: Tab, chart: Locator, role: str, name: str) -> tuple[str, bytes]:
    """Choose from the chart's menu; the name and the bytes of the file that comes."""
    if chart.locator(".save[open]").count() == 0:
        chart.locator(".save summary").click()
    with tab.page.expect_download() as found:
        chart.get_by_role(role, name=name).click()  # type: ignore[arg-type]
    return found.value.suggested_filename, Path(found.value.path()).read_bytes()


def test_a_picture_says_its_title_run_and_window(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001?from=101&to=201")
    name, svg = saved(tab, tab.chart("Confusion"), "button", "Picture (SVG)")
    assert name == "epochscope-Confusion-train-steps-101-200.svg"
    words = svg.decode()
    assert words.startswith("<svg")
    for said in ("Confusion, train steps 101–200", "shirt collapses", "3,200 predictions"):
        assert said in words, said


def test_a_picture_has_the_marks_of_the_page(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001?from=101&to=201&cell=6,0")
    for title, marks in (("Loss", 3), ("Confusion", 1)):  # a window and its two ends, a frame
        _, svg = saved(tab, tab.chart(title), "button", "Picture (SVG)")
        paths = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}path")
        shapes = [path for path in paths if path.get("data-index")]
        assert len(shapes) == marks, title


def test_a_picture_has_twice_the_pixels_of_the_page(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    chart = tab.chart("F1 per class")
    _, png = saved(tab, chart, "button", "Picture (PNG)")
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    box = chart.locator(".plot").bounding_box()
    assert box is not None
    assert width == pytest.approx(2 * box["width"], abs=2)
    assert height > 2 * box["height"]  # with its title


def test_hostile_names_are_text_in_a_picture(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/hostile00001?cell=1,3")
    _, svg = saved(tab, tab.chart("<a href"), "button", "Picture (SVG)")
    drawn = ElementTree.fromstring(svg)
    assert not [part for part in drawn.iter() if part.tag.endswith(("}a", "}img"))]
    assert any('<a href="javascript:alert(1)">x</a> taken for <img src=x' in text for text in drawn.itertext())


def test_the_table_of_a_matrix_is_that_of_the_window(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001?from=101&to=201&normalise=predicted")
    name, text = saved(tab, tab.chart("Confusion"), "link", "Table (CSV)")
    assert name == "shirt-collapses-confusion-train-101-200.csv"
    header, *rows = csv.reader(io.StringIO(text.decode(), newline=""))
    assert header == ["true class", *fashion.class_names]
    want = confusion_matrix(
        fashion.true[100:200].ravel(), fashion.predicted[100:200].ravel(), labels=range(len(fashion.class_names))
    )
    np.testing.assert_array_equal([[int(count) for count in row[1:]] for row in rows], want)


def test_stability_gives_the_table_of_classes_and_that_of_changes(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    chart = tab.chart("Stability")
    _, text = saved(tab, chart, "link", "Table of changes (CSV)")
    fell = [row for row in csv.DictReader(io.StringIO(text.decode(), newline="")) if row["kind"] == "drop"]
    assert ("shirt", "t-shirt/top") in [(row["class"], row["taken_for"]) for row in fell]


def test_the_figure_is_one_that_plotly_takes(shown: Service, tabs: Tabs) -> None:
    import plotly.graph_objects as go

    tab = tabs(shown).open("/runs/fashion00001?focus=6")
    name, text = saved(tab, tab.chart("F1 per class"), "link", "Figure (JSON)")
    assert name == "epochscope-F1-per-class.json"
    assert "shirt" in [trace.name for trace in go.Figure(json.loads(text)).data]


def test_the_copied_python_asks_for_the_same(shown: Service, tabs: Tabs) -> None:
    import plotly.graph_objects as go

    tab = tabs(shown).open("/runs/fashion00001?focus=6&width=50")
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    chart = tab.chart("F1 per class")
    chart.locator(".save summary").click()
    chart.get_by_role("button", name="Copy as Python").click()
    expect(chart.get_by_role("button", name="Copied")).to_be_visible()
    code = tab.page.evaluate("navigator.clipboard.readText()")
    addresses = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    table, figure = (urllib.request.urlopen(str(address)).read() for address in addresses)
    rows = list(csv.DictReader(io.StringIO(table.decode(), newline="")))
    assert len(rows) == 10 * 8
    assert "shirt" in [trace.name for trace in go.Figure(json.loads(figure)).data]
    tab.page.context.clear_permissions()


def test_the_menu_closes_with_escape_and_a_press_elsewhere(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    chart = tab.chart("F1 per class")
    menu = chart.locator(".save")
    menu.locator("summary").click()
    expect(menu).to_have_attribute("open", "")
    tab.page.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("open", "")
    expect(menu.locator("summary")).to_be_focused()
    menu.locator("summary").click()
    tab.page.mouse.click(5, 5)
    expect(menu).not_to_have_attribute("open", "")


def test_where_nothing_is_drawn_there_is_nothing_to_save(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/pets00000001?split=val&from=900&to=901")
    expect(tab.page.locator(".matrix .veil.empty")).to_be_visible()
    expect(tab.page.locator(".matrix .save")).to_be_hidden()


def test_both_figures_of_a_comparison_give_the_one_table_of_it(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/compare?runs=fashion00001,fashion00002&split=train")
    texts = [saved(tab, tab.chart(title), "link", "Table (CSV)")[1] for title in ("Difference", "F1: classes")]
    assert texts[0] == texts[1]
    header = texts[0].decode().splitlines()[0].split(",")
    assert header[:5] == ["split", "class", "metric", "shirt collapses", "other seed"]


def test_the_table_of_curves_on_an_axis_of_training_has_the_epochs_that_they_show(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/compare?runs=fashion00001,fashion00002&split=val&x=samples&focus=6")
    _, text = saved(tab, tab.chart("F1 of"), "link", "Table (CSV)")
    rows = [row for row in csv.DictReader(io.StringIO(text.decode(), newline="")) if row["class"] == "shirt"]
    assert [(row["run"], row["epoch"]) for row in rows] == [
        (run, str(epoch)) for run in ("shirt collapses", "other seed") for epoch in (1, 2, 3, 4)
    ]
