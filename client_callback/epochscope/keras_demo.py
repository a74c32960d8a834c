"""The demo: one command that starts the service, trains a real model on Fashion-MNIST and shows it learn.

``epochscope demo`` is all a newcomer types. The service runs as a process of its own, as it would for anybody; it
ends with this one, however that ends.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from epochscope.fashion_mnist import DataSetError, FashionMnist, load

START_S = 30.0  # for the service to answer, on a slow disk too
STORED_S = 60.0  # for the last of the training to be acknowledged

# The service ends when its standard input does, and that ends with us even if we are killed: the one way to learn
# of a parent's death that every system has.
_SERVICE = """
import os, signal, sys, threading
def watch():
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
from epochscope.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


class DemoError(Exception):
    """The demo can't go on; the message says why and what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything ``epochscope demo`` understands."""
    parser.add_argument("--epochs", type=_positive, default=5, help="how often to go through the data (default: 5)")
    parser.add_argument("--batch-size", type=_positive, default=64, help="pictures in a batch (default: 64)")
    parser.add_argument("--data", metavar="DIR", help="folder of the data set: Fashion-MNIST's four .gz files")
    parser.add_argument("--data-dir", metavar="DIR", help=f"folder of the store (default: {_default_data_dir()})")
    parser.add_argument("--port", type=int, default=7010, help="if it is taken, a free one (default: 7010)")
    parser.add_argument("--exit", action="store_true", help="end after the training instead of staying up")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")


def main(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 if the training was stored and the demo ended as it was asked to."""
    data_dir = Path(arguments.data_dir).expanduser().absolute() if arguments.data_dir else _default_data_dir()
    try:
        _check_keras()
        data = load(arguments.data)
        with _service(data_dir, _free_port(arguments.port), arguments.no_browser) as (url, service):
            print(f"{data.source}\nWatch it at {url} ; what is recorded lies in {data_dir}", flush=True)
            run = _train(data, arguments.epochs, arguments.batch_size, url, data_dir)
            _wait_until_stored(url, run, "finished")
            print(f"\nThe training is stored: {url}/runs/{run}", flush=True)
            if arguments.exit:
                print(f"The data lies in {data_dir}")
                return 0
            print(f"The page stays up until you press Ctrl-C; the data stays in {data_dir}", flush=True)
            raise DemoError(f"the service ended by itself with status {service.wait()}")
    except (DemoError, DataSetError) as error:
        print(f"epochscope: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nEnded. The data lies in {data_dir}; epochscope serve --data-dir {data_dir} shows it again")
        return 0


def _check_keras() -> None:
    # Looked up, not imported: that takes seconds, in which the page can already come up.
    missing = [name for name in ("keras", "tensorflow") if find_spec(name) is None]
    if "keras" in missing or (missing and os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow"):
        raise DemoError(
            f"the demo trains a model with Keras, and there is no {' and no '.join(missing)} here. Install it with\n"
            f"  {sys.executable} -m pip install 'epochscope[server,tensorflow]'"
        )


def _default_data_dir() -> Path:
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "epochscope" / "demo"


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with contextlib.closing(socket.socket()) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except (OSError, OverflowError) as error:
                if not isinstance(error, OSError):
                    raise DemoError(f"--port must lie between 0 and 65535, not {wanted}") from None
                print(f"Port {wanted} is taken; using a free one", flush=True)
                continue
            return int(trial.getsockname()[1])
    raise DemoError("no port of 127.0.0.1 is free")


@contextlib.contextmanager
def _service(data_dir: Path, port: int, no_browser: bool) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address and process of a service over ``data_dir`` that answers; stopped at the end."""
    command = ["serve", "--host", "127.0.0.1", "--port", str(port), "--data-dir", str(data_dir)]
    # The demo is what the arguments say, whatever is set for the service that somebody runs here for real.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EPOCHSCOPE_")}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603  our own program, its arguments never through a shell
            [sys.executable, "-c", _SERVICE, *command, *(["--no-browser"] if no_browser else [])],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C is for us: the service must still take the end of the training
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_up(process, url, said)
            yield url, process
        finally:
            process.terminate()
            if process.stdin:
                process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_up(process: subprocess.Popen[bytes], url: str, said: IO[bytes]) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError, ValueError):
            _get(f"{url}/api/v1/health")
            return
        time.sleep(0.1)
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()[-5:]
    what = "did not answer" if process.poll() is None else f"ended with status {process.returncode}"
    raise DemoError("\n  ".join([f"the service {what}. Its last words:", *(lines or ["(none)"])]))


def _train(data: FashionMnist, epochs: int, batch_size: int, url: str, data_dir: Path) -> str:
    """Train a small convolutional network with Monitor attached; the run's id."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with _hushed():
            import keras

            from epochscope.keras import Monitor
    except ImportError as error:
        raise DemoError(f"Keras can't be loaded here: {error}") from error
    keras.utils.set_random_seed(42)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(len(data.class_names), activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    # Updates that can't be sent at once wait beside the store, not among those of real trainings.
    monitor = Monitor(project="demo", class_names=data.class_names, url=url, spool_dir=data_dir / "unsent")
    try:
        model.fit(
            data.x_train[..., None],
            data.y_train,
            batch_size=batch_size,
            epochs=epochs,
            validation_data=(data.x_test[..., None], data.y_test),
            callbacks=[monitor],
        )
    except KeyboardInterrupt:
        monitor.set_model(model)  # as a next fit() would: that ends the run which this one leaves open
        if monitor.run_id:
            _wait_until_stored(url, monitor.run_id, "interrupted")
        raise
    if monitor.run_id is None:
        raise DemoError("nothing of the training was recorded; the lines above say why")
    return str(monitor.run_id)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    # TensorFlow writes notes on the processor past Python and past its own log level; they are not about the demo.
    sys.stderr.flush()
    before = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _wait_until_stored(url: str, run: str, status: str) -> None:
    # How a run ended is recorded after everything else of it, so that it says that all of it is there.
    until = time.monotonic() + STORED_S
    found = ""
    while found != status:
        if time.monotonic() > until:
            raise DemoError(
                f"{STORED_S:.0f} s after the training not all of it is stored: "
                f"the service calls the run {found or 'unknown'!r}, not {status!r}"
            )
        with contextlib.suppress(OSError, ValueError, KeyError):
            found = _get(f"{url}/api/v1/runs/{run}")["status"]
        time.sleep(0.1)


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  only ever http://127.0.0.1
        return json.load(answer)
