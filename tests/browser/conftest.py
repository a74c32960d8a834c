"""A real Chromium looking at a real service, and made-up trainings that are posted to it over HTTP."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epochscope import wire
from numpy.typing import NDArray
from playwright.sync_api import Browser, BrowserContext, Dialog, Locator, Page, expect, sync_playwright
from stage import Service, Training, counted, start_service

Whole = NDArray[np.int64]

FASHION = ("t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
HOSTILE = ("<b>bold</b>", '<a href="javascript:alert(1)">x</a>', "R&D &lt;", "<img src=x onerror=alert(1)>")
expect.set_options(timeout=15_000)  # a busy machine takes its time

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--force-color-profile=srgb", "--font-render-hinting=none",
    "--disable-lcd-text",
]  # fmt: skip


@dataclass
class Story:
    """Predictions of a made-up training, int64: train [steps, batch], val [passes, batches, batch].

    Every class is learnt at a pace of its own; ``collapsing`` is taken for class 0 for a tenth of the training.
    """

    class_names: tuple[str, ...]
    epochs: int = 3
    batches: int = 40  # of an epoch
    size: int = 32
    seed: int = 7
    collapsing: int | None = None
    true: Whole = field(init=False)
    predicted: Whole = field(init=False)
    val_true: Whole = field(init=False)
    val_predicted: Whole = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        classes = len(self.class_names)
        pace = np.geomspace(0.02, 0.3, classes)[rng.permutation(classes)]

        def guess(true: Whole, progress: float) -> Whole:
            rate = 0.95 - (0.95 - 1 / classes) * np.exp(-progress / pace)
            predicted = np.where(rng.random(true.shape) < rate[true], true, rng.integers(0, classes, true.shape))
            if self.collapsing is not None and 0.4 <= progress < 0.5:
                predicted = np.where((true == self.collapsing) & (rng.random(true.shape) < 0.6), 0, predicted)
            return predicted

        steps = self.epochs * self.batches
        self.true = rng.integers(0, classes, (steps, self.size))
        self.predicted = np.stack([guess(row, step / steps) for step, row in enumerate(self.true)])
        self.val_true = rng.integers(0, classes, (self.epochs, 5, self.size))
        self.val_predicted = np.stack(
            [guess(passed, (epoch + 1) / self.epochs) for epoch, passed in enumerate(self.val_true)]
        )

    @property
    def steps(self) -> int:
        return self.epochs * self.batches

    def begin(self, service: Service, run: str, name: str, **more: Any) -> Training:
        """A run that has been announced and has no batch yet."""
        info = {
            "name": name,
            "started_ms": time.time_ns() // 1_000_000,
            "params": {"optimizer": "adam", "batch size": self.size},
            "epochs": self.epochs,
            "batches_per_epoch": self.batches,
            **more,
        }
        training = Training(service, run, class_names=self.class_names, info=info)
        training.send()
        return training

    def go_on(self, training: Training, first: int, last: int) -> None:
        """Steps ``first`` to ``last``, both included, and the validation passes after the epochs that end there."""
        rows = slice(first - 1, last)
        steps = np.arange(first, last + 1)
        right = (self.true[rows] == self.predicted[rows]).mean(axis=1)
        series = [
            wire.SeriesColumns.of("loss", "train", "batch", steps, 2 * (1 - right) + 0.1),
            wire.SeriesColumns.of("accuracy", "train", "batch", steps, right),
            wire.SeriesColumns.of("learning_rate", "train", "batch", steps, np.full(len(steps), 1e-3)),
        ]
        counts = [counted(list(zip(self.true[rows], self.predicted[rows], strict=True)), first)]
        spans = []
        for epoch in range((first - 1) // self.batches + 1, (last - 1) // self.batches + 2):
            begin, end = (epoch - 1) * self.batches + 1, epoch * self.batches + 1
            spans.append(wire.Span("train", epoch, begin, end if last >= end - 1 else 0))
            if not first <= end - 1 <= last:
                continue
            true, predicted = self.val_true[epoch - 1], self.val_predicted[epoch - 1]
            start = (epoch - 1) * len(true) + 1
            counts.append(counted(list(zip(true, predicted, strict=True)), start, "val"))
            spans.append(wire.Span("val", epoch, start, start + len(true)))
            val_right = float((true == predicted).mean())
            series += [
                wire.SeriesColumns.of("loss", "val", "epoch", [epoch], [2 * (1 - val_right) + 0.1]),
                wire.SeriesColumns.of("accuracy", "val", "epoch", [epoch], [val_right]),
                wire.SeriesColumns.of("macro_f1", "val", "epoch", [epoch], [val_right - 0.01]),
            ]
        training.send(series=series, confusion=counts, spans=spans)

    def tell(self, service: Service, run: str, name: str, **more: Any) -> Training:
        """The whole training, to its end."""
        training = self.begin(service, run, name, **more)
        self.go_on(training, 1, self.steps)
        training.send(end=wire.End("finished"))
        return training


@dataclass
class Tab:
    """A page of the browser that remembers everything it should never have seen."""

    page: Page
    url: str
    trouble: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()  # parts of the browser's own lines about answers that this test provokes

    def open(self, path: str) -> Tab:
        self.page.goto(self.url + path)
        return self

    def chart(self, title: str) -> Locator:
        """The chart whose title begins so, once it is drawn."""
        figure = self.page.locator("figure.chart", has=self.page.locator(f'h2:text-matches("^{title}")'))
        figure.scroll_into_view_if_needed()
        figure.locator(".js-plotly-plot").wait_for()
        return figure

    def drawn(self, title: str, expression: str) -> Any:
        """The value of ``expression`` over ``gd``, the chart as Plotly has drawn it."""
        plot = self.chart(title).locator(".js-plotly-plot")
        return plot.evaluate(f"gd => {expression}")

    def matrix(self, title: str = "Confusion") -> Whole:
        """The two heatmaps of a matrix laid over each other, float64 [N, N]."""
        off, on = (
            np.array(part, dtype=float)
            for part in self.drawn(title, "gd._fullData.map(t => Array.from(t.z, row => Array.from(row)))")
        )
        matrix: Whole = np.where(np.isfinite(off), off, on)
        return matrix

    def marked(self, title: str, kind: str) -> list[list[float]]:
        """Where marks of a kind lie over a chart, from their pixels: [left, right, top, bottom] on its axes."""
        found: list[list[float]] = self.drawn(
            title,
            f"[...gd.querySelectorAll('.mark.{kind}')].map(mark => {{ const r = mark.getBoundingClientRect(), "
            "b = gd.getBoundingClientRect(), x = gd._fullLayout.xaxis, y = gd._fullLayout.yaxis; return ["
            "x.p2d(r.left - b.left - x._offset), x.p2d(r.right - b.left - x._offset), "
            "y.p2d(r.top - b.top - y._offset), y.p2d(r.bottom - b.top - y._offset)] })",
        )
        return found

    def click_cell(self, row: int, column: int) -> None:
        """Click a cell of the confusion matrix, by its place."""
        x, y = self.drawn(
            "Confusion",
            "(() => { const l = gd._fullLayout, b = gd.getBoundingClientRect(); "
            f"return [b.x + l.xaxis._offset + l.xaxis.d2p({column}), b.y + l.yaxis._offset + l.yaxis.d2p({row})] }})()",
        )
        self.page.mouse.move(x - 3, y)
        self.page.mouse.move(x, y)
        self.page.mouse.click(x, y)

    def until(self, expression: str, *, why: str) -> None:
        """Wait until JavaScript says so. Asked from here: the page's own policy forbids it to evaluate strings."""
        deadline = time.monotonic() + 10
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, why
            self.page.wait_for_timeout(50)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    found = os.environ.get("CHROMIUM") or next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if found is None and not os.environ.get("CI"):
        pytest.skip("no Chromium found; install one or name it in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def fashion() -> Story:
    return Story(FASHION, epochs=4, batches=100, collapsing=6)


@pytest.fixture(scope="session")
def other() -> Story:
    return Story(FASHION, epochs=4, batches=100, seed=11)


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory, fashion: Story, other: Story) -> Iterator[Service]:
    """A service with two runs of ten classes, one of two, one of a hundred, and one with hostile names."""
    service = start_service(tmp_path_factory.mktemp("shown"))
    fashion.tell(service, "fashion00001", "shirt collapses")
    other.tell(service, "fashion00002", "other seed")
    Story(("cat", "dog"), epochs=2).tell(service, "pets00000001", "cats and dogs")
    Story(tuple(f"kind {i:02d}" for i in range(100)), size=128).tell(service, "hundred00001", "a hundred kinds")
    Story(HOSTILE, epochs=2).tell(
        service, "hostile00001", HOSTILE[0], notes=HOSTILE[3], params={HOSTILE[1]: HOSTILE[3]}
    )
    yield service
    service.stop()


