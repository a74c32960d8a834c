"""Takes the pictures of docs/pictures: real trainings, watched by Monitor, as the page shows them.

    make pictures                                      # train, then take all of them: some three minutes
    make pictures ARGS="--only run --keep DIR"         # some views; keep the store in DIR and use it again

Three trainings. Fashion-MNIST, the whole set if it can be had, twice with different seeds. A hundred kinds: 30,000
points of 64 numbers around 100 centres, which lie in families of five around 20 others, so that members of a family
are taken for one another. A thousand kinds: the same with 100,000 points, 1,000 centres and 100 families. Each is
learnt by an MLP with Adam; nothing is made up after that.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from epochscope.fashion_mnist import load
from numpy.typing import NDArray
from playwright.sync_api import Browser, sync_playwright
from stage import Service, start_service

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
THEMES = ("light", "dark")
SIZES = {"wide": (1440, 900), "phone": (390, 844)}
Samples = tuple[NDArray[Any], NDArray[Any]]

# What is shown: name of the picture -> address; a word in braces is the run of that name.
VIEWS = {
    "list": "/",
    "run": "/runs/{fashion}?cell=6,0",
    "class": "/runs/{fashion}?class=6",
    "hundred": "/runs/{hundred}?order=similar",
    "thousand": "/runs/{thousand}",
    "compare": "/compare?runs={fashion},{again}",
    "alerts": "/alerts",
    "settings": "/settings",
}
README = "/runs/{fashion}?width=100&from=4221&to=5065"  # run.png: the last epoch is brushed


def families(kinds: int, per_family: int, samples: int, seed: int) -> Samples:
    """Points [samples, 64] around centres that lie in families, and which centre each belongs to."""
    chance = np.random.default_rng(seed)
    around = chance.normal(0, 1.0, (kinds // per_family, 64)).repeat(per_family, axis=0)
    centres = around + chance.normal(0, 0.45, (kinds, 64))
    of = chance.integers(0, kinds, samples)
    return (centres[of] + chance.normal(0, 1.2, (samples, 64))).astype(np.float32), of.astype(np.int64)


def train(service: Service, name: str, data: Samples, names: list[str], hidden: int, batch: int, **more: Any) -> str:
    """A training with a Monitor, to its end; gives the run's id."""
    import keras
    from epochscope.keras import Monitor

    keras.utils.set_random_seed(more.pop("seed", 1))
    x, y = data
    held = len(x) // 10
    model = keras.Sequential(
        [
            keras.layers.Input(x.shape[1:]),
            keras.layers.Flatten(),
            keras.layers.Dense(hidden, "relu"),
            keras.layers.Dense(len(names), "softmax"),
        ]
    )
    adam = keras.optimizers.Adam(more.pop("rate", 1e-3))
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    with tempfile.TemporaryDirectory() as spool:
        monitor = Monitor("pictures", name=name, class_names=names, url=service.url, spool_dir=spool, **more)
        model.fit(
            x[held:], y[held:], batch, epochs=6, validation_data=(x[:held], y[:held]), callbacks=[monitor], verbose=0
        )
        monitor.close()
        assert monitor.run_id is not None
        return monitor.run_id


def trainings(service: Service) -> dict[str, str]:
    """The runs by the words that the addresses use; those that the store has already are not trained again."""
    listed = service.get("/runs", project="pictures", status="finished")["runs"]
    there = {one["name"]: one["id"] for one in listed}
    clothes = load()
    pictures = (clothes.x_train.astype(np.float32) / 255, clothes.y_train.astype(np.int64))
    found = {}
    for word, name, data, names, hidden, batch, more in (
        ("fashion", "fashion mlp, seed 1", pictures, list(clothes.class_names), 128, 64, {"seed": 1}),
        ("again", "fashion mlp, seed 2", pictures, list(clothes.class_names), 128, 64, {"seed": 2}),
        ("hundred", "a hundred kinds", families(100, 5, 30_000, 1), named(100, 5), 128, 128, {"rate": 2e-3}),
        ("thousand", "a thousand kinds", families(1000, 10, 100_000, 2), named(1000, 10), 256, 256, {"rate": 2e-3}),
    ):
        sys.stderr.write(f"{name}\n")
        found[word] = there.get(name) or train(service, name, data, names, hidden, batch, **more)
    time.sleep(3)  # for the last of it to be sealed
    return found


def named(kinds: int, per_family: int) -> list[str]:
    """ "3b": the second member of the fourth family."""
    return [f"{kind // per_family}{'abcdefghij'[kind % per_family]}" for kind in range(kinds)]


def take(browser: Browser, address: str, theme: Any, width: int, height: int, whole: bool = True) -> bytes:
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme=theme,
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    page.goto(address)
    page.wait_for_timeout(1500)
    for _ in range(8):  # charts draw when they come into sight
        page.mouse.wheel(0, 700)
        page.wait_for_timeout(400)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(800)
    picture = page.screenshot(full_page=whole)
    page.close()
    return picture


def smaller(picture: bytes) -> bytes:
    """The picture in 255 colours, a third as large, where Pillow is at hand. By the octree: the median cut makes the
    small squares of a legend grey."""
    try:
        image = import_module("PIL.Image")
    except ImportError:
        return picture
    target = io.BytesIO()
    fewer = image.open(io.BytesIO(picture)).convert("RGB").quantize(255, image.Quantize.FASTOCTREE, dither=0)
    fewer.save(target, "png", optimize=True)
    return target.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=VIEWS, default=VIEWS, help="some views")
    parser.add_argument("--to", type=Path, default=PICTURES, metavar="DIR", help="where the pictures go")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="the store, kept and used again")
    arguments = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("no Chromium found; install one or name it in CHROMIUM")
    arguments.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        service = start_service(arguments.keep or Path(scratch) / "store")
        try:
            runs = trainings(service)
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])

            def keep(name: str, path: str, *how: Any) -> None:
                picture = smaller(take(browser, service.url + path.format(**runs), *how))
                (arguments.to / name).write_bytes(picture)
                sys.stdout.write(f"{name} {len(picture) / 1000:.0f} kB\n")

            for view in arguments.only:
                for theme in THEMES:
                    for word, (width, height) in SIZES.items():
                        keep(f"{view}-{theme}-{word}.png", VIEWS[view], theme, width, height)
            if "run" in arguments.only:
                keep("run.png", README, "light", 1280, 1000, False)
            browser.close()
        finally:
            service.stop()


if __name__ == "__main__":
    main()
