"""What can be known of a training without being told: model, optimizer, loss, what it runs on."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import re
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from epochscope.environment import bounded
from epochscope.keras_losses import known
from epochscope.keras_outputs import compiled_loss


def environment() -> dict[str, str]:
    """Versions of Keras and of what it computes with, and on which devices."""
    backend = str(keras.config.backend())
    found = {"keras": keras.__version__, "backend": backend, "devices": _devices(backend)}
    module = sys.modules.get(backend)
    version = getattr(module, "__version__", None)
    if version is None:
        try:
            version = importlib.metadata.version(backend)
        except importlib.metadata.PackageNotFoundError:
            return found
    return {**found, backend: str(version)}


def parameters(model: Any, epochs: int | None, steps: int | None, batch_size: int | None) -> dict[str, Any]:
    """Hyperparameters that the compiled model and ``fit`` tell of themselves."""
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of one that scales the loss for mixed precision
    found: dict[str, Any] = {
        "model": model.name,
        "optimizer": type(optimizer).__name__ if optimizer is not None else None,
        "learning_rate": _learning_rate(optimizer),
        "loss": _loss(compiled_loss(model)),
        "batch_size": batch_size,
        "epochs": epochs,
        "steps_per_epoch": steps,
        **sizes(model),
        **_settings("optimizer", optimizer),
        **_settings("learning_rate", getattr(optimizer, "_learning_rate", None)),
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


def sizes(model: Any) -> dict[str, Any]:
    """How large a model is; nothing as long as it is not built. A layer that trains itself has no layers in it."""
    found: dict[str, Any] = {}
    if model.built:
        for name, size in (("layers", lambda: len(model.layers)), ("parameters", lambda: model.count_params())):
            with contextlib.suppress(Exception):  # what is asked may be a model's own
                found[name] = size()
    return found


def shape_of(model: Any) -> dict[str, str]:
    """The text of ``model.summary()``; nothing as long as it is not built, nor where that fails."""
    lines: list[str] = []
    if not model.built:
        return {}
    try:
        model.summary(print_fn=lambda text, *_, **__: lines.append(str(text)))
    except Exception:  # a summary may be a model's own
        return {}
    return {"model_summary": bounded("\n".join(lines))}


def has_own_name(model: Any) -> bool:
    """Whether the model's name says more than what kind of model it is."""
    return re.fullmatch(r"(sequential|functional|model)(_\d+)?", str(model.name)) is None


def scalar(variable: Any) -> float:
    """The number in a variable of Keras, also in one that is spread over devices (and then knows no ``float``)."""
    return float(variable.numpy() if keras.config.backend() == "tensorflow" else variable)


def _settings(prefix: str, owner: Any) -> dict[str, Any]:
    """What an optimizer or a learning rate schedule was made with, but for what says nothing."""
    try:
        config = owner.get_config()
    except Exception:  # it has none, or one of its own that fails
        return {}
    return {
        f"{prefix}.{name}": _plain(value)
        for name, value in config.items()
        if name not in ("name", "learning_rate") and value not in (None, [], {}) and not isinstance(value, dict)
    }


def _plain(value: Any) -> Any:
    """The shortest decimals that are the same float32: 0.9, not 0.8999999761581421."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _devices(backend: str) -> str:
    """Names of the accelerators that Keras computes on, else of the processor."""
    try:
        names = {"tensorflow": _tensorflow_devices, "jax": _jax_devices, "torch": _torch_devices}[backend]()
    except Exception:  # each backend fails in ways of its own; then nothing is known
        names = []
    counted = {name: names.count(name) for name in names}
    return ", ".join(f"{count} x {name}" if count > 1 else name for name, count in counted.items()) or _processor()


def _tensorflow_devices() -> list[str]:
    config = sys.modules["tensorflow"].config
    devices = [device for device in config.list_physical_devices() if device.device_type != "CPU"]
    details = [config.experimental.get_device_details(device) for device in devices]
    return [str(detail.get("device_name", device.device_type)) for device, detail in zip(devices, details, strict=True)]


def _jax_devices() -> list[str]:
    return [str(device.device_kind) for device in sys.modules["jax"].devices() if device.platform != "cpu"]


def _torch_devices() -> list[str]:
    torch = sys.modules["torch"]
    if torch.cuda.is_available():
        return [str(torch.cuda.get_device_name(number)) for number in range(torch.cuda.device_count())]
    return ["Apple GPU"] if torch.backends.mps.is_available() else []


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _learning_rate(optimizer: Any) -> Any:
    rate = getattr(optimizer, "_learning_rate", None)
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return type(rate).__name__
    try:
        rate = scalar(optimizer.learning_rate)
    except (AttributeError, TypeError, ValueError):  # no optimizer
        return None
    return float(str(np.float32(rate)))  # the shortest decimals of this float32: 0.01, not 0.009999999776


def _loss(loss: Any) -> str:
    if isinstance(loss, dict):
        return ", ".join(f"{name}: {known(one).shown}" for name, one in loss.items())
    if isinstance(loss, list | tuple):
        return ", ".join(known(one).shown for one in loss)
    return known(loss).shown
