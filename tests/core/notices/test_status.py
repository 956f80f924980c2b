from __future__ import annotations

from perdured.core.notices.status import LONGEST_PAUSE, PATIENCE, Trouble, find_pause


def test_one_look_that_fails_makes_no_source_blind() -> None:
    assert not Trouble(PATIENCE - 1, "503").is_blinding
    assert Trouble(PATIENCE, "503").is_blinding
    assert Trouble(1, "403", is_lasting=True).is_blinding


def test_the_pause_grows_while_looks_fail_and_never_past_its_limit() -> None:
    assert [find_pause(2.0, failures) for failures in range(5)] == [2.0, 4.0, 8.0, LONGEST_PAUSE, LONGEST_PAUSE]
    assert find_pause(0.0, 3) == 4.0
    assert find_pause(60.0, 1) == 4.0
    assert find_pause(1.0, 5000) == LONGEST_PAUSE
