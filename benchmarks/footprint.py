"""What Monitor costs beside time: memory of the training process, early and late, and how often a step is traced.

    python benchmarks/footprint.py                     # some minutes
    python benchmarks/footprint.py --late 200000       # looks once more after so many batches

Each variant trains the same small model in a process of its own, with no service there to take the updates, so that
they pile up as far as they may. The memory is the process's own (resident, in MiB) less that of the bare variant.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

EARLY = 2_000  # batches: by then everything is loaded and compiled

_TRAINING = """
import json, sys, tempfile
import keras, numpy as np, psutil
variant, early, late, per_execution = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
layers, traced, told = keras.layers, [], {}
class Traced(keras.Sequential):
    def train_step(self, *arguments):
        traced.append(1)
        return super().train_step(*arguments)
class Look(keras.callbacks.Callback):
    step = 0
    def on_train_batch_end(self, batch, logs=None):
        self.step += per_execution
        if self.step in (early, late):
            told[self.step] = psutil.Process().memory_info().rss
model = Traced([keras.Input((784,)), layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], steps_per_execution=per_execution)
x, y = np.random.rand(32_000, 784).astype("float32"), np.random.randint(0, 10, 32_000)
callbacks = [Look()]
if variant == "Monitor":
    from epochscope.keras import Monitor
    callbacks.append(Monitor(url="http://127.0.0.1:9", spool_dir=tempfile.mkdtemp()))
model.fit(x, y, batch_size=32, epochs=late // 1000, verbose=0, callbacks=callbacks)
print(json.dumps({"traced": len(traced), "early": told[early], "late": told[late]}))
"""


def trained(variant: str, late: int, per_execution: int) -> dict[str, int]:
    """Bytes resident after EARLY and after ``late`` batches, and how often the step was traced."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "XDG_STATE_HOME": folder}
        command = [sys.executable, "-c", _TRAINING, variant, str(EARLY), str(late), str(per_execution)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    told: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--late", type=int, default=40_000, help="batches before the second look (default: 40,000)")
    late: int = parser.parse_args().late
    print(f"| steps an execution | MiB after {EARLY:,} batches | after {late:,} | traced bare | with Monitor |")
    print("| --- | --- | --- | --- | --- |")
    for per_execution in (1, 50):
        each: dict[str, Any] = {name: trained(name, late, per_execution) for name in ("bare", "Monitor")}
        more = [(each["Monitor"][when] - each["bare"][when]) / 2**20 for when in ("early", "late")]
        traced = f"{each['bare']['traced']} | {each['Monitor']['traced']}"
        print(f"| {per_execution} | {more[0]:+.1f} | {more[1]:+.1f} | {traced} |", flush=True)


if __name__ == "__main__":
    main()
