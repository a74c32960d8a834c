"""Tests of the campaign itself: what it makes of the outcomes that a run of Keras's tests has written down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from campaign.keras_own_tests import Outcomes, read


def written(path: Path, *lines: Mapping[str, object]) -> Outcomes:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read(path)


def test_a_test_named_after_an_object_is_the_same_one_in_another_process(tmp_path: Path) -> None:
    name = "some_test.py::test_check[Wrapper(model=<functionmodelat0x{}>)-check_fit]"
    plain = written(tmp_path / "1", {"test": name.format("7f345398c900"), "outcome": "passed", "why": ""})
    watched = written(tmp_path / "2", {"test": name.format("7fa1c0ffee00"), "outcome": "passed", "why": ""})
    assert plain.passed == watched.passed
    assert len(plain.passed) == 1


def test_a_run_that_did_not_come_to_its_end_is_known(tmp_path: Path) -> None:
    passed = {"test": "some_test.py::test_one", "outcome": "passed", "why": ""}
    assert not written(tmp_path / "1", passed).whole
    whole = written(tmp_path / "2", passed, {"watched": {"fit": 3}})
    assert whole.whole
    assert whole.watched["fit"] == 3


def test_what_went_wrong_first_is_a_tests_outcome(tmp_path: Path) -> None:
    passed, failed = ({"test": "a_test.py::test", "outcome": each, "why": each} for each in ("passed", "failed"))
    assert written(tmp_path / "1", passed, failed).passed == set()
    assert written(tmp_path / "2", failed, passed).tests == {"a_test.py::test": "failed"}
