"""The console: one line for a change, and few in an hour, however often things change."""

from __future__ import annotations

from pathlib import Path

import pytest
from epochscope import wire
from epochscope.console import HOUR_S, MOST, News, say
from epochscope.reply import Reply
from epochscope.sender import Delivery
from epochscope.spool import Meta, Spool
from hypothesis import given, settings
from hypothesis import strategies as st


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Flapping:
    """In the place of a connection to a service that is there every second time."""

    url = "http://127.0.0.1:1"
    here = False

    def post(self, path: str, body: bytes) -> Reply:
        self.here = not self.here
        if not self.here:
            raise ConnectionRefusedError
        return Reply(200, {"acked": wire.decode(body).seq}, None)


def test_a_service_that_comes_and_goes_all_day_fills_no_log(tmp_path: Path) -> None:
    said: list[str] = []
    clock = Clock()
    news = News(said.append, clock)
    kept = Spool(tmp_path, Meta("http://127.0.0.1:1", "run00000x", "stream0x"))
    delivery = Delivery(kept, Flapping(), news)  # type: ignore[arg-type]
    info = wire.RunInfo("p", "n", 1)
    for _ in range(24 * 360):  # every ten seconds, for a day
        clock.now += 10.0
        if not len(kept):
            kept.put(wire.encode(wire.Flush(wire.VERSION, "run00000x", "stream0x", kept.next_seq, 1, info=info)))
        delivery.send_oldest()
        news.tend()
    assert 200 < len(said) <= 24 * MOST + 1
    assert said[0].startswith("no service at")
    assert said[1].startswith("connected to")
    assert "(that was line 10 within an hour" in said[9]
    assert "lines before this one were left out)" in said[10]
    clock.now += HOUR_S
    news.tend()
    assert said[-1].startswith("connected to") == (delivery.state.value == "connected")


PAUSES = st.sampled_from([0.0, 1.0, 300.0, 400.0, 1800.0, HOUR_S])


@settings(max_examples=50)
@given(st.lists(PAUSES, min_size=1, max_size=9) | st.lists(PAUSES, min_size=20, max_size=80))
def test_no_hour_has_more_lines_than_it_may_and_the_last_word_is_always_said(pauses: list[float]) -> None:
    clock, times, said = Clock(), list[float](), list[str]()

    def hear(text: str) -> None:
        times.append(clock.now)
        said.append(text)

    news = News(hear, clock)
    for number, pause in enumerate(pauses):
        clock.now += pause
        news(f"line {number}")
    clock.now += HOUR_S
    news.tend()
    assert said[-1].split(" (")[0] == f"line {len(pauses) - 1}"
    assert all(later - earlier >= HOUR_S for earlier, later in zip(times, times[MOST:], strict=False))
    if len(pauses) < MOST:
        assert said == [f"line {number}" for number in range(len(pauses))]


def test_a_closed_stderr_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w") as closed:
        pass
    monkeypatch.setattr("sys.stderr", closed)
    say("nobody hears this")
    monkeypatch.setattr("sys.stderr", None)
    say("nor this")
