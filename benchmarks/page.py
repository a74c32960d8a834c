"""How quick the page is, in a real Chromium: first chart, brush, click, live tick, from a batch to its pixel, memory.

    python benchmarks/page.py                          # all, about six minutes; make bench-ui does the same
    python benchmarks/page.py --only first brush       # some: first brush live pixel service tabs size memory
    python benchmarks/page.py --only memory --minutes 30
    python benchmarks/page.py --batches 5000 --rounds 3  # a quick look

A service in a process of its own, asked over loopback. "First chart" is told beside a bare page: plotly.js and the very
figure that our page draws, ready-made, from a server that does nothing else; the two take turns, each in a browser
profile of its own, so that both load and compile everything. Times are of the browser's clock, from the event that the
reader causes to the frame after Plotly says that it has drawn. The screen is 1,400 by 900 unless said otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import http.server
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

import httpx2
import numpy as np
from epochscope import Run, wire
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

STATIC = Path(__file__).parent.parent / "frontend" / "epochscope_web" / "static"
PLOTLY = next((STATIC / "vendor").glob("plotly-*.min.js"))
PORTION = 1000
TEN, HUNDRED, LIVE = "tenclasses00", "hundredclass", "livetraining"
PARTS = ("first", "brush", "live", "pixel", "service", "tabs", "size", "memory")

BARE = """<!doctype html><meta charset="utf-8"><title>bare</title><div id="plot" style="height:420px"></div>
<script src="/plotly.js"></script>
<script>
  fetch("/figure.json").then((answer) => answer.json()).then(async ({ data, layout }) => {
    await Plotly.newPlot("plot", data, layout);
    requestAnimationFrame(() => setTimeout(() => { globalThis.drawnAt = performance.now(); }));
  });
