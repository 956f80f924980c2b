"""Whose memory is held after its process has gone, and until when."""

from __future__ import annotations

import pytest

from perdured.core.kept import LONGEST, KeptDecision, KeptSeen, decide_kept

GONE = KeptSeen(has_new=False, is_of_living=False, is_job_resting=False, is_next_training=False, alone_since=100.0)


@pytest.mark.parametrize(
    ("seen", "now", "decision"),
    [
        (GONE._replace(has_new=True, alone_since=None), 100.0, "hold"),
        (GONE._replace(has_new=True), 100.0, "hold"),
        (GONE._replace(has_new=True, is_next_training=True), 100.0, "hold"),
        (GONE._replace(is_of_living=True, alone_since=None), 100.0, "keep"),
        (GONE._replace(is_of_living=True, is_next_training=True), 1000.0, "keep"),
        (GONE, 100.0, "keep"),
        (GONE, 100.0 + LONGEST - 0.1, "keep"),
        (GONE, 100.0 + LONGEST, "drop"),
        (GONE._replace(is_job_resting=True), 100.0, "drop"),
        (GONE._replace(is_next_training=True), 100.0, "drop"),
        (GONE._replace(alone_since=None), 1e9, "keep"),
    ],
)
def test_memory_is_held_until_nobody_will_want_it(seen: KeptSeen, now: float, decision: KeptDecision) -> None:
    assert decide_kept(seen, now) == decision