@pytest.fixture(scope="session")
def contexts(chromium: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Browsers of their own, kept for the session: the drawing library is compiled once and not for every test."""
    opened: dict[tuple[str, int, int], BrowserContext] = {}

    def context(scheme: Any, width: int, height: int) -> BrowserContext:
        key = (scheme, width, height)
        if key not in opened:
            opened[key] = chromium.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                reduced_motion="reduce",
                locale="en-GB",
                timezone_id="UTC",
            )
            opened[key].add_init_script(
                "addEventListener('securitypolicyviolation', "
                "event => console.error('policy', event.violatedDirective, event.blockedURI))"
            )
        return opened[key]

    yield context
    for one in opened.values():
        one.close()


@pytest.fixture
def tabs(contexts: Callable[..., BrowserContext]) -> Iterator[Callable[..., Tab]]:
    """Opens tabs; fails the test for errors, violations of the policy and requests to anywhere else."""
    opened: list[Tab] = []

    def refuse(tab: Tab, dialog: Dialog) -> None:
        tab.trouble.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def new(service: Service, *, scheme: Any = "light", width: int = 1400, height: int = 900) -> Tab:
        page = contexts(scheme, width, height).new_page()
        page.set_default_timeout(10_000)
        tab = Tab(page, service.url)
        page.on("pageerror", lambda error: tab.trouble.append(f"error: {error}"))
        page.on(
            "console",
            lambda message: (
                tab.trouble.append(f"console: {message.text}") if message.type in ("error", "warning") else None
            ),
        )
        page.on("dialog", lambda dialog: refuse(tab, dialog))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((f"{service.url}/", "data:", "blob:"))
                else tab.trouble.append(f"foreign request: {request.url}")
            ),
        )
        opened.append(tab)
        return tab

    yield new
    for tab in opened:
        tab.page.close()
    assert [entry for tab in opened for entry in tab.trouble if not any(part in entry for part in tab.expected)] == []


@pytest.fixture
def quiet_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts a service on a folder of this test's own, at the port given or a free one."""
    started: list[Service] = []

    def start(port: int = 0) -> Service:
        started.append(start_service(tmp_path / "store", port))
        return started[-1]

    yield start
    for service in started:
        service.stop()