</script>
"""

# The moment of the first frame in which a chart has a curve, since the navigation began.
WATCH_FIRST = """
const look = () => {
  if (document.querySelector(".js-plotly-plot .scatterlayer .trace path")) {
    setTimeout(() => { globalThis.drawnAt = performance.now(); });
  } else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""

# Of the chart that a selector names: the milliseconds from the next press or release of the mouse to its next drawing.
WATCH_NEXT = """([selector, event]) => {
  globalThis.took = null;
  const plot = () => document.querySelector(selector);
  addEventListener(event, ({ timeStamp }) => {
    const took = () => { globalThis.took = performance.now() - timeStamp; };
    const appears = () => (plot()?.on ? setTimeout(took) : requestAnimationFrame(appears));
    if (plot()?.on) plot().once("plotly_afterplot", () => requestAnimationFrame(() => setTimeout(took)));
    else appears();
  }, { once: true, capture: true });
}"""
CURVES, MATRIX, CELL = "figure.chart.large .plot", "figure.chart.square .plot", ".cell-panel figure.chart .plot"

# Every frame: the last step that any curve of a chart of single numbers shows.
WATCH_STEPS = """() => {
  globalThis.seen = [];
  const newest = () => {
    let most = 0;
    for (const plot of document.querySelectorAll(".js-plotly-plot")) {
      if (!plot.closest("figure.small")) continue;
      for (const trace of plot._fullData ?? []) if (trace.x?.length) most = Math.max(most, trace.x[trace.x.length - 1]);
    }
    const last = globalThis.seen.at(-1);
    if (!last || most > last[1]) globalThis.seen.push([Date.now(), most]);
    requestAnimationFrame(newest);
  };
  newest();
}"""


def flushes(run: str, classes: int, batches: int) -> Iterator[wire.Flush]:
    """A training of ``batches`` batches of 128 that learns, cut into flushes; epochs are of 1,000 batches."""
    chance = np.random.default_rng(classes)
    names = tuple(f"class {index}" for index in range(classes))
    pace = chance.uniform(0.05, 0.4, classes)
    for seq, first in enumerate(range(1, batches + 1, PORTION), 1):
        steps = np.arange(first, min(first + PORTION, batches + 1))
        true = chance.integers(0, classes, (len(steps), 128))
        rate = 0.97 - 0.9 * np.exp(-steps[:, None] / batches / pace[true])
        predicted = np.where(
            chance.random(true.shape) < rate, true, (true + chance.integers(1, 4, true.shape)) % classes
        )
        cells, columns = [], []
        for codes in true * classes + predicted:
            kinds, n = np.unique(codes, return_counts=True)
            cells.append(len(kinds))
            columns.append(np.stack([*np.divmod(kinds, classes), n]))
        right = (true == predicted).mean(axis=1)
        info = wire.RunInfo("bench", f"{classes} classes", 1, outputs=[wire.Output("output", names)])
        yield wire.Flush(
            wire.VERSION, run, "stream00", seq, 1, info if seq == 1 else None,
            [
                wire.SeriesColumns.of("loss", "train", "batch", steps, 2.3 * (1 - right) + 0.05),
                wire.SeriesColumns.of("accuracy", "train", "batch", steps, right),
            ],
            [wire.ConfusionColumns.of("output", "train", steps, cells, *np.concatenate(columns, axis=1))],
            [wire.Span("train", seq, first, int(steps[-1]) + 1)],
            wire.End("finished") if steps[-1] == batches else None,
        )  # fmt: skip


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A service as a process of its own; gives its address."""
    command = [sys.executable, "-m", "epochscope", "serve", "--port", "0", "--no-browser", "--data-dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().split()[1]
    try:
        yield url
    finally:
        process.terminate()
        process.wait()


def fill(url: str, run: str, classes: int, batches: int) -> None:
    with httpx2.Client(base_url=url, timeout=120) as client:
        for flush in flushes(run, classes, batches):
            path = f"/api/v1/runs/{run}/streams/{flush.stream}/flushes"
            client.post(
                path, content=wire.encode(flush), headers={"content-type": wire.CONTENT_TYPE}
            ).raise_for_status()
            sys.stderr.write(f"\r{classes} classes: {flush.seq * PORTION:,} of {batches:,} batches")
    time.sleep(3)  # for the last of it to be sealed
    sys.stderr.write("\n")


@contextlib.contextmanager
def bare_server(figure: bytes) -> Iterator[str]:
    """The bare page with a ready-made figure."""
    answers = {
        "/": ("text/html", BARE.encode()),
        "/plotly.js": ("text/javascript", PLOTLY.read_bytes()),
        "/figure.json": ("application/json", figure),
        "/favicon.ico": ("image/x-icon", b""),
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            kind, body = answers[self.path]
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def opened(browser: Browser, width: int = 1400, height: int = 900) -> Iterator[BrowserContext]:
    """A profile of its own: nothing is in any cache."""
    context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    context.set_default_timeout(60_000)
    yield context
    context.close()


def until(page: Page, expression: str, limit_s: float = 60) -> Any:
    """The first value of a JavaScript expression that is not null. Asked from here: the policy forbids evaluation."""
    deadline = time.monotonic() + limit_s
    while (value := page.evaluate(expression)) is None:
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {limit_s:.0f} s for {expression}")
        page.wait_for_timeout(20)
    return value


def told(name: str, times: list[float], goal: str = "") -> float:
    """Prints median, quartiles and number of some milliseconds; returns the median."""
    low, middle, high = (float(np.percentile(times, at)) for at in (25, 50, 75))
    sys.stdout.write(f"| {name} | {middle:,.0f} | {low:,.0f} to {high:,.0f} | {len(times)} | {goal} |\n")
    sys.stdout.flush()
    return middle


def first(browser: Browser, url: str, rounds: int) -> None:
    """The first chart of a run of many batches, beside a bare page with the same figure."""
    asked: list[str] = []
    with opened(browser) as context:  # which figure the page asks for first
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url) if "/figures/classes" in request.url else None)
        page.goto(f"{url}/runs/{TEN}")
        page.locator(".js-plotly-plot .scatterlayer .trace path").first.wait_for(state="attached")
    figure = httpx2.get(asked[0]).content
    ours: list[float] = []
    bare: list[float] = []
    with bare_server(figure) as plain:
        for turn in range(rounds):
            both = [(ours, f"{url}/runs/{TEN}", WATCH_FIRST), (bare, plain, "")]
            for times, address, script in both if turn % 2 else both[::-1]:
                with opened(browser) as context:
                    page = context.new_page()
                    if script:
                        page.add_init_script(script)
                    page.goto(address)
                    times.append(until(page, "globalThis.drawnAt ?? null"))
    middle = told("first chart", ours), told(f"bare page, the same figure of {len(figure):,} bytes", bare)
    sys.stdout.write(f"| ratio of the medians | {middle[0] / middle[1]:.2f} | | | 1.5 |\n")


def brush(browser: Browser, url: str, rounds: int) -> None:
    """Brush the curves and see the matrix of just that window; click a cell and see its trajectory."""
    for run, classes in ((TEN, 10), (HUNDRED, 100)):
        with opened(browser, height=1600) as context:
            page = context.new_page()
            page.goto(f"{url}/runs/{run}")
            boxes = {}
            for chart in (CURVES, MATRIX):
                drawn = page.locator(f"{chart} .nsewdrag").first
                drawn.wait_for(state="visible")
                page.wait_for_timeout(1500)
                found = drawn.bounding_box()
                assert found is not None
                boxes[chart] = found
            brushed: list[float] = []
            box = boxes[CURVES]
            for turn in range(rounds):
                left, y = box["x"] + box["width"] * (0.1 + 0.5 * turn / rounds), box["y"] + box["height"] / 2
                page.mouse.move(left, y)
                page.mouse.down()
                for part in range(1, 6):
                    page.mouse.move(left + 30 * part, y)
                page.wait_for_timeout(300)  # the reader looks before letting go
                page.evaluate(WATCH_NEXT, [MATRIX, "pointerup"])
                page.mouse.move(left + 180, y)
                page.mouse.up()
                brushed.append(until(page, "globalThis.took"))
                page.wait_for_timeout(400)
            told(f"brush to new matrix, {classes} classes", brushed, "100" if classes == 100 else "")
            clicked: list[float] = []
            box = boxes[MATRIX]
            for turn in range(rounds):
                row, column = divmod(turn * 7 + 1, 10)
                page.mouse.move(
                    box["x"] + box["width"] * (column + 0.5) / 10, box["y"] + box["height"] * (row + 0.5) / 10
                )
                page.wait_for_timeout(100)
                page.evaluate(WATCH_NEXT, [CELL, "mouseup"])
                page.mouse.down()
                page.mouse.up()
                clicked.append(until(page, "globalThis.took"))
                page.wait_for_timeout(400)
            told(f"click to trajectory, {classes} classes", clicked, "150")


class Live:
    """A training that goes on while others look: ``rate`` batches a second, through the real client."""

    def __init__(self, url: str, folder: Path, rate: float, classes: int = 10) -> None:
        names = [f"class {index}" for index in range(classes)]
        self.run = Run("bench", "live", url=url, spool_dir=folder, class_names=names)
        self.logged: list[tuple[int, float]] = []
        self._rate, self._classes = rate, classes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._train)
        self._thread.start()

    def _train(self) -> None:
        chance = np.random.default_rng(1)
        step = 0
        while not self._over.wait(1 / self._rate):
            step += 1
            true = chance.integers(0, self._classes, 64)
            predicted = np.where(chance.random(64) < 0.8, true, chance.integers(0, self._classes, 64))
            self.run.confusion(step, true, predicted)
            self.run.log(step, loss=float(1 / step), accuracy=float((true == predicted).mean()), learning_rate=0.001)
            self.logged.append((step, time.time() * 1000))

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self.run.finish()


def live(browser: Browser, url: str, folder: Path, seconds: float) -> None:
    """The main thread's work for a second's news, six charts in sight."""
    training = Live(url, folder, rate=1)
    try:
        with opened(browser, width=1800, height=3000) as context:
            page = context.new_page()
            page.goto(f"{url}/runs/{training.run.id}")
            page.locator(".js-plotly-plot .scatterlayer .trace path").first.wait_for(state="attached")
            page.wait_for_timeout(8000)
            charts = page.locator(".js-plotly-plot").count()
            session = context.new_cdp_session(page)
            session.send("Performance.enable")

            def busy() -> float:
                metrics = session.send("Performance.getMetrics")["metrics"]
                return 1000 * float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))

            times = []
            for _ in range(int(seconds)):
                before = busy()
                page.wait_for_timeout(1000)
                times.append(busy() - before)
            told(f"main thread for a second's news, {charts} charts", times, "100")
    finally:
        training.close()


def pixel(browser: Browser, url: str, folder: Path, seconds: float) -> None:
    """From the end of a batch to the frame that shows it, a batch every 50 ms."""
    training = Live(url, folder, rate=20)
    try:
        with opened(browser) as context:
            page = context.new_page()
            page.goto(f"{url}/runs/{training.run.id}")
            page.locator("figure.small .js-plotly-plot .scatterlayer .trace path").first.wait_for(state="attached")
            page.locator("figure.small").first.scroll_into_view_if_needed()
            page.wait_for_timeout(3000)
            page.evaluate(WATCH_STEPS)
            page.wait_for_timeout(1000 * seconds)
            seen: list[list[float]] = page.evaluate("globalThis.seen")
    finally:
        training.close()
    began = seen[0][1]
    late = [
        next(at for at, step in seen if step >= logged) - when
        for logged, when in training.logged
        if began < logged <= seen[-1][1]
    ]
    told("from a batch's end to its pixel", late)
    sys.stdout.write(f"| the same, 95th percentile | {np.percentile(late, 95):,.0f} | | | 1,000 |\n")


def service_part(url: str, rounds: int) -> None:
    """From a flush that is sent to the viewer's being told, both over loopback without a browser."""
    run, rev = "servicepart0", 0
    heard: Queue[tuple[int, float]] = Queue()
    times: list[float] = []
    ready = threading.Event()
    path = f"/api/v1/runs/{run}/streams/stream00/flushes"

    def listen(client: httpx2.Client) -> None:
        with contextlib.suppress(httpx2.HTTPError), client.stream("GET", "/api/v1/live") as stream:
            ready.set()
            for line in stream.iter_lines():
                if line.startswith("data:") and run in line:
                    heard.put((json.loads(line[5:])["rev"], time.perf_counter()))

    with httpx2.Client(base_url=url, timeout=60) as client:
        threading.Thread(target=listen, args=(client,), daemon=True).start()
        ready.wait()
        for seq in range(1, rounds + 2):
            info = wire.RunInfo("bench", "told", 1) if seq == 1 else None
            points = wire.SeriesColumns.of("loss", "train", "batch", [seq], [0.5])
            body = wire.encode(wire.Flush(wire.VERSION, run, "stream00", seq, 1, info, [points]))
            before = time.perf_counter()
            httpx2.post(url + path, content=body, headers={"content-type": wire.CONTENT_TYPE}).raise_for_status()
            while rev < seq:
                rev, at = heard.get(timeout=20)
            times.append(1000 * (at - before))
            time.sleep(1.1)
    told("of this the service's: a flush sent to the viewer told", times[1:], "250")


def tabs(browser: Browser, url: str, folder: Path, many: int = 9) -> None:
    """Tabs of one browser, all of the same living run: how long until the last of them shows what was told."""
    training = Live(url, folder, rate=2)
    try:
        with opened(browser) as context:
            pages = []
            opening: list[float] = []
            for _ in range(many):
                page = context.new_page()
                page.add_init_script(WATCH_FIRST)
                page.goto(f"{url}/runs/{training.run.id}")
                opening.append(until(page, "globalThis.drawnAt ?? null"))
                pages.append(page)
            states = [page.locator("#connection").get_attribute("data-state") for page in pages]
            told(f"first chart in each of {many} tabs", opening)
            sys.stdout.write(f"| of {many} tabs live | {states.count('live')} | | | {many} |\n")
    finally:
        training.close()


def size(browser: Browser, url: str) -> None:
    """What the page itself weighs, compressed, beside plotly.js; and whom it asks."""
    asked: set[str] = set()
    with opened(browser) as context:
        page = context.new_page()
        page.on("request", lambda request: asked.add(request.url))
        for path in ("/", f"/runs/{TEN}", f"/compare?runs={TEN},{HUNDRED}"):
            page.goto(url + path)
            page.wait_for_timeout(2500)
    files = {
        path: httpx2.get(url + path).content
        for path in sorted({urlsplit(one).path for one in asked if one.startswith(url)})
        if not path.startswith("/api/")
    }
    own = {path: len(gzip.compress(body)) for path, body in files.items() if not path.startswith("/vendor/")}
    others = {one for one in asked if not one.startswith((url, "data:", "blob:"))}
    sys.stdout.write(f"| the page's own {len(own)} files, kB compressed | {sum(own.values()) / 1000:.1f} | | | 150 |\n")
    sys.stdout.write(f"| requests to other hosts | {len(others)} | | | 0 |\n")


def memory(browser: Browser, url: str, folder: Path, minutes: float) -> None:
    """The memory of a page that is left open on a living run, each minute after a collection."""
    training = Live(url, folder, rate=5)
    taken: list[tuple[float, float, float]] = []
    try:
        with opened(browser, height=1800) as context:
            page = context.new_page()
            page.goto(f"{url}/runs/{training.run.id}")
            page.locator(".js-plotly-plot .scatterlayer .trace path").first.wait_for(state="attached")
            session = context.new_cdp_session(page)
            session.send("Performance.enable")
            began = time.monotonic()
            while (passed := (time.monotonic() - began) / 60) <= minutes:
                session.send("HeapProfiler.collectGarbage")
                found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
                taken.append((passed, found["JSHeapUsedSize"] / 2**20, found["Nodes"]))
                sys.stderr.write(f"\r{passed:.1f} min: {taken[-1][1]:.1f} MiB, {found['Nodes']:.0f} nodes ")
                page.wait_for_timeout(min(60_000, 1000 * 60 * minutes / 10))
    finally:
        training.close()
    sys.stderr.write("\n")
    settled = [one for one in taken if one[0] >= minutes / 6] or taken
    slope = np.polyfit([one[0] for one in settled], [one[1] for one in settled], 1)[0]
    sys.stdout.write(
        f"| memory of the page after {minutes:g} min of live updates, MiB | {taken[-1][1]:.1f} | "
        f"from {taken[0][1]:.1f} | {len(taken)} | no growth |\n"
        f"| its growth over the last five sixths, MiB an hour | {60 * slope:.1f} | | | |\n"
        f"| nodes of the document | {taken[-1][2]:.0f} | from {taken[0][2]:.0f} | | |\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="some parts")
    parser.add_argument("--batches", type=int, default=100_000, help="of the run of ten classes")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=30, help="of each part that watches a living run")
    parser.add_argument("--minutes", type=float, default=5, help="of the part that watches the memory")
    arguments = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("no Chromium found; install one or name it in CHROMIUM")
    rounds, seconds = arguments.rounds, arguments.seconds
    with tempfile.TemporaryDirectory() as name, serving(Path(name) / "store") as url, sync_playwright() as playwright:
        spool = Path(name) / "spool"
        wanted = set(arguments.only)
        if wanted & {"first", "brush", "size"}:
            fill(url, TEN, 10, arguments.batches)
        if wanted & {"brush", "size"}:
            fill(url, HUNDRED, 100, max(1000, arguments.batches // 5))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        sys.stdout.write(f"{platform.processor() or platform.machine()}, Chromium {browser.version}\n\n")
        sys.stdout.write("| | median, ms | quartiles | n | goal |\n| --- | --- | --- | --- | --- |\n")
        parts: dict[str, Callable[[], None]] = {
            "first": lambda: first(browser, url, rounds),
            "brush": lambda: brush(browser, url, rounds),
            "live": lambda: live(browser, url, spool, seconds),
            "pixel": lambda: pixel(browser, url, spool, seconds),
            "service": lambda: service_part(url, rounds),
            "tabs": lambda: tabs(browser, url, spool),
            "size": lambda: size(browser, url),
            "memory": lambda: memory(browser, url, spool, arguments.minutes),
        }
        for part in PARTS:
            if part in wanted:
                parts[part]()
        browser.close()


if __name__ == "__main__":
    main()
