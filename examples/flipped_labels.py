"""Three trainings that differ by their seed; in the last, one class is labelled as another for 200 batches. Which?

Start the service in one terminal and train in another:

    epochscope serve
    python examples/flipped_labels.py
    python examples/flipped_labels.py --true sneaker --labelled "ankle boot"

Nobody tells the service what was done. docs/stability.md reads what it finds.
"""

import argparse
import json
import os
import urllib.request
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from epochscope.fashion_mnist import load
from epochscope.keras import Monitor

BATCH, EPOCHS = 64, 4
FAULT_EPOCH, FIRST, LAST = 3, 101, 300  # batches of that epoch, both included

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--true", default="bag", help="the class whose labels are wrong for a while")
parser.add_argument("--labelled", default="dress", help="what it is labelled as")
parser.add_argument("--samples", type=int, default=30_000, help="pictures to train on, at most")
parser.add_argument("--data", help="folder of the four idx.gz files, if they lie in no usual place")
parser.add_argument("--url", default=os.environ.get("EPOCHSCOPE_URL", "http://127.0.0.1:7010"))
chosen = parser.parse_args()

data = load(chosen.data)
pictures, labels = data.x_train[: chosen.samples, ..., None], data.y_train[: chosen.samples]
STEPS = len(labels) // BATCH  # of an epoch
print(data.source)


def batches(seed: int, *, faulty: bool) -> Iterator[tuple[Any, Any]]:
    """All batches of all epochs, each epoch in a new order; in the faulty training some labels are wrong on the way."""
    random = np.random.default_rng(seed)
    for epoch in range(1, EPOCHS + 1):
        order = random.permutation(len(labels))
        for batch in range(1, STEPS + 1):
            rows = order[(batch - 1) * BATCH : batch * BATCH]
            told = labels[rows].copy()
            if faulty and epoch == FAULT_EPOCH and FIRST <= batch <= LAST:
                told[told == data.class_names.index(chosen.true)] = data.class_names.index(chosen.labelled)
            yield pictures[rows], told


def train(seed: int, *, faulty: bool) -> str:
    """The id of the run."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", loss="sparse_categorical_crossentropy")
    monitor = Monitor("flipped labels", f"seed {seed}", class_names=data.class_names, group="seeds", url=chosen.url)
    model.fit(
        batches(seed, faulty=faulty),
        steps_per_epoch=STEPS,
        epochs=EPOCHS,
        shuffle=False,
        callbacks=[monitor],
        verbose=0,
    )
    return str(monitor.run_id)


def rate(one: dict[str, Any]) -> str:
    return f"{one['value']:.2f} [{one['low']:.2f} {one['high']:.2f}]"


def tell(one: dict[str, Any]) -> None:
    """What was found of a class that fell."""
    print(f"  {one['class_name']}: fell by {100 * one['certified_drop']['value']:.0f} points surely")
    for change in one["changes"]:
        if change["kind"] == "learning":
            continue
        when = f"{change['from']} to {change['to'] - 1}" + ", not seen in between" * change["unseen"]
        print(f"    {change['kind']}, steps {when}: {rate(change['before'])} -> {rate(change['after'])}")
        print(f"      {'no longer ' * (change['kind'] == 'recovery')}taken for {change['taken_for']}")
        for mix in change["mix"]["shifted"]:
            print(f"      {mix['class_name']}: {mix['before']:.0%} of the samples before, {mix['after']:.0%} after")


for seed in (1, 2, 3):
    faulty = seed == 3
    run = train(seed, faulty=faulty)
    with urllib.request.urlopen(f"{chosen.url}/api/v1/runs/{run}/stability") as answer:  # noqa: S310
        found = json.load(answer)["classes"]
    first = (FAULT_EPOCH - 1) * STEPS
    what = f": every {chosen.true} is labelled {chosen.labelled} in steps {first + FIRST} to {first + LAST}"
    print(f"\nSeed {seed}{what if faulty else ''}")
    fell = [
        one
        for one in found
        if one["certified_drop"]["value"] > 0 or any(change["kind"] == "drop" for change in one["changes"])
    ]
    for one in sorted(fell, key=lambda one: -one["certified_drop"]["value"]):
        tell(one)
    print(f"  {len(found) - len(fell)} of {len(found)} classes did not fall\n  {chosen.url}/runs/{run}")
