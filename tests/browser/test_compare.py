"""The page that compares, in a real Chromium: results against a baseline, params, many runs, two windows of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from epochscope import wire
from playwright.sync_api import expect
from sklearn.metrics import f1_score
from stage import Training, start_service

if TYPE_CHECKING:
    from browser.conftest import Story, Tab
    from stage import Service

    Tabs = Callable[..., Tab]

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="alert(1)">'
IDS = [f"sweep{number:07d}" for number in range(12)]
PICKED = ",".join(IDS)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with twelve runs: two optimizers, three learning rates, two seeds of each."""
    service = start_service(tmp_path_factory.mktemp("sweep"))
    rng = np.random.default_rng(3)
    for number, run in enumerate(IDS):
        params = {"optimizer": ["adam", HOSTILE][number % 2], "rate": 10.0 ** -(1 + number // 2 % 3), "seed": number}
        training = Training(service, run, info={"name": f"try {number}", "params": params})
        loss = np.linspace(1, 0.1 * (number + 1), 10)
        labels = rng.integers(0, 3, 200)
        guesses = np.where(rng.random(200) < 0.5 + number / 30, labels, rng.integers(0, 3, 200))
        training.send(
            series=[
                wire.SeriesColumns.of("loss", "train", "batch", range(1, 11), loss),
                wire.SeriesColumns.of("macro_f1", "val", "epoch", [1], [0.5 + number / 100]),
            ],
            confusion=[counted_once(labels, guesses)],
            spans=[wire.Span("train", 1, 1, 11)],
            end=wire.End("finished"),
        )
    yield service
    service.stop()


def counted_once(labels: np.ndarray, guesses: np.ndarray) -> wire.ConfusionColumns:
    from stage import counted

    return counted([(labels, guesses)])


def test_many_runs_are_lines_over_their_params_and_results(sweep: Service, tabs: Tabs) -> None:
    tab = tabs(sweep).open(f"/compare?runs={PICKED}")
    ticks = tab.drawn("Params and results", "gd._fullLayout.xaxis.ticktext")
    assert ticks == ["optimizer", "rate", "seed", "val_macro_f1", "loss"]
    lines = tab.drawn("Params and results", "gd._fullData.filter(t => t.mode === 'lines+markers').map(t => [...t.y])")
    assert len(lines) == 12
    assert sorted(line[3] for line in lines) == pytest.approx(np.arange(12) / 11)
    assert lines[-1][3] == 1  # the best is on top
    rows = tab.page.locator(".results tbody tr")
    expect(rows).to_have_count(12)
    expect(rows.first.locator("td, th")).to_have_text(["try 11", HOSTILE, "0.001", "11", "0.610", "1.200"])
    expect(tab.page.locator(".legend li")).to_have_count(8)
    expect(tab.page.locator(".compare-page > .note")).to_contain_text("first 8 of 12 runs")


def test_a_box_over_an_axis_leaves_the_runs_that_pass_it(sweep: Service, tabs: Tabs) -> None:
    tab = tabs(sweep).open(f"/compare?runs={PICKED}")
    chart = tab.chart("Params and results")
    x, top, bottom = tab.drawn(
        "Params and results",
        "(() => { const l = gd._fullLayout, b = gd.getBoundingClientRect(); return [b.x + l.xaxis._offset + "
        "l.xaxis.d2p(3), b.y + l.yaxis._offset + l.yaxis.d2p(1.03), b.y + l.yaxis._offset + l.yaxis.d2p(0.7)] })()",
    )
    tab.page.mouse.move(x - 20, top)
    tab.page.mouse.down()
    for part in (0.3, 0.6, 1):
        tab.page.mouse.move(x - 20 + 40 * part, top + (bottom - top) * part)
    tab.page.mouse.up()
    tab.until("location.search.includes('brush')", why="the range does not arrive in the address")
    (said,) = parse_qs(urlsplit(tab.page.url).query)["brush"]
    name, low, high = said.rsplit(":", 2)
    assert (name, float(high)) == ("summary.val_macro_f1", 0.61)
    assert float(low) == pytest.approx(0.5 + 0.7 * 0.11, abs=2e-3)
    expect(chart.locator(".note")).to_contain_text("4 of 12 runs are in the ranges")
    expect(tab.page.locator(".results tr.left")).to_have_count(8)
    tab.page.locator(".ranges .chips button").click()
    expect(tab.page.locator(".results tr.left")).to_have_count(0)


def test_a_range_is_added_from_the_keyboard_and_a_word_is_one(sweep: Service, tabs: Tabs) -> None:
    tab = tabs(sweep).open(f"/compare?runs={PICKED}")
    tab.chart("Params and results")
    summary = tab.page.locator(".ranges summary")
    summary.focus()
    tab.page.keyboard.press("Enter")
    tab.page.get_by_label("Axis of the range").select_option("params.optimizer")
    tab.page.get_by_label("Range is").select_option(label="adam")
    tab.page.get_by_label("Range is").focus()
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator(".ranges .chips")).to_contain_text("optimizer")
    expect(tab.page.locator(".ranges .chips b")).to_have_text("adam")
    expect(tab.page.locator(".results tr.left")).to_have_count(6)


def test_the_others_stand_as_their_difference_to_a_baseline(sweep: Service, tabs: Tabs) -> None:
    tab = tabs(sweep).open(f"/compare?runs={','.join(IDS[:3])}")
    tab.page.locator(".legend li").nth(1).get_by_role("button", name="as baseline").click()
    tab.until("location.search.includes('baseline=sweep0000001')", why="the baseline is not in the address")
    first = tab.page.locator(".results tbody tr", has_text="try 2")
    expect(first.locator(".apart")).to_have_text(["◆ +0.010 better", "▲ +0.100 worse"])
    expect(tab.page.locator(".results tbody tr", has_text="try 1").locator(".apart")).to_have_count(0)
    lines = tab.drawn("Loss", "gd._fullData.filter(t => t.hovertemplate).map(t => [t.name, [...t.y]])")
    for number, (name, y) in enumerate(lines):
        assert name == f"try {number} · train"
        assert y == pytest.approx(np.linspace(0, 0.1 * (number - 1), 10), abs=1e-6)
    names = tab.drawn("F1: classes that differ", "gd.layout.meta.names")
    assert names == ["try 1", "try 0"]


def test_bars_tell_how_each_class_differs(shown: Service, tabs: Tabs, fashion: Story, other: Story) -> None:
    tab = tabs(shown).open("/compare?runs=fashion00001,fashion00002&split=val")
    bars = tab.drawn(
        "F1: classes that differ", "gd._fullData.filter(t => t.type === 'bar').map(t => [[...t.text], [...t.x]])[0]"
    )
    scores = [
        f1_score(one.val_true.ravel(), one.val_predicted.ravel(), average=None, labels=range(10))
        for one in (fashion, other)
    ]
    want = dict(zip(fashion.class_names, 100 * (scores[1] - scores[0]), strict=True))
    assert dict(zip(*bars, strict=True)) == pytest.approx(want, abs=1e-4)
    assert bars[1] == sorted(bars[1], reverse=True)


def test_two_windows_of_one_run_are_compared(shown: Service, tabs: Tabs, fashion: Story) -> None:
    tab = tabs(shown).open("/compare?runs=fashion00001&split=train&normalise=none")
    tab.page.get_by_role("combobox", name="against window").select_option("3")
    tab.page.get_by_role("combobox", name="Window", exact=True).select_option("2")
    tab.until("location.search.includes('epoch=2')", why="the window is not in the address")
    assert parse_qs(urlsplit(tab.page.url).query)["second"] == ["epoch 3"]
    expect(tab.page.locator(".matrix .key")).to_contain_text("second window better")
    tab.page.wait_for_timeout(500)
    windows = [
        np.histogram2d(fashion.true[part].ravel(), fashion.predicted[part].ravel(), bins=[range(11)] * 2)[0]
        for part in (slice(100, 200), slice(200, 300))
    ]
    np.testing.assert_allclose(tab.matrix("Difference"), windows[1] - windows[0])
    assert tab.drawn("F1: classes that differ", "gd.layout.meta.names") == ["epoch 2", "epoch 3"]


def test_params_that_differ_stand_beside_each_other_as_text(sweep: Service, tabs: Tabs) -> None:
    tab = tabs(sweep).open(f"/compare?runs={','.join(IDS[:2])}")
    rows = tab.page.locator(".params tbody tr")
    expect(rows).to_have_count(2)  # the rate is the same
    expect(rows.first.locator("th, td")).to_have_text(["optimizer", "adam", HOSTILE])
    tab.page.get_by_label("All params").check()
    expect(rows).to_have_count(3)


def test_runs_with_the_same_params_but_for_their_seed_are_a_group(sweep: Service, tabs: Tabs) -> None:
    tab = tabs(sweep).open(f"/compare?runs={','.join([IDS[0], IDS[6], IDS[2], IDS[8]])}&split=train")
    names = tab.drawn("F1: mean and spread", "[...new Set(gd._fullData.map(t => t.name))]")
    assert names == ["rate 0.1", "rate 0.01"]


def test_results_are_taken_away_as_a_table_of_all_runs(sweep: Service, tabs: Tabs) -> None:
    tab = tabs(sweep).open(f"/compare?runs={PICKED}&brush=params.rate:0.05:1")
    chart = tab.chart("Params and results")
    chart.locator(".save summary").click()
    with tab.page.expect_download() as found:
        chart.get_by_role("link", name="Table (CSV)").click()
    lines = found.value.path().read_text().splitlines()
    assert lines[0].startswith("run,name,passes,params.optimizer,params.rate,params.seed,summary.")
    assert [line.split(",")[2] for line in lines[1:]].count("True") == 4


def test_class_curves_of_several_runs_stand_on_the_axis_that_the_scalars_have(
    shown: Service, tabs: Tabs, fashion: Story
) -> None:
    tab = tabs(shown).open("/compare?runs=fashion00001,fashion00002&focus=6")
    tab.chart("F1 of")
    tab.page.get_by_role("combobox", name="x axis").select_option("samples")
    tab.until("location.search.includes('x=samples')", why="the axis is not in the address")
    expect(tab.chart("F1 of").locator(".xtitle")).to_have_text("samples seen")
    for title in ("F1 of", "Loss"):
        assert tab.drawn(title, "gd._fullLayout.xaxis.title.text") == "samples seen"
    x = tab.drawn("F1 of", "gd._fullData.filter(t => t.hovertemplate).map(t => [...t.x])[0]")
    windows = shown.get("/runs/fashion00001/classes", split="train")
    middles = [(start + stop - 1) / 2 for start, stop in zip(windows["from"], windows["to"], strict=True)]
    assert x == pytest.approx([fashion.size * middle for middle in middles])


def test_validation_on_an_axis_of_training_stands_at_the_ends_of_epochs(
    shown: Service, tabs: Tabs, fashion: Story
) -> None:
    tab = tabs(shown).open("/compare?runs=fashion00001,fashion00002&split=val&x=step&focus=6")
    lines = tab.drawn("F1 of", "gd._fullData.filter(t => t.hovertemplate).map(t => [[...t.x], [...t.y]])")
    for (x, y), run in zip(lines, ("fashion00001", "fashion00002"), strict=True):
        assert x == [100, 200, 300, 400]
        told = shown.get(f"/runs/{run}/classes", split="val", by="epoch")["f1"]["value"][6]
        assert y == pytest.approx(told, abs=1e-6)
    expect(tab.chart("F1 of").locator(".note").first).to_contain_text("val, epoch by epoch")


def test_seeds_of_a_group_are_shown_as_their_mean_and_spread(sweep: Service, tabs: Tabs) -> None:
    picked = [IDS[0], IDS[6], IDS[2], IDS[8], IDS[5]]
    tab = tabs(sweep).open(f"/compare?runs={','.join(picked)}")
    tab.chart("Loss")
    tab.page.get_by_role("radio", name="mean and spread").check()
    tab.until("location.search.includes('seeds=together')", why="the choice is not in the address")
    legend = tab.page.locator(".legend li")
    expect(legend).to_have_count(3)
    expect(legend.nth(0)).to_contain_text("rate 0.1")
    expect(legend.nth(0)).to_contain_text("2 runs: try 0, try 6")
    expect(legend.nth(2)).to_contain_text("try 5")
    expect(tab.chart("Loss").locator(".note").first).to_contain_text("one standard deviation")
    lines = tab.drawn("Loss", "gd._fullData.filter(t => t.hovertemplate).map(t => [t.name, [...t.y]])")
    assert [name for name, _ in lines] == ["rate 0.1 · train", "rate 0.01 · train", "try 5 · train"]
    for (_, y), numbers in zip(lines, ([0, 6], [2, 8], [5]), strict=True):
        assert y == pytest.approx(np.mean([np.linspace(1, 0.1 * (one + 1), 10) for one in numbers], axis=0), abs=1e-6)
    told = [sweep.get(f"/runs/{IDS[one]}/classes", split="train")["f1"]["value"] for one in (0, 6)]
    focus = tab.drawn("F1 of", "gd.layout.meta.focus")
    assert [one["run"] for one in focus] == ["rate 0.1", "rate 0.01", "try 5"]
    mean = np.mean([values[focus[0]["index"]][-1] for values in told])
    assert focus[0]["value"] == pytest.approx(mean, abs=1e-6)
    swatches = tab.page.locator(".results tbody tr", has_text="try 6").locator("i.line")
    expect(swatches).to_have_class("line run-0")
    tab.page.reload()
    expect(legend).to_have_count(3)
