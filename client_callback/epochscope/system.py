"""How busy the machine is while a run goes on, and how fast the run is: a few numbers now and then.

Taken in a thread of its own, never in a training's. Uses psutil and NVML where they are installed (the extra
``system``), else what Linux tells in ``/proc``; what can't be told is left out.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from epochscope.recording import Recording

SAMPLE_S = 10.0
FIRST_S = 1.0  # between the first two looks, then 2, 4, 8 s, so that a short run has some numbers, too


class Pace:
    """Training so far: the step, samples seen, and the seconds they took; validation takes none of them."""

    def __init__(self) -> None:
        self.step = 0
        self._samples = 0.0
        self._seconds = 0.0
        self._since: float | None = None
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Training starts, or goes on."""
        self._since = time.monotonic()

    def rest(self) -> None:
        """Something else than training comes now."""
        self._since = None

    def add(self, step: int, samples: float) -> None:
        """``samples`` have been trained on since the last call; the last batch was ``step``."""
        now = time.monotonic()
        with self._lock:
            self.step = max(self.step, step)
            if self._since is not None:
                self._samples += samples
                self._seconds += now - self._since
        self._since = now

    def rate(self) -> float | None:
        """Samples a second since the last question; None if there was no training."""
        with self._lock:
            samples, seconds, self._samples, self._seconds = self._samples, self._seconds, 0.0, 0.0
        return samples / seconds if samples and seconds else None


class Watch:
    """Records ``system/...`` of one run, by training step, until ``stop()``.

    Percentages from 0 to 100: ``system/cpu`` of all processors and ``system/memory`` of the machine's memory,
    ``system/gpu`` and ``system/gpu_memory`` as the mean over its NVIDIA GPUs. ``system/samples_per_second`` is the
    training's own speed, without validation; ``system/seconds`` is how long the process has been at it, all included:
    what places a step in time.

    Args:
        first: done in the same thread before anything else.
    """

    def __init__(self, recording: Recording, pace: Pace, first: Callable[[], None]) -> None:
        self._recording = recording
        self._pace = pace
        self._first = first
        self._told = pace.step  # of a run that goes on, this is told already
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="epochscope-system", daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread can be started: as in ``_work``
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _work(self) -> None:
        with contextlib.suppress(Exception):  # a run without these numbers is a run, too
            self._first()
            # Imports wait until the run has lasted: in a process that a Ctrl-C is about to end, one in a thread
            # would make Python forget that it was a Ctrl-C.
            if self._stop.wait(FIRST_S):
                return
            gauges = [*_processor_gauges(), *_gpu_gauges()]
            pause, told = FIRST_S, self._told
            while not self._stop.wait(min(pause, SAMPLE_S)):
                pause *= 2
                values = {name: value for gauge in gauges for name, value in gauge().items()}
                step, rate = self._pace.step, self._pace.rate()
                if step <= told:
                    continue
                told = step
                values["seconds"] = time.monotonic() - self._began
                if rate is not None:
                    values["samples_per_second"] = rate
                for name, value in values.items():
                    self._recording.values(f"system/{name}", "train", "batch", [step], [value])


Gauge = Callable[[], dict[str, float]]


def _processor_gauges() -> list[Gauge]:
    psutil = _module("psutil")
    if psutil is not None:
        psutil.cpu_percent()  # the first call says nothing: it starts the clock
        return [lambda: {"cpu": float(psutil.cpu_percent()), "memory": float(psutil.virtual_memory().percent)}]
    return [_ProcCpu(), _proc_memory] if Path("/proc/stat").exists() and Path("/proc/meminfo").exists() else []


class _ProcCpu:
    """Busy time of all processors between two calls, from /proc/stat."""

    def __init__(self) -> None:
        self._last = self._read()

    def __call__(self) -> dict[str, float]:
        last, self._last = self._last, self._read()
        total, idle = (now - before for now, before in zip(self._last, last, strict=True))
        return {"cpu": 100 * (1 - idle / total)} if total > 0 else {}

    @staticmethod
    def _read() -> tuple[int, int]:
        with Path("/proc/stat").open() as stat:
            times = [int(field) for field in stat.readline().split()[1:9]]  # guest time is in user time already
        return sum(times), times[3] + times[4]


def _proc_memory() -> dict[str, float]:
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kib = {line[0].rstrip(":"): int(line[1]) for line in lines}
    return {"memory": 100 * (1 - kib["MemAvailable"] / kib["MemTotal"])}


def _gpu_gauges() -> list[Gauge]:
    nvml = _module("pynvml")
    if nvml is None:
        return []
    try:
        nvml.nvmlInit()
        gpus = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    except Exception:  # no driver, no GPU: NVML has errors of its own for each
        return []
    if not gpus:
        return []

    def gauge() -> dict[str, float]:
        found: dict[str, list[float]] = {"gpu": [], "gpu_memory": []}
        for gpu in gpus:
            with contextlib.suppress(Exception):  # some GPUs, and parts of them, don't tell
                memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
                found["gpu_memory"].append(100 * memory.used / memory.total)
                found["gpu"].append(float(nvml.nvmlDeviceGetUtilizationRates(gpu).gpu))
        return {name: sum(values) / len(values) for name, values in found.items() if values}

    return [gauge]


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception:  # not installed, or broken: both are no reason to say anything
        return None
