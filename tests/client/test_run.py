"""Run: what any training loop may say, and what it is told when it says it wrong."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epochscope import Run, wire
from listener import Listener, lines, until
from sklearn.metrics import confusion_matrix

NAMES = ("cat", "dog", "eel")


def test_what_is_logged_arrives_once_and_in_order(listener: Listener, spool_dir: Path) -> None:
    with Run("pets", "first", class_names=NAMES, url=listener.url) as run:
        for step in range(1, 301):
            run.log(step, loss=1 / step, accuracy=step / 300)
    steps, values = listener.series("loss")
    assert steps == list(range(1, 301))
    assert values == [1 / step for step in range(1, 301)]
    assert listener.ends() == [wire.End("finished")]
    assert [flush.seq for flush in listener.flushes] == list(range(1, len(listener.flushes) + 1))
    assert list(spool_dir.iterdir()) == []


def test_counts_equal_scikit_learns_of_every_batch(listener: Listener) -> None:
    random = np.random.default_rng(1)
    batches = [(random.integers(0, 3, 40), random.integers(0, 3, 40)) for _ in range(30)]
    with Run(class_names=NAMES, url=listener.url) as run:
        for step, (true, predicted) in enumerate(batches, 1):
            run.confusion(step, true, predicted)
    found = listener.matrices()
    assert sorted(found) == list(range(1, 31))
    for step, (true, predicted) in enumerate(batches, 1):
        np.testing.assert_array_equal(found[step], confusion_matrix(true, predicted, labels=range(3)))


def test_counts_of_a_batch_too_large_for_one_piece_add_up(listener: Listener) -> None:
    random = np.random.default_rng(1)
    true, predicted = random.integers(0, 300, (2, 50_000))
    with Run(num_classes=300, url=listener.url) as run:
        run.confusion(1, true, predicted)
    np.testing.assert_array_equal(listener.matrices()[1], confusion_matrix(true, predicted, labels=range(300)))


def test_a_step_given_twice_adds_up(listener: Listener) -> None:
    with Run(class_names=NAMES, url=listener.url) as run:
        run.confusion(1, [0, 1], [0, 2])
        run.confusion(1, [0], [0])
    assert listener.matrices()[1].tolist() == [[2, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_scores_count_by_their_highest_and_tell_the_number_of_classes(listener: Listener) -> None:
    with Run(url=listener.url) as run:
        run.confusion(1, [2, 0], [[0.1, 0.2, 0.7], [0.3, 0.4, 0.3]], split="val")
    assert listener.info().outputs == [wire.Output("output", ("0", "1", "2"))]
    assert listener.matrices("val")[1].tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_a_step_without_samples_is_a_step(listener: Listener) -> None:
    with Run(class_names=NAMES, url=listener.url) as run:
        run.confusion(1, [], [])
        run.confusion(2, [1], [1])
    assert listener.matrices()[1].sum() == 0
    assert listener.matrices()[2].sum() == 1


@pytest.mark.parametrize("lengths", [[9_000] * 5, [3, 40_000, 16_384, 0, 0], [0, 20_000], [16_384, 1]], ids=str)
def test_many_samples_read_at_once_stay_with_their_steps_however_they_are_cut(
    listener: Listener, lengths: list[int]
) -> None:
    chance = np.random.default_rng(7)
    true, predicted = chance.integers(0, 3, (2, sum(lengths)))
    steps = np.arange(11, 11 + len(lengths))
    with Run(class_names=NAMES, url=listener.url) as run:
        run.recording.codes("output", "train", 3, steps, np.array(lengths), true * 3 + predicted)
    found = listener.matrices()
    assert set(found) == set(steps)
    for step, end, length in zip(steps, np.cumsum(lengths), lengths, strict=True):
        part = slice(end - length, end)
        expected = confusion_matrix(true[part], predicted[part], labels=range(3)) if length else np.zeros((3, 3))
        np.testing.assert_array_equal(found[int(step)], expected)


def test_numbers_keep_their_bits(listener: Listener) -> None:
    values = [math.nan, math.inf, -math.inf, -0.0, 5e-324]
    with Run(url=listener.url) as run:
        for step, value in enumerate(values, 1):
            run.log(step, loss=value)
    assert np.array(listener.series("loss")[1]).tobytes() == np.array(values).tobytes()


def test_the_run_tells_what_it_is(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPOCHSCOPE_URL", listener.url)
    params = {"depth": np.int64(3), "opt": {"lr": 0.1, "name": "adam"}, "path": Path("/x"), "big": 2**70, "no": None}
    with Run("p\n1", params=params, tags=["a", "b"], notes="hello", group="seeds", epochs=3) as run:
        run.span("train", 1, 1, 10)
    info = listener.info()
    assert info.project == "p\ufffd1"
    assert info.params == {
        "depth": 3, "opt.lr": 0.1, "opt.name": "adam", "path": "/x", "big": str(2**70), "no": None
    }  # fmt: skip
    assert (info.tags, info.notes, info.group, info.epochs) == (["a", "b"], "hello", "seeds", 3)
    assert set(info.environment) >= {"python", "platform", "hostname"}
    assert info.name.endswith(run.id[:4])
    assert run.url == f"{listener.url}/runs/{run.id}"
    assert listener.spans("train") == [(1, 1, 10)]


def test_an_exception_fails_the_run_and_goes_on(listener: Listener) -> None:
    with pytest.raises(ZeroDivisionError), Run(url=listener.url):
        _ = 1 / 0
    assert listener.ends() == [wire.End("failed", "ZeroDivisionError: division by zero")]


def test_ctrl_c_interrupts_the_run(listener: Listener) -> None:
    with pytest.raises(KeyboardInterrupt), Run(url=listener.url):
        raise KeyboardInterrupt
    assert listener.ends() == [wire.End("interrupted", "KeyboardInterrupt")]


def test_finishing_twice_says_so_once(listener: Listener) -> None:
    run = Run(url=listener.url)
    assert run.finish("terminated", "by\nhand")
    assert run.finish()
    assert listener.ends() == [wire.End("terminated", "by hand")]


def test_the_token_travels_as_a_bearer(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPOCHSCOPE_TOKEN", "from-env")
    Run(url=listener.url).finish()
    Run(url=listener.url, token="given").finish()
    sent = {flush.run: headers.get("Authorization") for flush, headers in listener.posts}
    assert list(sent.values()) == ["Bearer from-env", "Bearer given"]


def test_a_run_gone_on_with_is_a_new_stream_of_the_same_run(listener: Listener) -> None:
    run = Run(class_names=NAMES, url=listener.url)
    run.confusion(1, [0], [0])
    run.finish()
    more = run.again()
    more.confusion(2, [1], [1])
    more.finish()
    assert listener.runs == [run.id]
    assert len({flush.stream for flush in listener.flushes}) == 2
    assert sorted(listener.matrices()) == [1, 2]


def test_a_run_taken_up_again_says_from_which_steps_on_its_word_replaces_the_earlier(listener: Listener) -> None:
    Run(url=listener.url, run_id="run0000001", resumed_at={"train": 501, "val": 11}).finish()
    (first, *_) = listener.of()
    assert first.info is not None
    assert first.info.resumed_at == {"train": 501, "val": 11}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, [0], [0]), "step must be at least 1, not 0"),
        ((1.5, [0], [0]), "step must be a whole number"),
        ((1, [0, 3], [0, 0]), "y_true has the label 3; the 3 classes are 0 to 2"),
        ((1, [0], [-1]), "y_pred has the label -1"),
        ((1, [0, 1], [0]), "y_true has 2 samples, y_pred has 1"),
        ((1, [0.5], [0]), "y_true must be whole numbers"),
        ((1, [[0, 1]], [0]), r"y_true must be class indices \[B\]"),
        ((1, [0], [[0.1, 0.9]]), "y_pred has 2 scores a sample, but there are 3 classes"),
        ((1, [0], [0], "dev"), "split must be one of train, val, test, not 'dev'"),
        ((1, [0], [0], "train", "head"), "no output 'head'; there are 'output'"),
    ],
)
def test_a_wrong_confusion_is_answered(listener: Listener, arguments: tuple[Any, ...], message: str) -> None:
    with Run(class_names=NAMES, url=listener.url) as run, pytest.raises((ValueError, TypeError), match=message):
        run.confusion(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_names": "abc"}, "not the string 'abc'"),
        ({"class_names": ["a", "a"]}, "has 'a' twice"),
        ({"class_names": ["a", "b"], "num_classes": 3}, "has 2 names, but num_classes is 3"),
        ({"num_classes": 1}, "num_classes must be 2 to"),
        ({"url": "ftp://x"}, "url must look like http://host:port"),
        ({"tags": "abc"}, "tags must be a list"),
        ({"run_id": "Not an id"}, "8 to 32 characters"),
        ({"resumed_at": {"train": 5}}, "say which by run_id"),
        ({"run_id": "run0000001", "resumed_at": {"train": 0}}, "step must be at least 1"),
    ],
)
def test_a_wrong_run_is_answered(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Run(**arguments)


def test_a_value_that_is_no_number_is_answered(listener: Listener) -> None:
    with Run(url=listener.url) as run:
        with pytest.raises(TypeError, match="loss must be one number"):
            run.log(1, loss="low")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="give the run class_names"):
            run.confusion(1, [0], [0])
        with pytest.raises(ValueError, match="status must be one of"):
            run.finish("done")


def test_without_a_home_it_is_said_where_updates_may_wait(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nobody(*_: Any) -> Any:
        raise KeyError("no such user")

    monkeypatch.setattr("pwd.getpwuid", nobody)
    for name in ("HOME", "XDG_STATE_HOME", "EPOCHSCOPE_SPOOL_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"there is no home folder .* say where they may wait by spool_dir="):
        Run()
    assert list(tmp_path.iterdir()) == []


def test_a_token_that_was_read_from_a_file_may_end_with_its_line(listener: Listener) -> None:
    Run(url=listener.url, token="s3cret\n").finish()
    assert listener.posts[0][1]["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("url", ["http://[::1", "http://a b", "http://host:port"])
def test_an_address_that_is_none_is_answered(url: str) -> None:
    with pytest.raises(ValueError, match="url must look like http://host:port"):
        Run(url=url)


def unstartable(monkeypatch: pytest.MonkeyPatch, which: str) -> Callable[[], object]:
    """From now on threads can't be started: no address space holds the stack that each of them asks for."""
    huge, before, start = 2**47, threading.stack_size(), threading.Thread.start

    def start_some(thread: threading.Thread) -> None:
        threading.stack_size(huge if which in ("any", thread.name) else before)
        try:
            start(thread)
        finally:
            threading.stack_size(before)

    monkeypatch.setattr(threading.Thread, "start", start_some)
    return monkeypatch.undo


