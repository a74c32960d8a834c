"""Fashion-MNIST, wherever it can be had: real pictures of clothes for the demo, the examples and the tests.

``load`` looks, in this order, in the folder it is given, in the folder of Debian's package
``dataset-fashion-mnist``, in Keras's own cache or download, and last in the small real subset that lies in
this package, and says in one line where the pictures came from.
"""

from __future__ import annotations

import gzip
import math
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLASS_NAMES = (
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
SUBSET = Path(__file__).parent / "fashion_mnist_subset"

_UNSIGNED_BYTES = 0x08  # the only element type this data set uses
_PATIENCE_S = 5.0  # for one answer of a server; offline must not mean waiting

Bytes = NDArray[np.uint8]
Pair = tuple[Bytes, Bytes]


class DataSetError(ValueError):
    """The four files can't be read; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class FashionMnist:
    """The pictures ``x_*``, uint8 [n, 28, 28], 0 for background, and their classes ``y_*``, uint8 [n].

    A class is an index into ``class_names``. ``source`` is one line for a person; ``is_subset`` says that
    these are not all 60,000 + 10,000 pictures.
    """

    x_train: Bytes
    y_train: Bytes
    x_test: Bytes
    y_test: Bytes
    source: str
    is_subset: bool
    class_names: tuple[str, ...] = CLASS_NAMES


def load(data: str | Path | None = None) -> FashionMnist:
    """The first of the four sources that has the pictures.

    Args:
        data: A folder with the four files in ``FILES``. Where it is given, no other place is tried.

    Raises:
        DataSetError: ``data`` was given and lacks a file, or one of them is not what it should be.
    """
    if data is not None:
        folder = Path(data)
        return _named(*_read_folder(folder), source=f"Fashion-MNIST from {folder}")
    try:
        return _named(*_read_folder(DEBIAN), source=f"Fashion-MNIST from {DEBIAN}")
    except DataSetError as error:
        reason = str(error) if DEBIAN.exists() else f"there is no {DEBIAN}"
    try:
        return _named(*_from_keras(), source="Fashion-MNIST from Keras's own loader")
    except Exception as error:  # no Keras, no network, a half cache: each is a reason to go on to the next
        said = str(error).partition("\n")[0][:120] or type(error).__name__
        reason += f", and Keras could not load it ({said})"
    train, test = _read_folder(SUBSET)
    return _named(
        train,
        test,
        source=f"A small real subset of Fashion-MNIST, {len(train[1]):,} + {len(test[1]):,} of its 60,000 + "
        f"10,000 pictures: {reason}. For all of them: apt-get install dataset-fashion-mnist, or --data DIR",
    )


def read_idx(path: Path) -> Bytes:
    """The array in one gzipped idx file of unsigned bytes, its shape as the header says.

    An idx file is two zero bytes, the element type, the number of dimensions, each dimension as a big-endian
    uint32, then the elements in C order: http://yann.lecun.com/exdb/mnist/ .

    Raises:
        DataSetError: not gzip, not idx, not unsigned bytes, cut off, or longer than the header says.
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataSetError(f"{path} can't be read: {error}") from None
    if len(content) < 4 or content[:3] != bytes((0, 0, _UNSIGNED_BYTES)):
        raise DataSetError(f"{path} is not an idx file of unsigned bytes: it begins with {content[:4].hex()}")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataSetError(f"{path} is cut off within its header")
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    if len(content) - start != math.prod(shape):
        raise DataSetError(
            f"{path} is damaged: its header says {' x '.join(map(str, shape))} = {math.prod(shape):,} bytes, "
            f"but {len(content) - start:,} follow"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_folder(folder: Path) -> tuple[Pair, Pair]:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise DataSetError(f"{folder} lacks {', '.join(missing)}; Fashion-MNIST is the four files {', '.join(FILES)}")
    x_train, y_train, x_test, y_test = (read_idx(folder / name) for name in FILES)
    for images, labels, name in ((x_train, y_train, FILES[0]), (x_test, y_test, FILES[2])):
        _check(images, labels, str(folder / name))
    return (x_train, y_train), (x_test, y_test)


def _check(images: Bytes, labels: Bytes, where: str) -> None:
    if images.ndim != 3 or images.shape[1:] != (28, 28) or not len(images):
        raise DataSetError(f"{where} holds {images.shape}, not pictures of 28 x 28")
    if labels.shape != (len(images),):
        raise DataSetError(f"{where} holds {len(images):,} pictures, but its labels are {labels.shape}")
    if labels.max() >= len(CLASS_NAMES):
        raise DataSetError(f"{where} has labels up to {labels.max()}, but the classes are 0 to 9")


def _from_keras() -> tuple[Pair, Pair]:
    # Keras is imported here and nowhere above: reading the files needs none of it.
    from keras.datasets import fashion_mnist

    with _impatient():
        train, test = fashion_mnist.load_data()
    for images, labels in (train, test):
        _check(images, labels, "Keras's cache")
    return train, test


@contextmanager
def _impatient() -> Iterator[None]:
    # Keras's download has no time limit of its own: a network that swallows packets would hold us for ever.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _named(train: Pair, test: Pair, *, source: str) -> FashionMnist:
    whole = len(train[1]) == 60_000 and len(test[1]) == 10_000
    return FashionMnist(*train, *test, source=source, is_subset=not whole)
