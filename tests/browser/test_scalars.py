"""Scalar series in a real Chromium: which, over which axis, how smooth; one window and hairline over all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from epochscope import wire
from playwright.sync_api import expect
from stage import Training, start_service

if TYPE_CHECKING:
    from browser.conftest import Story, Tab
    from stage import Service

    Tabs = Callable[..., Tab]

pytestmark = pytest.mark.browser

LINE = "gd._fullData.filter(t => t.name === {!r} && t.hovertemplate).map(t => [[...t.x], [...t.y]])[0]"
STEPS = 2000


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a run of four epochs of 500 batches: a spike, a NaN, two infinities, a clock."""
    service = start_service(tmp_path_factory.mktemp("odd"))
    training = Training(service, "oddones00001", class_names=(), info={"batches_per_epoch": 500})
    steps = np.arange(1, STEPS + 1)
    training.send(
        series=[
            wire.SeriesColumns.of("loss", "train", "batch", steps, loss()),
            wire.SeriesColumns.of("accuracy", "train", "batch", steps, np.linspace(0.1, 0.9, STEPS)),
            wire.SeriesColumns.of("system/seconds", "train", "batch", [1000, 2000], [120.0, 600.0]),
            wire.SeriesColumns.of("loss", "val", "epoch", [1, 2, 3, 4], [2.0, 1.5, 1.25, 1.0]),
        ],
        spans=[wire.Span("train", one, (one - 1) * 500 + 1, one * 500 + 1) for one in (1, 2, 3, 4)],
        end=wire.End("finished"),
    )
    yield service
    service.stop()


def loss() -> np.ndarray[Any, np.dtype[np.float64]]:
    values = np.linspace(2, 1, STEPS)
    values[700], values[1200], values[1300], values[1301] = 90, np.nan, np.inf, -np.inf
    return values


def query_of(tab: Tab) -> dict[str, list[str]]:
    return parse_qs(urlsplit(tab.page.url).query)


def test_what_is_chosen_is_drawn_and_stands_in_the_address(odd: Service, tabs: Tabs) -> None:
    tab = tabs(odd).open("/runs/oddones00001")
    part = tab.page.locator(".scalar-part")
    tab.chart("Loss")
    part.get_by_role("combobox", name="Smoothing").select_option("sliding")
    part.get_by_role("combobox", name="x axis").select_option("epoch")
    part.get_by_label("Log y").check()
    tab.until("location.search.includes('log=true')", why="the choice does not arrive in the address")
    assert {"sliding": ["25"], "x": ["epoch"], "log": ["true"]}.items() <= query_of(tab).items()
    expect(tab.chart("Loss").locator(".legendtext").first).to_contain_text("train, smoothed")
    url = tab.page.url.removeprefix(odd.url)
    fresh = tabs(odd).open(url)  # a link that is passed on shows the same
    x, y = fresh.drawn("Loss", LINE.format("train, smoothed"))
    assert x[-1] == pytest.approx(4, abs=0.01)
    assert y[-1] == pytest.approx(np.mean(loss()[-25:]), abs=2e-3)
    assert fresh.drawn("Loss", "[gd._fullLayout.yaxis.type, gd._fullLayout.xaxis.title.text]") == [
        "log",
        "epochs trained",
    ]
    assert fresh.drawn("Loss", LINE.format("val"))[0] == [1, 2, 3, 4]


def test_the_running_mean_stands_beside_the_true_value_of_each_batch(odd: Service, tabs: Tabs) -> None:
    tab = tabs(odd).open("/runs/oddones00001?running=true&key=accuracy")
    batch = tab.drawn("accuracy", LINE.format("train, each batch"))
    mean = tab.drawn("accuracy", LINE.format("train, running mean"))
    assert batch[0] == mean[0]
    at = batch[0].index(1001) - 1  # the last bucket of the second epoch, four steps wide
    values = np.linspace(0.1, 0.9, STEPS)
    assert batch[1][at] == pytest.approx(values[996:1000].mean(), abs=1e-5)
    assert mean[1][at] == pytest.approx(np.mean([values[500:end].mean() for end in range(997, 1001)]), abs=1e-5)


def test_values_that_are_no_numbers_are_marked_where_they_happened(odd: Service, tabs: Tabs) -> None:
    tab = tabs(odd).open("/runs/oddones00001?zoom=true&from=1150&to=1400&key=loss")
    marks = tab.drawn("Loss", "gd._fullData.filter(t => t.mode === 'markers').map(t => [[...t.x], [...t.text]])[0]")
    assert marks == [[1201, 1301, 1302], ["NaN at", "+∞ at", "−∞ at"]]
    expect(tab.chart("Loss").locator("p.unseen")).to_contain_text("the first of them NaN at step 1,201")


def test_outliers_are_left_out_of_the_axis_and_words_say_so(odd: Service, tabs: Tabs) -> None:
    tab = tabs(odd).open("/runs/oddones00001?key=loss")
    assert tab.drawn("Loss", "gd._fullLayout.yaxis.range[1]") > 50
    tab.page.get_by_label("Ignore outliers").check()
    expect(tab.chart("Loss").locator(".note")).to_contain_text("1 point outside")
    assert tab.drawn("Loss", "gd._fullLayout.yaxis.range[1]") < 3


