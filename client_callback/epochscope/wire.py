"""What travels: the flush, one post of one stream, packed and unpacked by the same lines on both sides.

The domain, in the words of every room:

* A **run** is one training. A **stream** is what one process writes for it; its **flushes** are numbered
  1, 2, 3 ... without holes, so that (run, stream, seq) names a flush for ever and it is stored exactly once.
  Streams of one process begin with the same 8 characters.
* A **series** is one named sequence of numbers of a run, by batch, by epoch, or once for the whole run.
* **Confusion counts** say, for each step, how often true class *i* was predicted as *j*. They are whole
  numbers and sparse: only cells that are not zero travel.
* A **step** counts the batches of one split in this run, from 1; it is never reset at an epoch.
* A **span** names a stretch of steps: an epoch (split ``train``) or the validation pass after it (``val``).

A flush is a msgpack map. Columns travel as raw little-endian bytes, so NaN, ±Inf and -0.0 keep their bits.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from epochscope.names import MAX_NAME as MAX_NAME
from epochscope.names import WireError as WireError
from epochscope.names import check_id as check_id
from epochscope.names import check_name as check_name
from epochscope.names import clean_name as clean_name

VERSION = 1
CONTENT_TYPE = "application/msgpack"
WATCHED = ("epochscope-watched", "1")  # header of an acknowledgement: somebody looks at the run
MAX_BODY = 8 * 1024 * 1024  # bytes of one flush
MAX_CLASSES = 100_000
MAX_COUNT = 2**31 - 1  # of one cell in one step; what is more was a negative number, in the bytes of a careless client
PROCESS_CHARACTERS = 8  # of the id of a stream, say which process writes it
MAX_STEP = 2**53 - 1  # what a browser still counts exactly

# Entries of a run's environment that say what of it will never arrive: how many, in digits with commas.
LOST, THINNED, DROPPED = "updates lost to damage", "values thinned", "values dropped"
REFUSED = "updates refused"

Split = Literal["train", "val", "test"]
By = Literal["batch", "epoch", "run"]
EndStatus = Literal["finished", "failed", "interrupted", "terminated"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_STEP)]
Seq = Annotated[int, msgspec.Meta(ge=1, le=MAX_STEP)]

STEP_DTYPE = np.dtype("<i8")
VALUE_DTYPE = np.dtype("<f8")
COUNT_DTYPE = np.dtype("<u4")

Steps = NDArray[np.int64]
Values = NDArray[np.float64]
Counts = NDArray[np.uint32]


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """One classified output of a model and the names of its classes, in the order of their indices.

    With ``labels`` a sample may have several of them, or none: ``class_names`` are the labels, and each is a 2x2 of
    its own. In the counts label l then has two classes, 2 l for "no" and 2 l + 1 for "yes".
    """

    name: str
    class_names: tuple[str, ...]
    labels: bool = False

    @property
    def indices(self) -> int:
        """How many different indices the counts of this output may have."""
        return len(self.class_names) * (2 if self.labels else 1)


class RunInfo(msgspec.Struct, omit_defaults=True):
    """What is said once about a run, and again when it changes; the latest word counts.

    ``resumed_at`` is said by a process that goes on with a run from a checkpoint: for each split the first step that it
    will tell. What earlier processes said of this step and of later ones is then replaced. It counts in the first flush
    of a stream; streams that say the same, at the same ``started_ms``, are one attempt, and their counts add up.
    """

    project: str
    name: str
    started_ms: Count
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    tags: list[str] = msgspec.field(default_factory=list)
    notes: str = ""
    group: str = ""
    outputs: list[Output] = msgspec.field(default_factory=list)
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    epochs: Count | None = None  # planned
    batches_per_epoch: Count | None = None
    capture: str = ""  # what is captured of the model, and why no more, in one line
    resumed_at: dict[Split, Seq] = msgspec.field(default_factory=dict)


class SeriesColumns(msgspec.Struct, omit_defaults=True, gc=False):
    """Points of one series: ``steps`` int64 [n] (epochs where ``by`` is "epoch"), ``values`` float64 [n]."""

    key: str
    split: Split
    by: By
    steps: bytes
    values: bytes

    @classmethod
    def of(cls, key: str, split: Split, by: By, steps: Any, values: Any) -> SeriesColumns:
        return cls(key, split, by, _bytes(steps, STEP_DTYPE), _bytes(values, VALUE_DTYPE))

    def arrays(self) -> tuple[Steps, Values]:
        """Steps int64 [n] and values float64 [n], read-only views of the bytes."""
        return np.frombuffer(self.steps, STEP_DTYPE), np.frombuffer(self.values, VALUE_DTYPE)


class ConfusionColumns(msgspec.Struct, omit_defaults=True, gc=False):
    """Confusion counts of one output: ``steps`` int64 [L], ``cells`` uint32 [L] (how many of the following
    belong to each step), ``true``, ``predicted`` and ``counts`` uint32 [sum of cells].

    The same step may come again, in this flush or a later one: counts given twice for a step add up.
    """

    output: str
    split: Split
    steps: bytes
    cells: bytes
    true: bytes
    predicted: bytes
    counts: bytes

    @classmethod
    def of(
        cls, output: str, split: Split, steps: Any, cells: Any, true: Any, predicted: Any, counts: Any
    ) -> ConfusionColumns:
        return cls(
            output,
            split,
            _bytes(steps, STEP_DTYPE),
            _bytes(cells, COUNT_DTYPE),
            _bytes(true, COUNT_DTYPE),
            _bytes(predicted, COUNT_DTYPE),
            _bytes(counts, COUNT_DTYPE),
        )

    def arrays(self) -> tuple[Steps, Counts, Counts, Counts, Counts]:
        """Steps int64 [L], cells [L], true, predicted, counts uint32 [sum of cells], read-only views."""
        return (
            np.frombuffer(self.steps, STEP_DTYPE),
            np.frombuffer(self.cells, COUNT_DTYPE),
            np.frombuffer(self.true, COUNT_DTYPE),
            np.frombuffer(self.predicted, COUNT_DTYPE),
            np.frombuffer(self.counts, COUNT_DTYPE),
        )


class Span(msgspec.Struct, frozen=True):
    """Epoch ``epoch`` (from 1) covers steps ``[start, stop)`` of ``split``; ``stop`` 0 while it goes on."""

    split: Split
    epoch: Seq
    start: Seq
    stop: Count


class End(msgspec.Struct, frozen=True, omit_defaults=True):
    """The run is over. ``reason`` is one line a person can read (the type of an exception, say)."""

    status: EndStatus
    reason: str = ""


class Flush(msgspec.Struct, omit_defaults=True):
    """One post: everything recorded by one stream since its last flush. The first one carries ``info``."""

    version: int
    run: str
    stream: str
    seq: Seq
    sent_ms: Count
    info: RunInfo | None = None
    series: list[SeriesColumns] = msgspec.field(default_factory=list)
    confusion: list[ConfusionColumns] = msgspec.field(default_factory=list)
    spans: list[Span] = msgspec.field(default_factory=list)
    end: End | None = None
    next_in_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 5.0  # the next flush comes within this time
    stalled_s: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 0.0  # so long nothing new has come, far longer than usual


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Flush)


def encode(flush: Flush) -> bytes:
    """The bytes of a flush, as they are posted and as they lie in the spool."""
    return _encoder.encode(flush)


def decode(body: bytes) -> Flush:
    """The flush in ``body``, checked: columns of one length, counts without holes, names that can be shown.

    Raises:
        WireError: naming the field, in a sentence a person can act on.
    """
    try:
        flush = _decoder.decode(body)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("body", f"is not a flush: {error}") from None
    if flush.version != VERSION:
        raise WireError("version", f"is {flush.version}; this service reads {VERSION}. Upgrade the older side")
    check_id("run", flush.run)
    check_id("stream", flush.stream)
    if flush.info is not None:
        _check_info(flush.info)
    good_steps: set[bytes] = set()  # the series of a flush mostly share their steps
    for number, series in enumerate(flush.series):
        _check_series(number, series, good_steps)
    for number, confusion in enumerate(flush.confusion):
        _check_confusion(f"confusion[{number}]", confusion)
    for number, span in enumerate(flush.spans):
        if span.stop and span.stop < span.start:
            raise WireError(f"spans[{number}]", f"ends at {span.stop}, before it starts at {span.start}")
    return flush


def _check_info(info: RunInfo) -> None:
    check_name("info.project", info.project)
    check_name("info.name", info.name)
    for tag in info.tags:
        check_name("info.tags", tag)
    if info.group:
        check_name("info.group", info.group)
    for text, field in ((info.notes, "info.notes"), (info.capture, "info.capture")):
        if len(text) > 10_000 or "\0" in text:
            raise WireError(field, "must be at most 10,000 characters, without NUL")
    if len(info.params) > 10_000:
        raise WireError("info.params", "must have at most 10,000 entries")
    for key, value in (*info.params.items(), *info.environment.items()):
        check_name("info.params", key)
        if isinstance(value, str) and len(value) > 10_000:
            raise WireError("info.params", f"{key!r} is longer than 10,000 characters")
        if not isinstance(value, str | int | float | bool | None):
            raise WireError("info.params", f"{key!r} must be a string, a number, a boolean or nothing")
    seen = set()
    for output in info.outputs:
        check_name("info.outputs", output.name)
        if output.name in seen:
            raise WireError("info.outputs", f"{output.name!r} is there twice")
        seen.add(output.name)
        if not 1 <= len(output.class_names) <= MAX_CLASSES:
            raise WireError("info.outputs", f"{output.name!r} must have 1 to {MAX_CLASSES:,} classes")
        for class_name in output.class_names:
            check_name("info.outputs", class_name)


def _check_series(number: int, series: SeriesColumns, good_steps: set[bytes]) -> None:
    # Ten of them come with every flush: what is as most are is seen at a glance.
    if series.steps in good_steps and len(series.values) == len(series.steps) and clean_name(series.key) == series.key:
        return
    field = f"series[{number}]"
    check_name(f"{field}.key", series.key)
    _whole(f"{field}.steps", series.steps, STEP_DTYPE)
    _whole(f"{field}.values", series.values, VALUE_DTYPE)
    steps, values = len(series.steps) // STEP_DTYPE.itemsize, len(series.values) // VALUE_DTYPE.itemsize
    if steps != values:
        raise WireError(field, f"has {steps} steps but {values} values")
    if series.steps not in good_steps:
        _check_steps(f"{field}.steps", np.frombuffer(series.steps, STEP_DTYPE), least=0)
        good_steps.add(series.steps)


def _check_confusion(field: str, confusion: ConfusionColumns) -> None:
    check_name(f"{field}.output", confusion.output)
    _whole(f"{field}.steps", confusion.steps, STEP_DTYPE)
    for name in ("cells", "true", "predicted", "counts"):
        _whole(f"{field}.{name}", getattr(confusion, name), COUNT_DTYPE)
    steps, cells, true, predicted, counts = confusion.arrays()
    _check_steps(f"{field}.steps", steps, least=1)
    if len(cells) != len(steps):
        raise WireError(f"{field}.cells", f"has {len(cells)} entries for {len(steps)} steps")
    total = int(cells.sum(dtype=np.uint64))
    if not total == len(true) == len(predicted) == len(counts):
        raise WireError(
            field,
            f"says {total} cells, but has {len(true)} true, {len(predicted)} predicted, {len(counts)} counts",
        )
    if total and int(counts.max()) > MAX_COUNT:
        raise WireError(f"{field}.counts", f"must lie between 0 and {MAX_COUNT:,}")


def _check_steps(field: str, steps: Steps, least: int) -> None:
    if len(steps) and (int(steps.min()) < least or int(steps.max()) > MAX_STEP):
        raise WireError(field, f"must lie between {least} and {MAX_STEP}")


def _whole(field: str, column: bytes, dtype: np.dtype[Any]) -> None:
    if len(column) % dtype.itemsize:
        raise WireError(field, f"has {len(column)} bytes, not a multiple of {dtype.itemsize}; it is cut off")


def _bytes(column: Any, dtype: np.dtype[Any]) -> bytes:
    return np.ascontiguousarray(column, dtype=dtype).tobytes()
