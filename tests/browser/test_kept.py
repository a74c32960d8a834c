"""What was said of how long runs are kept, on every page that names their project."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from stage import Training

if TYPE_CHECKING:
    from browser.conftest import Tab
    from stage import Service

    Tabs = Callable[..., Tab]

pytestmark = pytest.mark.browser


def test_the_pages_of_a_project_say_when_its_runs_are_deleted(lone_service: Callable[[], Service], tabs: Tabs) -> None:
    service = lone_service()
    training, other = Training(service, info={"project": "moths <b>"}), Training(service, info={"project": "owls"})
    training.send()
    other.send()
    tab = tabs(service).open("/")
    expect(tab.page.get_by_role("row", name="moths")).to_be_visible()
    expect(tab.page.get_by_text("deleted")).to_have_count(0)
    rule = service.ask("/projects/retention", "PUT", params={"project": "moths <b>"}, json={"keep_days": 90})
    assert rule.status_code == 200
    words = (
        "Runs of moths <b> are deleted 90 days after they were last heard of, unless they have a tag or are archived."
    )
    tab.page.reload()
    expect(tab.page.get_by_text(words)).to_be_visible()
    tab.open(f"/runs/{training.run}")
    expect(tab.page.get_by_text(words)).to_be_visible()
    tab.open(f"/runs/{other.run}")
    expect(tab.page.get_by_role("heading", name="zoo")).to_be_visible()
    expect(tab.page.get_by_text("are deleted")).to_have_count(0)
