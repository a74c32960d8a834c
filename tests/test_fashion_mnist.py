"""The data set: which of its four sources is taken, how bad files are answered, that the subset is real."""

from __future__ import annotations

import gzip
import shutil
import socket
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from epochscope import fashion_mnist
from epochscope.fashion_mnist import FILES, SUBSET, DataSetError, load, read_idx

FULL = Path("/usr/share/datasets/fashion-mnist")
needs_the_full_set = pytest.mark.skipif(
    not (FULL / FILES[0]).exists(), reason="Debian's dataset-fashion-mnist is not installed"
)


def a_keras_that(answer: object) -> dict[str, ModuleType]:
    """Modules that stand in for Keras: ``load_data`` returns ``answer``, or raises it."""

    def load_data() -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    keras, datasets, module = ModuleType("keras"), ModuleType("keras.datasets"), ModuleType("fashion_mnist")
    module.load_data = load_data  # type: ignore[attr-defined]
    datasets.fashion_mnist = module  # type: ignore[attr-defined]
    return {"keras": keras, "keras.datasets": datasets}


def given_keras(monkeypatch: pytest.MonkeyPatch, answer: object) -> None:
    for name, module in a_keras_that(answer).items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good folder of the four files, to be damaged."""
    for name in FILES:
        shutil.copy(SUBSET / name, tmp_path)
    return tmp_path


def write_idx(path: Path, header: bytes, content: bytes) -> None:
    path.write_bytes(gzip.compress(header + content))


def header_of(*shape: int) -> bytes:
    return bytes((0, 0, 8, len(shape))) + np.array(shape, ">u4").tobytes()


def test_the_given_folder_comes_before_every_other_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "DEBIAN", SUBSET)
    assert load(folder).source == f"Fashion-MNIST from {folder}"
    assert load(str(folder)).is_subset


@needs_the_full_set
def test_debians_folder_holds_the_whole_set() -> None:
    data = load()
    assert data.source == f"Fashion-MNIST from {FULL}"
    assert not data.is_subset
    assert data.x_train.shape == (60_000, 28, 28)
    assert data.x_test.shape == (10_000, 28, 28)
    assert np.bincount(data.y_train).tolist() == [6_000] * 10
    assert np.bincount(data.y_test).tolist() == [1_000] * 10


def test_keras_is_asked_where_debians_folder_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "DEBIAN", Path("/nowhere"))
    subset = load(SUBSET)
    given_keras(monkeypatch, ((subset.x_train, subset.y_train), (subset.x_test, subset.y_test)))
    assert load().source == "Fashion-MNIST from Keras's own loader"


@pytest.mark.parametrize("failure", [OSError("no route\nto the host"), EOFError(), ValueError("odd")], ids=repr)
def test_the_subset_comes_last_and_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    monkeypatch.setattr(fashion_mnist, "DEBIAN", Path("/nowhere"))
    given_keras(monkeypatch, failure)
    data = load()
    assert data.is_subset
    assert len(data.y_train) == 6_000
    assert "small real subset" in data.source
    assert "there is no /nowhere" in data.source
    assert f"({str(failure).partition(chr(10))[0] or 'EOFError'})" in data.source
    assert "--data" in data.source
    assert "\n" not in data.source


def test_the_subset_is_taken_without_keras_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "DEBIAN", Path("/nowhere"))
    monkeypatch.setitem(sys.modules, "keras", None)
    assert load().is_subset


def test_a_damaged_file_of_debian_is_named_when_the_subset_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / FILES[1]).write_bytes(b"no gzip at all")
    monkeypatch.setattr(fashion_mnist, "DEBIAN", folder)
    monkeypatch.setitem(sys.modules, "keras", None)
    assert str(folder / FILES[1]) in load().source


def test_a_wrong_answer_of_keras_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "DEBIAN", Path("/nowhere"))
    subset = load(SUBSET)
    given_keras(monkeypatch, ((subset.x_train, subset.y_train[:-1]), (subset.x_test, subset.y_test)))
    assert load().is_subset


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DataSetError, match=f"lacks {name};"):
        load(folder)


def test_a_folder_that_is_not_there_says_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"nowhere lacks train-images.* is the four files"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not an idx file"),
        (b"no gzip at all", "can't be read"),
        (gzip.compress(b"hello, world"), "not an idx file"),
        (gzip.compress(bytes((0, 0, 13, 3)) + bytes(12)), "not an idx file of unsigned bytes"),
        (gzip.compress(header_of(5, 28, 28)[:9]), "cut off within its header"),
        (gzip.compress(header_of(5, 28, 28) + bytes(100)), "3,920 bytes, but 100 follow"),
        (gzip.compress(header_of(1, 28, 28) + bytes(785)), "784 bytes, but 785 follow"),
        (gzip.compress(header_of(5, 28, 28) + bytes(3920))[:-20], "can't be read"),
    ],
    ids=["empty", "not packed", "not idx", "floats", "half a header", "too short", "too long", "half a file"],
)
def test_a_damaged_file_is_answered_with_a_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(content)
    with pytest.raises(DataSetError, match=says) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape", "fill", "says"),
    [
        (FILES[0], (5, 20, 28), 0, "not pictures of 28 x 28"),
        (FILES[2], (0, 28, 28), 0, "not pictures of 28 x 28"),
        (FILES[1], (7,), 0, r"6,000 pictures, but its labels are \(7,\)"),
        (FILES[3], (1_500,), 10, "labels up to 10, but the classes are 0 to 9"),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(
    folder: Path, name: str, shape: tuple[int, ...], fill: int, says: str
) -> None:
    write_idx(folder / name, header_of(*shape), bytes([fill]) * int(np.prod(shape)))
    with pytest.raises(DataSetError, match=says):
        load(folder)


def test_no_wait_without_end_is_left_behind_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "DEBIAN", Path("/nowhere"))
    during: list[float | None] = []

    def load_data() -> None:
        during.append(socket.getdefaulttimeout())
        raise OSError("no route")

    modules = a_keras_that(None)
    modules["keras.datasets"].fashion_mnist.load_data = load_data
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    before = socket.getdefaulttimeout()
    load()
    assert during == [5.0]
    assert socket.getdefaulttimeout() == before


def test_the_subset_is_small_even_over_the_classes_and_licensed() -> None:
    subset = load(SUBSET)
    assert np.bincount(subset.y_train).tolist() == [600] * 10
    assert np.bincount(subset.y_test).tolist() == [150] * 10
    assert sum(path.stat().st_size for path in SUBSET.iterdir()) <= 4 * 1024 * 1024
    assert "Copyright (c) 2017 Zalando SE" in (SUBSET / "LICENSE").read_text()


@pytest.mark.slow
@needs_the_full_set
@pytest.mark.parametrize("part", ["train", "test"])
def test_every_picture_of_the_subset_is_in_the_full_set_in_the_same_order(part: str) -> None:
    full, subset = load(FULL), load(SUBSET)
    whole = [
        (image.tobytes(), int(label))
        for image, label in zip(getattr(full, f"x_{part}"), getattr(full, f"y_{part}"), strict=True)
    ]
    rest = iter(whole)  # `in` consumes it, so each must be found after the one before
    for image, label in zip(getattr(subset, f"x_{part}"), getattr(subset, f"y_{part}"), strict=True):
        assert (image.tobytes(), int(label)) in rest
