"""Monitor in several processes of one training: the first records, the others say so and do nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from epochscope import wire
from listener import Listener, free_port, lines

pytestmark = pytest.mark.keras

# What each process runs: HEAD, how it comes to know the other, then TRAINS. It prints its threads in the last epoch,
# whether there is a spool, the id of its run and how many epochs there were.
HEAD = """
import contextlib, json, os
scope = contextlib.nullcontext()

def train(model, x, y, callbacks):
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=callbacks)
    model.evaluate(x, y, verbose=0, callbacks=callbacks)
"""
TRAINS = """
import threading
import keras
import numpy as np
from epochscope.keras import Monitor

x = np.random.default_rng(int(os.environ["PLACE"])).normal(size=(32, 4)).astype("float32")
y = np.arange(32) % 3
with scope:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])

class Looks(keras.callbacks.Callback):
    epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1
        self.threads = sorted(thread.name for thread in threading.enumerate() if "epochscope" in thread.name)

monitor, looks = Monitor(), Looks()
train(model, x, y, [monitor, looks])
print(json.dumps([looks.threads, os.path.exists(os.environ["EPOCHSCOPE_SPOOL_DIR"]), monitor.run_id, looks.epochs]))
"""
# Keras's own fit fails with two workers (3.15), so the callbacks are called by a loop.
MULTI_WORKER = """
import tensorflow as tf
scope = tf.distribute.MultiWorkerMirroredStrategy().scope()

def train(model, x, y, callbacks):
    from keras.callbacks import CallbackList
    callbacks = CallbackList(callbacks, model=model, epochs=2, steps=1)
    callbacks.on_train_begin()
    for epoch in range(2):
        callbacks.on_epoch_begin(epoch)
        callbacks.on_train_batch_begin(0)
        callbacks.on_train_batch_end(0, {"loss": 1.0})
        callbacks.on_epoch_end(epoch, {"loss": 1.0})
    callbacks.on_train_end()
    callbacks.on_test_begin()
    callbacks.on_test_end()
"""
JAX = (
    "import jax\njax.distributed.initialize(f\"127.0.0.1:{os.environ['PORT']}\", 2, int(os.environ['PLACE']))\n"
    "jax.config.update('jax_default_device', jax.local_devices()[0])\n"
)
TORCH = (
    "import torch.distributed as group\ngroup.init_process_group('gloo', rank=int(os.environ['PLACE']), world_size=2,"
    " init_method=f\"tcp://127.0.0.1:{os.environ['PORT']}\")\n"
)


def both(start: str, url: str, folder: Path, **environment: list[str]) -> list[tuple[Any, Sequence[str]]]:
    """Two processes at once; of each what it printed, and what epochscope said. A variable has two values."""
    port = str(free_port())
    processes = []
    for place in range(2):
        own = {"PLACE": str(place), "PORT": port, "EPOCHSCOPE_SPOOL_DIR": str(folder / f"spool{place}")}
        own |= {"EPOCHSCOPE_URL": url, **{name: values[place] for name, values in environment.items()}}
        command = [sys.executable, "-c", HEAD + start + TRAINS]
        more = {**os.environ, **own, "TF_CPP_MIN_LOG_LEVEL": "3"}
        processes.append(subprocess.Popen(command, env=more, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    found: list[tuple[Any, Sequence[str]]] = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=150)
            assert process.returncode == 0, err
            found.append((json.loads(out.splitlines()[-1]), lines(err)))
    finally:
        for process in processes:  # one that waits for another that has failed
            process.kill()
            process.communicate()
    return found


def cluster() -> list[str]:
    workers = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    return [json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": each}}) for each in (0, 1)]


def needs(backend: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(backend) is None, reason=f"there is no {backend} here")


CASES = [
    pytest.param("", {"RANK": ["0", "1"], "WORLD_SIZE": ["2", "2"]}, "RANK", id="torchrun's variables"),
    pytest.param(MULTI_WORKER, {"TF_CONFIG": cluster}, "its tf.distribute strategy", id="MultiWorkerMirroredStrategy"),
    pytest.param(JAX, {"KERAS_BACKEND": ["jax"] * 2}, "jax.process_index()", id="jax", marks=needs("jax")),
    pytest.param(TORCH, {"KERAS_BACKEND": ["torch"] * 2}, "torch.distributed", id="torch", marks=needs("torch")),
]


@pytest.mark.parametrize(("start", "environment", "told_by"), CASES)
def test_of_two_processes_the_first_records_and_the_other_does_nothing(
    start: str, environment: dict[str, object], told_by: str, listener: Listener, tmp_path: Path
) -> None:
    given = {name: values() if callable(values) else values for name, values in environment.items()}
    first, second = both(start, listener.url, tmp_path, **given)  # type: ignore[arg-type]
    (threads, spool, run, epochs), said = second
    assert (threads, spool, run, epochs) == ([], False, None, 2)
    assert said[0].startswith(f"this is process 1 of 2 ({told_by}): process 0 records the training")
    assert len(said) == 1
    (threads, _, run, epochs), said = first
    assert "epochscope" in threads
    assert (listener.runs, epochs) == ([run], 2)
    assert said[0] == f"this is process 0 of 2 ({told_by}): it records the training, the others do not"
    assert [end.status for end in listener.ends()] == ["finished", "finished"]
    assert wire.End("finished") in listener.ends()
