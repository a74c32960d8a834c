"""The system series of a run: how busy the machine is and how fast the training, now and then."""

from __future__ import annotations

import sys
import threading
import time
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from epochscope import Run, system
from listener import Listener, until


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "FIRST_S", 0.05)
    monkeypatch.setattr(system, "SAMPLE_S", 0.05)


def train(listener: Listener, seconds: float = 0.5) -> Run:
    """Batches of 8 samples, 100 of them a second at most."""
    run = Run(url=listener.url, num_classes=2)
    until_s = time.monotonic() + seconds
    step = 0
    while time.monotonic() < until_s:
        step += 1
        run.confusion(step, np.zeros(8, int), np.zeros(8, int))
        time.sleep(0.01)
    run.finish()
    return run


def system_keys(listener: Listener) -> set[str]:
    return {key for key in listener.keys("train", "batch") if key.startswith("system/")}


@pytest.mark.parametrize("by", ["psutil", "/proc"])
def test_processor_memory_and_speed_are_recorded_by_training_step(
    by: str, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "psutil":
        pytest.importorskip("psutil")
    elif sys.platform == "linux":
        monkeypatch.setitem(sys.modules, "psutil", None)
    else:
        pytest.skip("there is no /proc")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    train(listener)
    assert system_keys(listener) == {"system/cpu", "system/memory", "system/samples_per_second", "system/seconds"}
    for key in ("system/cpu", "system/memory"):
        steps, values = listener.series(key)
        assert steps == sorted(set(steps))
        assert steps[0] >= 1
        assert all(0 <= value <= 100 for value in values)
    assert min(listener.series("system/memory")[1]) > 0
    clock = listener.series("system/seconds")[1]
    assert 0 < clock[0] <= 60
    assert clock == sorted(clock)
    assert 80 < np.median(listener.series("system/samples_per_second")[1]) <= 800


def test_of_a_training_that_stands_still_nothing_is_recorded_twice(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "FIRST_S", 0.5)  # the steps come before it, also where the machine is busy
    run = Run(url=listener.url)
    for step in (1, 2, 3):
        run.log(step, loss=0.5)
    until(lambda: listener.runs and listener.series("system/memory")[0])
    time.sleep(0.3)
    run.finish()
    assert listener.series("system/memory")[0] == [3]


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_what_proc_says_of_processors_and_memory_is_what_psutil_says() -> None:
    psutil = pytest.importorskip("psutil")

    def times() -> tuple[float, float]:
        now = psutil.cpu_times()
        return sum(now[:8]), now.idle + now.iowait

    for work in (False, True):
        gauge, before = system._ProcCpu(), times()
        until_s = time.monotonic() + 0.5
        while time.monotonic() < until_s:
            if not work:
                time.sleep(0.1)
        told, after = gauge()["cpu"], times()
        assert told == pytest.approx(100 * (1 - (after[1] - before[1]) / (after[0] - before[0])), abs=10)
    assert system._proc_memory()["memory"] == pytest.approx(psutil.virtual_memory().percent, abs=2)


def fake_nvml(utilizations: list[int | None]) -> Any:
    """NVML of a machine with so many GPUs; one of None tells nothing."""

    class Told:
        def __init__(self, **values: int) -> None:
            vars(self).update(values)

    def utilization(gpu: int) -> Told:
        value = utilizations[gpu]
        if value is None:
            raise RuntimeError("Not Supported")
        return Told(gpu=value)

    nvml: Any = ModuleType("pynvml")
    nvml.nvmlInit = lambda: None
    nvml.nvmlDeviceGetCount = lambda: len(utilizations)
    nvml.nvmlDeviceGetHandleByIndex = lambda index: index
    nvml.nvmlDeviceGetMemoryInfo = lambda gpu: Told(used=1 + gpu, total=4)
    nvml.nvmlDeviceGetUtilizationRates = utilization
    return nvml


@pytest.mark.parametrize(
    ("utilizations", "gpu", "memory"), [([40], 40.0, 25.0), ([40, 60], 50.0, 37.5), ([40, None], 40.0, 37.5)]
)
def test_the_load_of_gpus_is_the_mean_of_those_that_tell(
    utilizations: list[int | None], gpu: float, memory: float, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(utilizations))
    train(listener)
    assert set(listener.series("system/gpu")[1]) == {gpu}
    assert set(listener.series("system/gpu_memory")[1]) == {memory}


def test_without_a_driver_there_is_no_gpu_and_the_rest_is_recorded(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = fake_nvml([1])
    nvml.nvmlInit = lambda: 1 / 0
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    train(listener)
    assert "system/gpu" not in system_keys(listener)
    assert "system/samples_per_second" in system_keys(listener)


def test_the_thread_ends_with_the_run(listener: Listener) -> None:
    train(listener, 0.1)
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "epochscope-system"])


def test_validation_takes_no_time_from_the_speed_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pace = system.Pace()
    assert pace.rate() is None
    pace.begin()
    for step in (1, 2):
        now[0] += 0.5
        pace.add(step, 32)
    pace.rest()
    now[0] += 60  # validation
    pace.begin()
    now[0] += 1.0
    pace.add(3, 32)
    assert pace.rate() == pytest.approx(3 * 32 / 2)
    assert pace.rate() is None
    pace.rest()
    now[0] += 60  # validation in a loop that does not say when training goes on: the next batch starts the clock
    for step in (4, 5):
        now[0] += 1.0
        pace.add(step, 32)
    assert pace.rate() == pytest.approx(32)
    assert pace.step == 5
