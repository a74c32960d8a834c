"""What the service keeps of a training, from one real script in a real repository: everything it was, and no secret."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from stage import Service, start_service

pytestmark = [pytest.mark.keras, pytest.mark.slow]

SECRETS = ("on-the-command-line", "in-the-environment", "of-the-service")
BATCHES, EPOCHS = 6, 2  # 90 samples in batches of 16

SCRIPT = """
import time
import keras
import numpy as np
from epochscope import system
from epochscope.keras import Monitor

system.FIRST_S = system.SAMPLE_S = 0.3
keras.utils.set_random_seed(1)
x, y = np.random.default_rng(1).normal(size=(90, 4)).astype("float32"), np.arange(90) % 3
hidden = keras.layers.Dense(5, activation="relu", name="hidden")
model = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(3, activation="softmax")], name="of_three")
schedule = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.5)
model.compile(keras.optimizers.Adam(schedule, beta_1=0.8), "sparse_categorical_crossentropy", metrics=["accuracy"])

class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.15)

monitor = Monitor(project="told", class_names=["cat", "dog", "eel"])
model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[Slow(), monitor])
print(monitor.run_id)
"""

NVML = """
class Told:
    used, total, gpu = 30, 40, 55

nvmlInit = lambda: None
nvmlDeviceGetCount = lambda: 1
nvmlDeviceGetHandleByIndex = nvmlDeviceGetMemoryInfo = nvmlDeviceGetUtilizationRates = lambda gpu: Told()
"""


class Kept(NamedTuple):
    run: dict[str, Any]
    series: dict[str, dict[str, Any]]
    command: list[str]
    commit: str
    everything: bytes  # that the service and the script have written


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@x", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    code, store, gpus, spool = (tmp_path_factory.mktemp(name) for name in ("code", "store", "gpus", "spool"))
    (code / "train.py").write_text(SCRIPT)
    (gpus / "pynvml.py").write_text(NVML)
    git(code, "init", "-q")
    git(code, "add", ".")
    git(code, "commit", "-q", "-m", "first")
    (code / "train.py").write_text(SCRIPT + "# changed\n")
    service: Service = start_service(store)
    command = ["train.py", "--lr", "0.1", "--api-key", SECRETS[0]]
    path = os.pathsep.join([str(gpus), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    given = {
        "MY_SETTING": SECRETS[1],
        "EPOCHSCOPE_TOKEN": SECRETS[2],
        "EPOCHSCOPE_URL": service.url,
        "PYTHONPATH": path,
    }
    environment = {**os.environ, **given, "EPOCHSCOPE_SPOOL_DIR": str(spool), "KERAS_BACKEND": "tensorflow"}
    try:
        done = subprocess.run(
            [sys.executable, *command], cwd=code, env=environment, check=True, capture_output=True, text=True
        )
        run_id = done.stdout.split()[-1]
        run = service.get(f"/runs/{run_id}")
        found = service.get(f"/runs/{run_id}/series", split="train", by="batch", points=1000)["series"]
    finally:
        service.stop()
    files = [path for folder in (store, spool) for path in folder.rglob("*") if path.is_file()]
    everything = b"".join(path.read_bytes() for path in files) + done.stderr.encode()
    return Kept(run, {one["key"]: one for one in found}, command, git(code, "rev-parse", "HEAD"), everything)


def test_optimizer_schedule_sizes_and_plan_are_kept(kept: Kept) -> None:
    params = kept.run["params"]
    assert (params["model"], params["optimizer"], params["loss"]) == (
        "of_three", "Adam", "sparse_categorical_crossentropy",
    )  # fmt: skip
    assert (params["optimizer.beta_1"], params["optimizer.beta_2"]) == (0.8, 0.999)
    assert params["learning_rate"] == "ExponentialDecay"
    assert (params["learning_rate.initial_learning_rate"], params["learning_rate.decay_rate"]) == (0.1, 0.5)
    assert (params["batch_size"], params["epochs"], params["steps_per_epoch"]) == (16, EPOCHS, BATCHES)
    assert (params["layers"], params["parameters"]) == (2, 4 * 5 + 5 + 5 * 3 + 3)
    assert (kept.run["epochs"], kept.run["batches_per_epoch"], kept.run["status"]) == (EPOCHS, BATCHES, "finished")
    assert "hidden (Dense)" in kept.run["environment"]["model_summary"]


def test_versions_devices_host_and_code_are_kept(kept: Kept) -> None:
    import keras
    import tensorflow as tf

    told = kept.run["environment"]
    assert (told["python"], told["numpy"]) == (platform.python_version(), np.__version__)
    assert (told["keras"], told["backend"], told["tensorflow"]) == (keras.__version__, "tensorflow", tf.__version__)
    assert (told["hostname"], told["platform"]) == (platform.node(), platform.platform())
    assert told["devices"]
    assert (told["git_commit"], told["git_dirty"]) == (kept.commit, "yes")


def test_the_command_line_is_kept_without_its_secret(kept: Kept) -> None:
    assert shlex.split(kept.run["environment"]["command"]) == [*kept.command[:-1], "***"]


def test_the_learning_rate_of_each_step_is_kept(kept: Kept) -> None:
    rate = kept.series["learning_rate"]
    assert rate["step"] == list(range(1, EPOCHS * BATCHES + 1))
    np.testing.assert_allclose(rate["value"], 0.1 * 0.5 ** np.arange(EPOCHS * BATCHES), rtol=1e-5)


def test_processor_memory_gpu_and_speed_are_kept_by_step(kept: Kept) -> None:
    for key, least, most in (("cpu", 0, 100), ("memory", 0, 100), ("samples_per_second", 1, 16 / 0.15)):
        load = kept.series[f"system/{key}"]
        assert set(load["step"]) <= set(range(1, EPOCHS * BATCHES + 1))
        assert all(least <= value <= most for value in load["value"]), load
    assert set(kept.series["system/gpu"]["value"]) == {55.0}
    assert set(kept.series["system/gpu_memory"]["value"]) == {75.0}


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_and_no_environment_variable_is_kept(secret: str, kept: Kept) -> None:
    assert b"ExponentialDecay" in kept.everything  # what is kept can be read here
    assert secret.encode() not in kept.everything
