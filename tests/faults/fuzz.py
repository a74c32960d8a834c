"""Decoders under arbitrary bytes: of the wire, of segments, of a spool's folder, and of what a service answers.

Each target takes bytes and raises only if a promise is broken: no error but the documented ones, nothing believed that
was not written, and no more time and memory than the size of the bytes calls for. ``test_fuzz.py`` has hypothesis make
them up; as a program this has a coverage-guided fuzzer do so::

    python tests/faults/fuzz.py wire --seconds 600          (make fuzz runs all targets)
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FunctionType

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

from epochscope import segments, wire
from epochscope.names import WireError
from epochscope.reply import Reply
from epochscope.sender import Delivery
from epochscope.spool import Meta, Spool, unpack

RUN, STREAM = "run00000x", "stream0x"
SALT = segments.salt_of(STREAM)


def fuzz_wire(data: bytes) -> None:
    """A flush that is taken is one: packed again it says the same, and its columns can be looked at."""
    try:
        flush = wire.decode(data)
    except WireError:
        return
    again = wire.encode(flush)
    if wire.encode(wire.decode(again)) != again:
        raise AssertionError("packed again it is another flush")
    for series in flush.series:
        series.arrays()
    for counts in flush.confusion:
        counts.arrays()


def fuzz_segments(data: bytes) -> None:
    """Frames that are found are whole and rise; slots of the ack file are whole or none."""
    last = stop = 0
    for record in segments.recover(data, SALT).records:
        if record.seq <= last or record.start < stop:
            raise AssertionError("numbers or places go back")
        last, stop = record.seq, record.stop
        segments.unframe(data[record.start : record.stop], record.seq, SALT)
    segments.acked_in(data)


def fuzz_folder(data: bytes) -> None:
    """A spool's folder of which one file holds anything at all can be sent as far as it is good, and removed."""
    which, content = data[:1], data[1:]
    with tempfile.TemporaryDirectory() as root:
        kept = Spool(Path(root), Meta("http://127.0.0.1:1", RUN, STREAM, wire.RunInfo("p", "n", 1)))
        for seq in (1, 2, 3):
            kept.put(wire.encode(wire.Flush(wire.VERSION, RUN, STREAM, seq, 1, info=wire.RunInfo("p", "n", 1))))
        kept.let_go()
        name = ("000001.seg", "ack", "meta.json", "000000000007.flush")[which[0] % 4 if which else 0]
        (kept.folder / name).write_bytes(content)
        found = Spool.of_ended_process(kept.folder)
        if found is None:
            return
        while found.oldest() is not None:
            found.acknowledged()
        found.missing()
        found.close()


class _Answers:
    """In the place of a connection: always the same reply."""

    url = "http://127.0.0.1:1"

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def post(self, path: str, body: bytes) -> Reply:
        return self._reply


def fuzz_reply(data: bytes) -> None:
    """Whatever a service answers, nothing is taken for stored that was not sent, and no error comes of it."""
    status = (200, 400, 401, 409, 410, 413, 422, 429, 500, 503)[data[0] % 10] if data else 200
    header, _, text = data[1:].partition(b"\n")
    with tempfile.TemporaryDirectory() as root:
        kept = Spool(Path(root), Meta("http://127.0.0.1:1", RUN, STREAM, wire.RunInfo("p", "n", 1)))
        for seq in (1, 2):
            kept.put(wire.encode(wire.Flush(wire.VERSION, RUN, STREAM, seq, 1, info=wire.RunInfo("p", "n", 1))))
        reply = Reply.of(status, text, header.decode("latin-1") or None)
        delivery = Delivery(kept, _Answers(reply), lambda said: None)  # type: ignore[arg-type]
        before = len(kept)
        for _ in range(2):
            delivery.send_oldest()
        acked = reply.content.get("acked")
        if len(kept) < before and not (status == 200 and type(acked) is int and acked >= 1):
            raise AssertionError("an update is gone that was not stored")
        if not 0 <= delivery.try_again_at - time.monotonic() <= 400 and delivery.try_again_at:
            assert delivery.try_again_at <= time.monotonic()
        while (oldest := kept.oldest()) is not None:
            unpack(oldest[1])
            kept.acknowledged()
        kept.close()


TARGETS: dict[str, Callable[[bytes], None]] = {
    "wire": fuzz_wire,
    "segments": fuzz_segments,
    "folder": fuzz_folder,
    "reply": fuzz_reply,
}


def seeds() -> dict[str, list[bytes]]:
    """Something good of each kind to begin with."""
    info = wire.RunInfo(
        "p", "n", 1, {"lr": 0.1, "opt": "adam", "no": None}, ["t"], "notes", "g", [wire.Output("output", ("a", "b"))],
        {"python": "3"}, 3, 10, "everything", {"train": 5},
    )  # fmt: skip
    series = [wire.SeriesColumns.of("loss", "train", "batch", [1, 2], [0.5, float("nan")])]
    counts = [wire.ConfusionColumns.of("output", "train", [1], [2], [0, 1], [0, 1], [3, 4])]
    spans, end = [wire.Span("train", 1, 1, 3)], wire.End("failed", "OSError")
    flush = wire.encode(wire.Flush(wire.VERSION, RUN, STREAM, 1, 1, info, series, counts, spans, end, stalled_s=3.0))
    small = wire.encode(wire.Flush(wire.VERSION, RUN, STREAM, 2, 1))
    segment = segments.frame(1, flush, SALT) + segments.frame(2, small, SALT) + segments.frame(3, b"", SALT)
    slots = segments.slot(3) + segments.slot(4)
    meta = b'{"url":"http://127.0.0.1:1","run":"run00000x","stream":"stream0x"}'
    return {
        "wire": [flush, small],
        "segments": [segment, slots, segment + segment],
        "folder": [b"\0" + segment, b"\1" + slots, b"\2" + meta, b"\3" + flush],
        "reply": [
            b'\0\n{"acked": 1}',
            b'\0\n{"acked": 0}',
            b'\3\n{"error": {"code": "out_of_order", "expected": 1}}',
            b"\x0720\n{}",
        ],
    }


def _our_functions() -> list[FunctionType]:
    """Every function and method of the training side that is loaded: the fuzzer sees which branches they take."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "epochscope"]
    owners = [*modules, *{kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}]
    found = {
        function
        for owner in owners
        for value in vars(owner).values()
        if isinstance(function := getattr(value, "__func__", value), FunctionType)
        and function.__module__.split(".")[0] == "epochscope"
    }
    return list(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60, help="for how long (default: 60)")
    parser.add_argument("--corpus", type=Path, help="where inputs are kept from one time to the next")
    chosen = parser.parse_args()
    import atheris

    with tempfile.TemporaryDirectory() as fresh:
        corpus = chosen.corpus or Path(fresh)
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()[chosen.target]):
            (corpus / f"seed{number}").write_bytes(seed)
        target = TARGETS[chosen.target]
        for function in _our_functions():
            atheris.instrument_func(function)
        limits = [
            f"-max_total_time={chosen.seconds}",
            "-timeout=5",
            "-rss_limit_mb=1024",
            "-max_len=65536",
        ]
        atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={corpus}/", str(corpus)], target)
        print(f"{chosen.target}: {chosen.seconds} s ...", flush=True)
        atheris.Fuzz()  # ends the process, with an error where a target has raised
    return 0


if __name__ == "__main__":
    sys.exit(main())