@pytest.mark.parametrize("which", ["any", "epochscope", "epochscope-sender"])
def test_where_no_thread_can_be_started_a_run_records_nothing_and_says_so_once(
    which: str, listener: Listener, spool_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = unstartable(monkeypatch, which)
    with Run(class_names=NAMES, url=listener.url, spool_dir=spool_dir) as run:
        run.log(1, loss=0.5)
        run.confusion(1, [0], [1])
        run.describe(notes="more")
    assert run.over
    assert not run.finish()
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "epochscope: nothing is recorded, as no thread can be started here (can't start new thread); "
        "training is not affected"
    )
    until(lambda: not [one for one in threading.enumerate() if one.name in ("epochscope", "epochscope-sender")])
    assert (listener.posts, spool_dir.exists()) == ([], False)
    threads()
    with Run(url=listener.url, spool_dir=spool_dir) as later:
        later.log(1, loss=0.5)
    assert listener.series("loss") == ([1], [0.5])


def test_without_the_thread_that_looks_at_the_machine_all_else_is_recorded(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unstartable(monkeypatch, "epochscope-system")
    with Run(url=listener.url) as run:
        run.log(1, loss=0.5)
    assert listener.series("loss") == ([1], [0.5])
    assert lines(capsys.readouterr().err) == []
