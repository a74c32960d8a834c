"""Faults of the training side: of its spool and its sender."""

from __future__ import annotations

from faults.mutants.mutant import Mutant

SPOOL = "tests/faults/test_spool.py::"
SEGMENTS = "tests/faults/test_segments.py::"
POINTS = "tests/faults/test_crash_points.py::"

CLIENT = (
    Mutant(
        "ack off by one", "folder.py", "self.acked = max(self.acked, seq)", "self.acked = max(self.acked, seq + 1)",
        SPOOL + "test_what_was_put_is_found_by_another_process_in_order",
    ),
    Mutant(
        "unlink before the ack is safe", "folder.py", "                self._ack.sync()", "                pass",
        SPOOL + "test_a_segment_goes_only_after_the_ack_that_covers_it_is_safe",
    ),
    Mutant(
        "unlink without an ack", "folder.py", "            return  # the files stay until an ack can be saved",
        "            over = list(self._segments)",
        SPOOL + "test_a_segment_goes_only_after_the_ack_that_covers_it_is_safe",
    ),
    Mutant(
        "checksum of the payload ignored", "segments.py", "bool(checksum == _checksum(seq, payload, salt))", "True",
        SEGMENTS + "test_a_flipped_bit_costs_one_update_and_invents_none",
    ),
    Mutant(
        "checksum of the head ignored", "segments.py",
        "checksum != zlib.crc32(data[at : at + _HEAD.size], salt) or", "",
        SEGMENTS + "test_a_damaged_head_names_no_number",
    ),
    Mutant(
        "given up at the first damage", "segments.py", "at = data.find(_SYNC, at + 1)", "break",
        SEGMENTS + "test_a_flipped_bit_costs_one_update_and_invents_none",
    ),
    Mutant(
        "torn tail not taken back", "segment_file.py", "os.ftruncate(self._file, segment.size)", "pass",
        SPOOL + "test_a_short_write_leaves_no_torn_bytes_and_loses_nothing",
    ),
    Mutant(
        "short write not noticed", "segment_file.py", "if written != len(frame):", "if written < 0:",
        SPOOL + "test_a_short_write_leaves_no_torn_bytes_and_loses_nothing",
    ),
    Mutant(
        "any 200 taken for an ack", "sender.py", "if type(acked) is int and acked >= seq:", "if True:",
        "tests/faults/test_replies.py::test_an_answer_that_acknowledges_nothing_is_not_taken_for_one",
    ),
    Mutant(
        "ack believed from the reply", "sender.py",
        "                self._stored()\n                return True\n            self",
        "                for _ in range(min(acked, len(self.spool))):\n                    self.spool.oldest()\n"
        "                    self._stored()\n                return True\n            self",
        "tests/faults/test_replies.py::"
        "test_an_answer_that_acknowledges_too_much_is_believed_for_what_was_sent_only",
    ),
    Mutant(
        "fork not handled", "flusher.py", "os.register_at_fork(after_in_child=_in_child)", "pass",
        "tests/faults/test_fork.py::test_what_forked_children_do_never_arrives_and_harms_nobody",
    ),
    Mutant(
        "a forked child goes on recording", "flusher.py",
        "        self.recording.silence()\n        self._spool.let_go()\n", "        self._spool.let_go()\n",
        "tests/faults/test_fork.py::test_what_forked_children_do_never_arrives_and_harms_nobody",
    ),
    Mutant(
        "where no thread can be started the training is stopped", "flusher.py",
        "except RuntimeError as error:\n            _living", "except KeyError as error:\n            _living",
        "tests/client/test_run.py::test_where_no_thread_can_be_started_a_run_records_nothing_and_says_so_once",
    ),
    Mutant(
        "fsync skipped", "spool.py", "self._folder.sync()", "pass",
        SPOOL + "test_what_was_written_is_synced_once_a_second_and_at_the_end",
    ),
    Mutant(
        "fsync asked again after it failed", "folder.py",
        "            self._end_segment()  # asked again, this file would say that all is well\n", "",
        SPOOL + "test_a_sync_that_fails_is_not_asked_again_of_the_same_file",
    ),
    Mutant(
        "values by epoch thinned", "thinning.py", 'series.by != "batch"', "False",
        SPOOL + "test_at_the_bound_the_oldest_values_by_batch_are_thinned_and_nothing_else",
    ),
    Mutant(
        "what is on its way thinned", "segment_file.py", "change(body) if seq > spare else body", "change(body)",
        SPOOL + "test_at_the_bound_the_oldest_values_by_batch_are_thinned_and_nothing_else",
    ),
    Mutant(
        "losses not counted", "folder.py", "self.damaged = max(top - self.acked, 0) - len(self)", "self.damaged = 0",
        SPOOL + "test_a_missing_segment_is_counted",
    ),
    Mutant(
        "segment gone before the ack is written", "folder.py",
        "        try:\n            self._ack.write(self.acked)\n            over = ",
        "        try:\n            [one.path.unlink() for one in self._segments[:-1] if self._over(one)]\n"
        "            self._ack.write(self.acked)\n            over = ",
        POINTS + "test_killed_before_any_call_a_client_has_lost_nothing_it_had_accepted",
    ),
    Mutant(
        "said to be kept before it is written", "segment_file.py", "written = os.write(self._file, frame)",
        "self._late, late = frame, getattr(self, '_late', b'')\n            os.write(self._file, late)\n"
        "            written = len(frame)",
        POINTS + "test_killed_before_any_call_a_client_has_lost_nothing_it_had_accepted",
    ),
    Mutant(
        "recorded values wait for the answer", "flusher.py", "        self._sender.start()\n",
        "        self._turn, turn = lambda: (self._send(), turn())[1], self._turn\n",
        "tests/faults/test_deaf_service.py::test_what_is_recorded_while_an_answer_is_awaited_is_kept_at_once",
    ),
    Mutant(
        "what is appended to a file that was removed is believed", "spool.py", "elif self._folder.removed:",
        "elif False:",
        SPOOL + "test_a_folder_that_is_removed_meanwhile_is_made_again_and_what_lay_in_it_is_counted",
    ),
    Mutant(
        "an answer without an end is waited for", "connection.py",
        "self._until = time.monotonic() + ", "self._until = time.monotonic() + 60 + ",
        "tests/faults/test_deaf_service.py::"
        "test_an_answer_that_comes_byte_by_byte_and_has_no_end_is_given_up",
    ),
)  # fmt: skip
