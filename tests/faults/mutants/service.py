"""Faults of the service: of what it takes, what it stores, and when it says so."""

from __future__ import annotations

from functools import partial

from faults.mutants import mutant

Mutant = partial(mutant.Mutant, package=mutant.ROOT / "server" / "epochscope_server")

POST = "tests/server/test_post_flush.py::"
DURABLE = "tests/faults/test_durable.py::"
SQLITE = "tests/server/test_sqlite.py::"
LOOP = "tests/faults/test_kill_loop.py::test_kill_9_of_clients_and_service_loses_and_doubles_nothing"

_COMMIT = "            outcomes = self._commit(lambda connection: log.append(connection, self._ledger, posts))\n"
_EARLY = """            outcomes = self._commit(
                lambda connection: [
                    (one.loop.call_soon_threadsafe(_tell, [(one.future, outcome)]), outcome)[1]
                    for one, outcome in zip(several, log.append(connection, self._ledger, posts), strict=True)
                ]
            )
"""

SERVICE = (
    Mutant(
        "ack before the commit", "store/writer.py", _COMMIT, _EARLY,
        DURABLE + "test_no_acknowledgement_leaves_before_the_commit",
    ),
    Mutant(
        "ack before the commit, seen by the kill loop", "store/writer.py", _COMMIT, _EARLY, LOOP,
        environment={"EPOCHSCOPE_KILLS": "120", "EPOCHSCOPE_SEED": "1", "EPOCHSCOPE_DOOM": "do_commit"},
    ),
    Mutant(
        "no dedupe", "store/log.py", "        return expected - 1, False\n", "",
        POST + "test_a_flush_sent_twice_is_stored_once",
    ),
    Mutant(
        "no dedupe, seen by the kill loop", "store/log.py", "        return expected - 1, False\n", "", LOOP,
        environment={"EPOCHSCOPE_KILLS": "30", "EPOCHSCOPE_SEED": "1"},
    ),
    Mutant(
        "dedupe by value", "store/log.py", "    if known and stream and posted.seq < expected:\n",
        "    content = repr((posted.run, posted.series, posted.confusion))\n"
        "    seen = _take.__dict__.setdefault('seen', set())\n"
        "    if content in seen:\n        return expected - 1, False\n    seen.add(content)\n"
        "    if known and stream and posted.seq < expected:\n",
        POST + "test_two_streams_of_one_run_count_for_themselves",
    ),
    Mutant(
        "ack off by one", "store/log.py", "    return posted.seq, True\n", "    return posted.seq + 1, True\n",
        POST + "test_a_flush_is_acknowledged_with_its_number",
    ),
    Mutant(
        "other content under a number not noticed", "store/log.py",
        "        if ledger.crc32(connection, known, stream, posted.seq) != post.crc32:\n", "        if False:\n",
        POST + "test_another_flush_of_the_same_number_is_a_conflict",
    ),
    Mutant(
        "a hole in the numbers taken", "store/log.py", "    if posted.seq > expected:\n", "    if False:\n",
        POST + "test_a_flush_that_comes_too_early_names_the_one_it_waits_for",
    ),
    Mutant(
        "a deleted run comes back", "store/log.py", "    if ledger.is_deleted(posted.run):\n", "    if False:\n",
        POST + "test_a_deleted_run_does_not_come_back",
    ),
    Mutant(
        "commits not synced", "store/sqlite.py", "synchronous=FULL", "synchronous=OFF",
        DURABLE + "test_a_commit_is_synced_to_the_disk",
    ),
    Mutant(
        "a commit that failed is believed", "store/writer.py",
        "            except Exception as error:\n                self._ledger.undo()\n",
        "            except Exception as error:\n",
        DURABLE + "test_a_commit_that_fails_acknowledges_nothing_and_the_same_flush_is_taken_later",
    ),
    Mutant(
        "two services on one file", "store/sqlite.py",
        "        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", "        pass\n",
        SQLITE + "test_a_second_service_on_one_folder_is_refused",
    ),
)  # fmt: skip
