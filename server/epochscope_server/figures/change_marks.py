"""Changes as figures and the page show them: in the order in which they matter, each with a sentence and its place."""

from __future__ import annotations

from typing import Any

import numpy as np

from epochscope_server.analysis.changes import Change, Stretch
from epochscope_server.analysis.drawdown import Drawdown
from epochscope_server.analysis.rates import wilson
from epochscope_server.analysis.stability import Stability
from epochscope_server.figures import text

LISTED = 100  # changes of one figure
LOOK = 400  # samples of the class in the window that is shown of a change, about


def movement(found: Stability) -> dict[str, Any]:
    """What the verdicts on movement from block to block are: ``unstable`` classes, the one that moves most first, with
    how many ``points`` (a standard deviation) beyond chance, and the names of those too ``thin`` to tell.
    """
    names, of = found.curves.class_names, found.instability
    moves = [index for index, verdict in enumerate(of.verdict) if verdict == "unstable"]
    moves.sort(key=lambda index: -of.movement[index])
    seen = found.curves.support.sum(axis=1) > 0
    return {
        "unstable": [
            {"index": index, "name": names[index], "points": 100 * float(of.movement[index])} for index in moves
        ],
        "thin": [names[index] for index, verdict in enumerate(of.verdict) if verdict == "cannot tell" and seen[index]],
    }


def listed(found: Stability) -> list[dict[str, Any]]:
    """Drops and recoveries, the largest first, each drop with its recovery behind it; then learning, the latest first.

    Each has the class, the steps, the rates before and after with their intervals, what the class was taken for, and
    ``window``: the steps to look at to see it.
    """
    groups: list[tuple[float, list[Change]]] = []
    for change in found.changes:
        if change.kind == "learning":
            continue
        before = groups[-1][1][-1] if groups else None
        if change.kind == "recovery" and before is not None and before.index == change.index:
            groups[-1][1].append(change)
        else:
            groups.append((_size(change), [change]))
    ordered = [change for _, group in sorted(groups, key=lambda one: -one[0]) for change in group]
    learnt = sorted((one for one in found.changes if one.kind == "learning" and one.rises), key=lambda one: -one.stop)
    names = found.curves.class_names
    return [_told(change, names) for change in [*ordered, *learnt][:LISTED]]


def place(change: dict[str, Any], found: Stability, down: Drawdown) -> float:
    """Where a listed change stands on the axis of a figure over ``down``'s blocks: its step, or its pass."""
    if down.blocks.epoch is None:
        return float(change["at"])
    at = int(np.searchsorted(down.blocks.start, change["at"], side="right")) - 1
    return float(down.blocks.epoch[max(at, 0)]) - 0.5


def says(change: Change, names: tuple[str, ...]) -> str:
    """One sentence, its names as they are drawn."""
    name = text.escaped(names[change.index])
    verb = {"drop": "fell", "recovery": "came back", "learning": "was learnt" if change.rises else "was called less"}
    before, after = (_share(stretch) for stretch in (change.before, change.after))
    when = f"at step {change.at:,}" if change.stop - change.start <= 2 else (
        f"between steps {change.start:,} and {change.stop - 1:,}"
    )  # fmt: skip
    taken = ""
    if change.taken_for is not None and change.kind != "learning":
        other = text.escaped(names[change.taken_for])
        taken = f", no longer taken for {other}" if change.rises else f", taken for {other}"
    unseen = "; it did not occur in between" if change.unseen else ""
    return f"<b>{name}</b> {verb[change.kind]} from {before} to {after} {when}{taken}{unseen}"


def _told(change: Change, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "index": change.index,
        "name": names[change.index],
        "kind": change.kind,
        "direction": "rise" if change.rises else "drop",
        "from": change.start,
        "to": change.stop,
        "at": change.at,
        "window": _window(change),
        "before": _rate(change.before),
        "after": _rate(change.after),
        "taken_for": None if change.taken_for is None else names[change.taken_for],
        "unseen": change.unseen,
        "mix": [
            {"name": names[share.index], "before": round(share.before, 6), "after": round(share.after, 6)}
            for share in change.shifted
        ],
        "mix_explains": change.mix_explains,
        "near": [event.says for event in change.near],
        "says": says(change, names),
    }


def _window(change: Change) -> list[int]:
    """The steps after the change, as many as tell what the class has become."""
    after = change.after
    if after.seen <= LOOK:
        return [after.start, after.stop]
    return [after.start, after.start + max(-(-(after.stop - after.start) * LOOK // after.seen), 1)]


def _size(change: Change) -> float:
    shares = [stretch.hits / stretch.seen if stretch.seen else 0.0 for stretch in (change.before, change.after)]
    return abs(shares[1] - shares[0])


def _share(stretch: Stretch) -> str:
    return f"{stretch.hits / stretch.seen:.2f}" if stretch.seen else "unknown"


def _rate(stretch: Stretch) -> dict[str, float | int | None]:
    rate = wilson(np.asarray(stretch.hits), np.asarray(stretch.seen))
    ends = {name: float(getattr(rate, name)) for name in ("value", "low", "high")}
    return {name: round(end, 6) if np.isfinite(end) else None for name, end in ends.items()} | {"n": stretch.seen}
