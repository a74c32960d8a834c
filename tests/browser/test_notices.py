"""What a run's page says of what is missing of it, of steps that were run again, of a training that stands still."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from epochscope import wire
from playwright.sync_api import expect
from stage import Training

if TYPE_CHECKING:
    from browser.conftest import Story, Tab
    from stage import Service

    Tabs = Callable[..., Tab]

pytestmark = pytest.mark.browser


def test_losses_and_resumptions_stand_above_the_curves(shown: Service, tabs: Tabs, other: Story) -> None:
    missing = {wire.LOST: "3", wire.THINNED: "1,200", wire.REFUSED: "1"}
    training = other.begin(shown, "notices00001", "with losses", environment=missing)
    other.go_on(training, 1, 40)
    again = {**training.info, "resumed_at": {"train": 31}, "started_ms": training.info["started_ms"] + 1}
    more = Training(shown, "notices00001", "stream01", class_names=other.class_names, info=again)
    more.send(series=[wire.SeriesColumns.of("loss", "train", "batch", range(31, 36), [0.5] * 5)])
    said = tabs(shown).open("/runs/notices00001").page.locator(".notices p")
    expect(said).to_have_text(
        [
            "Not all of this run is here: 3 updates lost to damage on the disk of the training machine; 1,200 values "
            "by batch thinned while the disk of the training machine was full; 1 update refused by the service and set "
            "aside on the training machine.",
            "Taken up again: steps 31–35 of train are those of attempt 2.",
        ]
    )


def test_two_processes_on_one_run_are_told(shown: Service, tabs: Tabs, other: Story) -> None:
    training = other.begin(shown, "notices00003", "two at once")
    other.go_on(training, 1, 40)
    more = Training(shown, "notices00003", "stream01", class_names=other.class_names, info=training.info)
    more.send(series=[wire.SeriesColumns.of("loss", "train", "batch", range(41, 46), [0.5] * 5)])
    said = tabs(shown).open("/runs/notices00003").page.locator(".notices p")
    expect(said).to_have_text(["Recorded by 2 processes: what they say of one step adds up."])


def test_of_a_whole_run_nothing_is_noticed(shown: Service, tabs: Tabs) -> None:
    tab = tabs(shown).open("/runs/fashion00001")
    expect(tab.page.get_by_role("heading", name="shirt collapses")).to_be_visible()
    expect(tab.page.locator(".notices")).to_be_hidden()


def test_a_training_that_stands_still_says_since_when(shown: Service, tabs: Tabs, other: Story) -> None:
    training = other.begin(shown, "notices00002", "stands still")
    other.go_on(training, 1, 40)
    training.send(stalled_s=725.0, next_in_s=600.0)
    head = tabs(shown).open("/runs/notices00002").page.locator(".run-head")
    expect(head.locator(".status")).to_have_text("◐stalled")
    expect(head.get_by_text("nothing new for 12 min")).to_be_visible()
