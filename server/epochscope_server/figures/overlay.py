"""The same classes in several runs over each other, on any axis of training; or groups of runs as mean and spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from epochscope_server.analysis.course import course
from epochscope_server.analysis.curves import ClassCurves
from epochscope_server.analysis.groups import Group
from epochscope_server.analysis.rates import Numbers
from epochscope_server.analysis.rulers import Ruler
from epochscope_server.figures import columns, curve, text
from epochscope_server.figures.classes import METRICS, NO_COUNTS, framed, known, worst
from epochscope_server.figures.frame import Figure, axis, empty_figure
from epochscope_server.figures.outline import outlined
from epochscope_server.figures.palette import INKS, Inks, Theme, faint
from epochscope_server.figures.series_axes import NAMES, SPREAD, across, cannot, mean_hover, nodes, shorter


@dataclass(frozen=True)
class _Line:
    """One class of one run or group: what is drawn of it, and what stands at its end."""

    traces: tuple[dict[str, Any], ...]  # the band first, if there is one
    end: tuple[float, float, float]
    values: Numbers


def classes_overlay_figure(
    runs: Sequence[tuple[str, ClassCurves]],
    *,
    metric: str = "f1",
    focus: Sequence[int] | None = None,
    rulers: Mapping[str, Ruler] | None = None,
    groups: Sequence[str] | None = None,
    theme: Theme = "light",
) -> Figure:
    """The same classes in several runs: one colour a run, one dash a class.

    Args:
        runs: each with its name and curves, windows of steps of training or epochs of any split.
        focus: indices into the first run's classes; others are found in the other runs by name. Where it is None, the
            class that is worst in the first run.
        rulers: for each run's name, the axis: all of one unit. Without any, windows stand at their steps, epochs at
            their numbers. What a run's ruler does not know is left out, and ``layout.meta.notes`` says so.
        groups: for each run the name of its group: those of one are drawn as their mean, with a band of one standard
            deviation over the runs.
    """
    inks = INKS[theme]
    whose = list(range(len(runs))) if groups is None else [list(dict.fromkeys(groups)).index(one) for one in groups]
    drawn = [(place, run) for place, run in enumerate(runs) if np.isfinite(run[1].rate(metric).value).any()]
    if not drawn:
        return empty_figure(NO_COUNTS, theme)
    first = drawn[0][1][1]
    unit = next(iter(rulers.values())).unit if rulers else "step" if first.epoch is None else "epoch"
    placed = [(place, name, curves, _places(curves, (rulers or {}).get(name))) for place, (name, curves) in drawn]
    missing = [name for _, name, _, x in placed if not np.isfinite(x).any()]
    notes = cannot(missing, unit, alone=len(runs) == 1)
    placed = [one for one in placed if np.isfinite(one[3]).any()]
    if not placed:
        return empty_figure(notes[0], theme)
    epochs = None if first.epoch is None else max(len(x) for *_, x in placed)
    x_axis, scaled, told = across([x for *_, x in placed], unit, epochs)
    chosen = (None if focus is None else known(focus, len(first.class_names))) or worst(first.rate(metric), 1)
    lines: list[_Line] = []
    labels: list[tuple[float, str, str]] = []
    in_focus: list[dict[str, Any]] = []
    for who in dict.fromkeys(whose[place] for place, *_ in placed):
        own = [(name, curves, x / scaled) for place, name, curves, x in placed if whose[place] == who]
        called = own[0][0] if groups is None else groups[whose.index(who)]
        for dash, index in enumerate(chosen):
            of = first.class_names[index]
            there = [one for one in own if of in one[1].class_names]
            if not there:
                continue
            colour = inks.run(who)
            style = {"color": colour, "width": 2, "dash": inks.dash(dash)}
            named = f"{called} · {of}"
            if groups is None:
                line = _of_run(*there[0][1:], of, metric, named, style, unit)
            else:
                line, ended = _of_group(there, of, metric, named, style, unit, index, inks)
                if dash == 0:
                    notes += shorter(called, ended)
            lines.append(line)
            labels.append((line.end[0], called if len(chosen) == 1 else of, colour))  # its colour says whose
            entry = {"index": index, "name": of, "run": called, "colour": colour, "dash": inks.dash(dash)}
            in_focus.append(entry | curve.interval(*line.end))
    many = len({one["run"] for one in in_focus})
    title = ", ".join(dict.fromkeys(entry["name"] for entry in in_focus))
    who_said = f"in {many} runs" if groups is None else f"of {len(placed)} runs in {many} groups"
    summary = f"{METRICS[metric]} of {title} {who_said}, {first.split}."
    if groups is not None:
        notes.insert(0, SPREAD if len(chosen) == 1 else "Mean over runs; a class alone has its spread, too.")
    bands = [band for line in lines for band in line.traces[:-1]] if len(chosen) == 1 else []
    least = min(curve.bottom(line.values) for line in lines)
    figure = framed(
        [*bands, *(line.traces[-1] for line in lines)], first, metric, least, labels, in_focus,
        " ".join([summary, *notes]), inks,
    )  # fmt: skip
    figure["layout"]["meta"] |= {"notes": notes, "x": unit, "places": nodes(rulers, placed[0][1], scaled)}
    if rulers:
        figure["layout"]["meta"]["own"] = False
        figure["layout"]["xaxis"] = axis(inks, told, showgrid=False, tickangle=0, **x_axis)
        figure["layout"]["uirevision"] = f"classes {first.split} over {unit}"
    return figure


def _places(curves: ClassCurves, ruler: Ruler | None) -> Numbers:
    if ruler is None:
        return curve.places(curves)
    return ruler.at(curve.places(curves)) if curves.epoch is None else ruler.after(curves.epoch)


def _of_run(
    curves: ClassCurves, x: Numbers, of: str, metric: str, named: str, style: dict[str, Any], unit: str
) -> _Line:
    rate, here = curves.rate(metric), curves.class_names.index(of)
    line = curve.line(curves, rate, here, x, named, style, style["color"])
    if unit != "epoch":
        line["hovertemplate"] = curve.HOVER_STEP
    return _Line((curve.band(x, rate, here, style["color"]), line), curve.last(rate, here), rate.value[here])


def _of_group(
    own: Sequence[tuple[str, ClassCurves, Numbers]],
    of: str,
    metric: str,
    named: str,
    style: dict[str, Any],
    unit: str,
    index: int,
    inks: Inks,
) -> tuple[_Line, Group]:
    by_epoch = own[0][1].epoch is not None
    courses = [(x, curves.rate(metric).value[curves.class_names.index(of)]) for _, curves, x in own]
    x, one = course(courses, between=not by_epoch or unit != "epoch")
    mean, spread = one.mean.value, one.spread
    line: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers" if by_epoch or len(x) == 1 else "lines",
        "meta": {"class": index},
        "name": text.escaped(named),
        "x": columns.exact(x),
        "y": columns.numbers(mean),
        "line": style,
        "marker": {"size": 5, "color": style["color"]},
        "customdata": columns.numbers(np.column_stack([spread, one.runs])),
        "hovertemplate": mean_hover(NAMES[unit]),
    }
    band = outlined(x, np.maximum(mean - spread, 0), np.minimum(mean + spread, 1), faint(style["color"], 0.16))
    at = np.flatnonzero(np.isfinite(mean))
    ends = (mean, np.maximum(one.mean.low, 0), np.minimum(one.mean.high, 1))  # a share is none past 0 and 1
    last = tuple(float(part[at[-1]]) if len(at) else float("nan") for part in ends)
    return _Line((band, line), (last[0], last[1], last[2]), mean), one