def test_a_stretch_of_a_series_is_the_window_of_the_page(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001?x=epoch")
    area = tab.chart("Loss").locator(".nsewdrag").first.bounding_box()
    assert area is not None
    y = area["y"] + area["height"] / 2
    tab.page.mouse.move(area["x"] + 0.25 * area["width"], y)
    tab.page.mouse.down()
    for part in np.linspace(0.25, 0.5, 6):
        tab.page.mouse.move(area["x"] + float(part) * area["width"], y + 4)
    tab.page.mouse.up()
    tab.until("new URLSearchParams(location.search).has('to')", why="the brush does not arrive in the address")
    low, high = tab.drawn("Loss", "gd._fullLayout.xaxis.range")
    query = query_of(tab)
    for name, part in (("from", 0.25), ("to", 0.5)):
        assert int(query[name][0]) == pytest.approx(100 * (low + part * (high - low)), abs=6)
    assert tab.matrix().shape == (10, 10)
    for title in ("Loss", "accuracy", "Learning rate"):
        x0, x1 = ((int(query[name][0]) - 1) / 100 for name in ("from", "to"))
        assert tab.marked(title, "window")[0][:2] == pytest.approx([x0, x1], abs=1e-3)
    tab.page.get_by_label("Zoom to window").check()
    tab.until("location.search.includes('zoom=true')", why="zoom is not in the address")
    tab.page.wait_for_timeout(300)
    assert tab.drawn("accuracy", "gd._fullLayout.xaxis.range") == pytest.approx([x0, x1])


def test_in_validation_a_stretch_of_training_is_the_passes_after_its_epochs(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001?split=val&epoch=2")
    assert tab.marked("Loss", "window")[0][:2] == pytest.approx([100.5, 200.5], abs=0.1)


def test_the_hairline_stands_in_every_chart_and_tells_their_values(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    for title in ("accuracy", "Learning rate"):
        tab.chart(title)
    area = tab.chart("Loss").locator(".nsewdrag").first.bounding_box()
    assert area is not None
    x = tab.drawn("Loss", "gd._fullLayout.xaxis.p2d(gd._fullLayout.xaxis._length / 2)")
    tab.page.mouse.move(area["x"] + area["width"] / 2, area["y"] + 20)
    hairs = tab.page.locator(".scalars .hair:visible")
    expect(hairs).to_have_count(3)
    right = float((fashion.true[round(x) - 1] == fashion.predicted[round(x) - 1]).mean())
    expect(tab.chart("accuracy").locator(".hair-says b").first).to_have_text(f"{right:.3f}")
    tab.page.mouse.move(5, 5)
    expect(hairs).to_have_count(0)


def test_any_series_has_a_chart_and_the_machine_a_clock(odd: Service, tabs: Tabs) -> None:
    tab = tabs(odd).open("/runs/oddones00001?x=time")
    part = tab.page.locator(".scalar-part")
    tab.chart("Loss")
    part.locator("summary", has_text="Charts").click()
    part.get_by_label("Find a series").fill("seconds")
    part.get_by_role("checkbox", name="system/seconds").check()
    x, y = tab.drawn("system/seconds", LINE.format("train"))
    assert (x, y) == ([2, 10], [120, 600])
    assert query_of(tab)["key"] == ["loss", "accuracy", "system/seconds"]


def test_a_series_with_a_comma_in_its_name_has_a_chart(quiet_service: Callable[..., Service], tabs: Tabs) -> None:
    service = quiet_service()
    training = Training(service, "commas000001", class_names=())
    told = [
        wire.SeriesColumns.of(key, "train", "batch", [1, 2], [at, at]) for at, key in enumerate(("loss", "a, b", "a"))
    ]
    training.send(series=told, end=wire.End("finished"))
    tab = tabs(service).open("/runs/commas000001")
    tab.chart("Loss")
    tab.page.locator(".scalar-part summary", has_text="Charts").click()
    tab.page.get_by_role("checkbox", name="a, b").check()
    assert tab.drawn("a, b", LINE.format("train"))[1] == [1, 1]
    tab.page.reload()
    assert tab.drawn("a, b", LINE.format("train"))[1] == [1, 1]


def test_the_weights_that_class_weights_chose_are_drawn_on_the_page_of_their_run(
    quiet_service: Callable[..., Service], tabs: Tabs, tmp_path: Path
) -> None:
    keras = pytest.importorskip("keras")
    from epochscope.keras import ClassWeights, Monitor

    service, names = quiet_service(), ("cat", "dog/wolf", "eel")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    x, y = np.eye(2, dtype="float32")[[0, 1, 1, 0]], np.array([0, 1, 2, 0])
    monitor = Monitor(class_names=names, url=service.url, spool_dir=tmp_path / "spool")
    weights = ClassWeights(lambda epoch, recall: [2.0**epoch] * len(names))
    model.fit(x, y, epochs=3, validation_data=(x, y), verbose=0, callbacks=[monitor, weights])
    tab = tabs(service).open(f"/runs/{monitor.run_id}")
    tab.chart("Loss")
    part = tab.page.locator(".scalar-part")
    part.locator("summary", has_text="Charts").click()
    part.get_by_label("Find a series").fill("class_weight")
    expect(part.get_by_role("checkbox", name="class_weight/")).to_have_count(len(names))
    part.get_by_role("checkbox", name="class_weight/dog/wolf").check()
    assert tab.drawn("class_weight/dog/wolf", LINE.format("train"))[1] == [1, 2, 4]


def test_an_axis_that_was_not_recorded_is_said_in_words(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001?x=time")
    figure = tab.page.locator("figure.chart", has=tab.page.locator("h2", has_text="Loss"))
    figure.scroll_into_view_if_needed()
    expect(figure.locator(".veil.empty")).to_contain_text("cannot be shown by time")


def hair_at(tab: Tab, title: str) -> float:
    """Where the hairline stands on the x axis of a chart."""
    chart = tab.chart(title)
    expect(chart.locator(".hair")).to_be_visible()
    left = chart.locator(".hair").evaluate("one => parseFloat(one.style.left)")
    return float(tab.drawn(title, f"gd._fullLayout.xaxis.p2d({left} - gd._fullLayout.xaxis._offset)"))


def point_at(tab: Tab, title: str, x: float) -> None:
    """Move the pointer over a place of a chart's x axis."""
    area = tab.chart(title).locator(".nsewdrag").first.bounding_box()
    assert area is not None
    at = tab.drawn(title, f"gd._fullLayout.xaxis.d2p({x})")
    tab.page.mouse.move(area["x"] + at - 2, area["y"] + 30)
    tab.page.mouse.move(area["x"] + at, area["y"] + 30)


def test_the_hairline_goes_through_the_curves_of_classes_and_the_scalars_alike(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown, height=2400).open("/runs/fashion00001?focus=6,2&cell=6,0")
    for title in ("Loss", "accuracy", "shirt taken for"):
        tab.chart(title)
    point_at(tab, "F1 per class", 200)
    for title in ("F1 per class", "Loss", "accuracy", "shirt taken for"):
        assert hair_at(tab, title) == pytest.approx(200, abs=1.5)
    expect(tab.chart("F1 per class").locator(".hair-says")).to_be_hidden()  # its own hover tells more
    point_at(tab, "Loss", 150)
    assert hair_at(tab, "F1 per class") == pytest.approx(150, abs=1.5)
    told = shown.get("/runs/fashion00001/classes", split="train")
    window = min(range(len(told["from"])), key=lambda at: abs((told["from"][at] + told["to"][at] - 1) / 2 - 150))
    said = tab.chart("F1 per class").locator(".hair-says b")
    expect(said).to_have_text([f"{told['f1']['value'][index][window]:.3f}" for index in (6, 2)])
    tab.page.mouse.move(2, 2)
    expect(tab.page.locator(".hair:visible")).to_have_count(0)


@pytest.mark.parametrize(
    ("query", "point", "over", "expected"),
    [
        ("x=samples", 250, "Loss", 32 * 250),
        ("x=epoch", 250, "Loss", 2.5),
        ("by=epoch&x=samples", 3, "Loss", 32 * 300),
        ("split=val&by=epoch&x=step", 2, "Loss", 2),
    ],
)
def test_the_hairline_finds_its_place_on_other_axes(
    shown: Service, tabs: Tabs, query: str, point: float, over: str, expected: float
) -> None:
    tab = tabs(shown, height=2400).open(f"/runs/fashion00001?{query}")
    tab.chart(over)
    by_steps = tab.drawn(over, "gd.layout.meta.x") == "step"
    point_at(tab, "F1 per class", point)
    wanted = 100 * expected if by_steps else expected
    assert hair_at(tab, over) == pytest.approx(wanted, rel=0.02)
    point_at(tab, over, wanted)
    assert hair_at(tab, "F1 per class") == pytest.approx(point, rel=0.02)


def test_steps_of_validation_have_no_place_in_training(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown, height=2400).open("/runs/fashion00001?split=val&cell=6,0")
    for title in ("Loss", "shirt taken for"):
        tab.chart(title)
    point_at(tab, "F1 per class", 10)
    assert hair_at(tab, "shirt taken for") == pytest.approx(10, abs=0.2)
    expect(tab.chart("Loss").locator(".hair")).to_be_hidden()


def test_runs_that_are_compared_have_one_hairline(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown, height=2400).open("/compare?runs=fashion00001,fashion00002&x=samples&focus=6")
    tab.chart("Loss")
    point_at(tab, "F1 of", 6400)
    assert hair_at(tab, "Loss") == pytest.approx(6400, rel=0.01)
    point_at(tab, "Loss", 3200)
    assert hair_at(tab, "F1 of") == pytest.approx(3200, rel=0.01)
    expect(tab.chart("F1 of").locator(".hair-says b")).to_have_count(2)
