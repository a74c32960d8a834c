"""The raster of drops and the small charts: ink where a class fell, bars as long as the drop, names are text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from drawn_counts import draw
from epochscope_server.analysis.changes import Event, Share
from epochscope_server.analysis.drawdown import drawdown
from epochscope_server.analysis.stability import Stability, stability
from epochscope_server.figures.multiples import multiples_figure
from epochscope_server.figures.stability import stability_figure
from scipy.stats import binomtest

HOSTILE = ("<b>bold</b>", '<a href="https://example.org">x</a>', "R&D &lt;", "plain", "x" * 60, "six", "seven", "eight")
Checked = Callable[[dict[str, Any]], dict[str, Any]]
Decoded = Callable[[Any], Any]


def analysed(classes: int = 8, names: tuple[str, ...] | None = None, epochs: bool = False) -> tuple[Stability, Any]:
    """Class 2 falls from 0.95 to 0.5 in windows 200 to 240, class 5 to 0.8 for good; steps are five a window."""
    rates = np.full((classes, 400), 0.9)
    rates[2] = 0.95
    rates[2, 200:240] = 0.5
    if classes > 5:
        rates[5, 300:] = 0.7
    curves = draw(rates, 30).curves(width=5)
    if names:
        curves = replace(curves, class_names=names)
    if epochs:
        curves = replace(curves, epoch=np.arange(1, 401))
    found = stability(curves)
    return found, drawdown(found.curves, found.drops.told_apart)


def trace(figure: dict[str, Any], name: str) -> dict[str, Any]:
    (one,) = (one for one in figure["data"] if one.get("name") == name)
    return dict(one)


def test_the_class_that_fell_furthest_is_on_top_and_its_ink_is_where_it_fell(
    validated: Checked, decoded: Decoded
) -> None:
    figure = validated(stability_figure(*analysed()))
    meta = figure["layout"]["meta"]
    assert meta["rows"][:2] == [2, 5]
    assert figure["layout"]["yaxis"]["ticktext"][:2] == ["class 2", "class 5"]
    assert figure["layout"]["yaxis"]["range"] == [7.5, -0.5]  # the first row on top
    ink = decoded(trace(figure, "below its best")["z"])
    start, stop = np.array(meta["from"]), np.array(meta["to"])
    during = (start >= 1001) & (stop <= 1201)
    assert (ink[0][during] > 30).all()
    assert not ink[0][(stop <= 990) | (start >= 1210)].any()
    assert (ink[2:] > 0).mean() < 0.002


def test_the_columns_are_the_blocks_from_their_first_step_to_their_last(validated: Checked, decoded: Decoded) -> None:
    figure = validated(stability_figure(*analysed()))
    meta = figure["layout"]["meta"]
    edges = decoded(trace(figure, "below its best")["x"])
    assert edges.tolist() == [*meta["from"], meta["to"][-1]]
    assert (edges[0], edges[-1]) == (1, 2001)
    assert figure["layout"]["xaxis"]["range"] == [1, 2001]


def test_a_cell_tells_its_recall_with_scipys_interval_and_its_steps(validated: Checked, decoded: Decoded) -> None:
    found, down = analysed()
    figure = validated(stability_figure(found, down))
    told = decoded(trace(figure, "below its best")["customdata"])
    blocks = down.blocks
    hits, seen = int(blocks.tp[2, 7]), int(blocks.support[2, 7])
    interval = binomtest(hits, seen).proportion_ci(method="wilson")
    assert told[0, 7][:6] == pytest.approx(
        [hits / seen, interval.low, interval.high, seen, blocks.start[7], blocks.stop[7] - 1], abs=1e-5
    )


def test_the_solid_bar_is_the_certified_drop_and_the_hollow_one_the_likely(
    validated: Checked, decoded: Decoded
) -> None:
    found, down = analysed()
    figure = validated(stability_figure(found, down))
    rows = figure["layout"]["meta"]["rows"]
    for name, expected in (
        ("certified", found.drops.drop[rows]),
        ("seen, may be sampling noise", found.drops.likely[rows]),
    ):
        length = decoded(trace(figure, name)["x"])
        there = 100 * expected >= 0.05  # of a point: less would be an outline around nothing
        assert length[there] == pytest.approx(100 * expected[there], abs=1e-4)
        assert np.isnan(length).tolist() == (~there).tolist()
    assert trace(figure, "points")["text"] == [f" {100 * found.drops.drop[index]:.0f}" for index in (2, 5)]


@pytest.mark.parametrize("compact", [False, True])
def test_the_figure_itself_says_which_part_of_a_bar_is_certain(compact: bool, validated: Checked) -> None:
    figure = validated(stability_figure(*analysed(), compact=compact))
    assert figure["layout"]["showlegend"]
    bars = [one for one in figure["data"] if one["type"] == "bar"]
    assert [one["name"] for one in bars] == ["seen, may be sampling noise", "certified"]
    assert not any(one.get("showlegend") is False for one in bars)
    assert all(one.get("showlegend") is False for one in figure["data"] if one["type"] == "scatter")
    seen, sure = (one["marker"] for one in bars)
    assert seen["line"]["width"] > sure["line"]["width"] == 0, "told apart by form, not by colour alone"


def test_where_nothing_is_certain_the_summary_says_what_the_hollow_bars_are(validated: Checked) -> None:
    rates = np.full((3, 400), 0.9)
    rates[1, 200:206] = 0.4
    found = stability(draw(rates, 3).curves())
    assert not found.drops.drop.any()
    assert found.drops.likely.max() > 0.05
    said = validated(stability_figure(found, drawdown(found.curves, found.drops.told_apart)))["layout"]["meta"]
    points = f"{100 * found.drops.likely.max():.0f} points seen of class {found.order[0]}"
    assert said["summary"] == f"No class surely fell below its own best, train; the {points} may be sampling noise."


def test_the_quieter_classes_are_folded_and_come_when_asked_for(validated: Checked) -> None:
    found, down = analysed(classes=40)
    few, all_of_them = (validated(stability_figure(found, down, rows=rows)) for rows in (25, 40))
    assert (len(few["layout"]["meta"]["rows"]), few["layout"]["meta"]["folded"]) == (25, 15)
    assert (len(all_of_them["layout"]["meta"]["rows"]), all_of_them["layout"]["meta"]["folded"]) == (40, 0)


def test_changes_are_marked_listed_and_explained(validated: Checked, decoded: Decoded) -> None:
    found, down = analysed()
    told = [
        replace(change, taken_for=3, shifted=(Share(3, 0.1, 0.2),), near=(Event(1001, "epoch", "epoch 3 begins"),))
        if change.index == 2 and not change.rises
        else change
        for change in found.changes
    ]
    figure = validated(stability_figure(replace(found, changes=told), down))
    drop, recovery, other = figure["layout"]["meta"]["changes"]
    assert (drop["name"], drop["kind"], drop["taken_for"], drop["near"]) == (
        "class 2",
        "drop",
        "class 3",
        ["epoch 3 begins"],
    )
    assert (recovery["kind"], other["name"]) == ("recovery", "class 5")
    assert drop["mix"] == [{"name": "class 3", "before": 0.1, "after": 0.2}]
    assert drop["mix_explains"]
    assert drop["from"] <= 1001 < drop["to"]
    first, last = drop["window"]
    assert 990 < first < last <= 1201
    assert drop["after"]["low"] < 0.5 < drop["after"]["high"]
    marks = trace(figure, "changes")
    assert marks["marker"]["symbol"] == ["triangle-down", "triangle-up", "triangle-down"]
    assert decoded(marks["x"]).tolist() == [drop["at"], recovery["at"], other["at"]]
    assert marks["text"][0].startswith("<b>class 2</b> fell from 0.95 to 0.")
    assert marks["text"][0].endswith("taken for class 3")


def test_where_a_class_was_not_seen_there_is_a_gap_and_no_health(validated: Checked, decoded: Decoded) -> None:
    counts = draw(np.full((3, 200), 0.9), 40)
    for part in (counts.tp, counts.fp, counts.support):
        part[1, 50:100] = 0
    found = stability(counts.curves())
    figure = validated(stability_figure(found, drawdown(found.curves, found.drops.told_apart)))
    row = figure["layout"]["meta"]["rows"].index(1)
    assert np.isnan(decoded(trace(figure, "below its best")["z"])[row]).any()


def test_a_class_in_alarm_says_so_beside_its_name(validated: Checked) -> None:
    figure = validated(stability_figure(*analysed(), in_alarm=frozenset({5})))
    (name,) = (name for name in figure["layout"]["yaxis"]["ticktext"] if "▾" in name)
    assert name.endswith("▾ class 5</span>")


def test_narrow_places_go_without_what_each_class_is_now(validated: Checked) -> None:
    wide, narrow = (validated(stability_figure(*analysed(), compact=compact)) for compact in (False, True))
    assert "xaxis3" in wide["layout"]
    assert "xaxis3" not in narrow["layout"]
    assert not [one for one in narrow["data"] if one.get("name") == "now"]


def test_the_summary_answers_whether_training_is_stable(validated: Checked) -> None:
    found, down = analysed()
    said = validated(stability_figure(found, down))["layout"]["meta"]["summary"]
    assert said.startswith("class 2 surely fell by ")
    assert said.endswith("; 1 more of 8 classes fell; 1 of them still below.")
    calm = stability(draw(np.full((3, 200), 0.9), 30).curves())
    quiet = validated(stability_figure(calm, drawdown(calm.curves, calm.drops.told_apart)))
    assert quiet["layout"]["meta"]["summary"].startswith("No class surely fell below its own best, train")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("figure", [stability_figure, multiples_figure])
def test_names_stay_text_and_stand_in_no_template(theme: Any, figure: Any, validated: Checked) -> None:
    checked = validated(figure(*analysed(names=HOSTILE), theme=theme))
    drawn = [word for one in checked["data"] for word in _words(one)]
    drawn += [*checked["layout"].get("yaxis", {}).get("ticktext", []), *_titles(checked)]
    assert any("&lt;b&gt;bold" in word or "R&amp;D" in word for word in drawn)
    assert not any("<a" in word or "<b>bold" in word for word in drawn)
    templates = {one["hovertemplate"] for one in checked["data"] if "hovertemplate" in one}
    assert not any("bold" in template or "plain" in template for template in templates)


def _words(one: dict[str, Any]) -> list[str]:
    texts = one.get("text", [])
    flat = [word for row in texts for word in (row if isinstance(row, list) else [row])]
    return [*flat, one.get("name", "")]


def _titles(figure: dict[str, Any]) -> list[str]:
    return [note["text"] for note in figure["layout"].get("annotations", [])]


def test_validation_stands_at_its_passes(validated: Checked, decoded: Decoded) -> None:
    figure = validated(stability_figure(*analysed(epochs=True)))
    assert figure["layout"]["xaxis"]["title"]["text"] == "pass (train)"
    edges = decoded(trace(figure, "below its best")["x"])
    assert edges[0] == 0.5
    assert figure["layout"]["meta"]["x"] == "epoch"


def test_nothing_counted_is_an_empty_figure_with_a_sentence(validated: Checked) -> None:
    nothing = draw(np.full((3, 0), 0.9), 1).curves()
    found = stability(nothing)
    down = drawdown(nothing, found.drops.told_apart)
    for figure in (stability_figure(found, down), multiples_figure(found, down)):
        assert validated(figure)["layout"]["meta"]["empty"] is True


def test_small_charts_show_a_curve_with_its_band_for_the_twelve_that_fell_furthest(
    validated: Checked, decoded: Decoded
) -> None:
    found, down = analysed(classes=30)
    figure = validated(multiples_figure(found, down, metric="recall"))
    meta = figure["layout"]["meta"]
    assert (meta["charts"], meta["folded"], len(meta["rows"])) == ([4, 3], 18, 12)
    lines = [one for one in figure["data"] if one.get("name", "").startswith("class ")]
    assert [one["name"] for one in lines] == [f"class {index}" for index in meta["rows"]]
    assert decoded(lines[0]["y"]) == pytest.approx(down.blocks.recall.value[2], abs=1e-6)
    assert len([one for one in figure["data"] if one.get("fill") == "toself"]) == 12
    assert {one["xaxis"] for one in lines} == {"x", *(f"x{number}" for number in range(2, 13))}
    titles = _titles(figure)
    assert titles[0].startswith("<b>class 2</b>")
    assert "▼" in titles[0]
    assert not any("▼" in title for title in titles[2:])


def test_small_charts_share_their_axes_and_do_not_stand_on_each_other(validated: Checked) -> None:
    layout = validated(multiples_figure(*analysed(), columns_wide=3))["layout"]
    boxes = [(layout[f"xaxis{n}"]["domain"], layout[f"yaxis{n}"]["domain"]) for n in ("", *range(2, 9))]
    assert all(layout[f"yaxis{n}"]["matches"] == "y" for n in range(2, 9))
    for first, (x, y) in enumerate(boxes):
        assert 0 <= x[0] < x[1] <= 1
        assert -1e-9 <= y[0] < y[1] <= 1
        for other_x, other_y in boxes[first + 1 :]:
            assert x[1] <= other_x[0] or other_x[1] <= x[0] or y[0] >= other_y[1] or other_y[0] >= y[1]
