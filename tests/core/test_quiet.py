"""Whether a machine has CPUs to spare."""

from __future__ import annotations

import pytest

from perdured.core.quiet import BUSY, BUSY_LOAD, CpuSeen, is_quiet, parse_pressure

PRESSURE = """some avg10=13.37 avg60=30.51 avg300=31.02 total=10086170424
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
"""


def test_the_pressure_of_the_last_ten_seconds_is_read() -> None:
    assert parse_pressure(PRESSURE) == 13.37


@pytest.mark.parametrize("text", ["", "full avg10=1.00", "some avg60=3.00"])
def test_what_does_not_say_it_says_nothing(text: str) -> None:
    assert parse_pressure(text) is None


def test_a_load_that_keeps_nobody_waiting_is_quiet() -> None:
    """A training on every core has a load as high as there are cores."""
    assert is_quiet(CpuSeen(BUSY - 1, 10 * BUSY_LOAD))
    assert not is_quiet(CpuSeen(BUSY, 0.0))


def test_without_the_kernels_count_the_load_tells() -> None:
    assert is_quiet(CpuSeen(None, 1.0))
    assert not is_quiet(CpuSeen(None, BUSY_LOAD))
