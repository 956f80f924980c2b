"""What the machine has, judged."""

from __future__ import annotations

import pytest

from perdured.core.doctor.machine import (
    Memory,
    judge_cgroup,
    judge_clock,
    judge_daemon,
    judge_memory_tier,
    judge_python,
    judge_shared_memory,
    judge_swap,
    parse_meminfo,
)

GIB = 1 << 30
MEMINFO = """
MemTotal:       16384 kB
MemAvailable:    8192 kB
HugePages_Total:       0
SwapTotal:       4096 kB
SwapFree:        1024 kB
"""


def test_memory_is_read_as_the_kernel_writes_it() -> None:
    assert parse_meminfo(MEMINFO) == Memory(16 << 20, 8 << 20, 4 << 20, 3 << 20)


def test_a_memory_tier_takes_the_state_twice_and_four_fifths_of_what_is_free() -> None:
    assert judge_memory_tier("gpt", 4 * GIB, Memory(32 * GIB, 10 * GIB)).level == "ok"
    assert judge_memory_tier("gpt", 4 * GIB + 1, Memory(32 * GIB, 10 * GIB)).level == "warning"


@pytest.mark.parametrize(("size", "level"), [(64 << 20, "warning"), (None, "warning"), (GIB, "ok")])
def test_the_shared_memory_that_container_engines_give_is_too_small(size: int | None, level: str) -> None:
    assert judge_shared_memory(size).level == level


@pytest.mark.parametrize(("total", "used", "level"), [(0, 0, "ok"), (8, 0, "ok"), (8, 1, "warning")])
def test_swap_matters_once_it_is_used(total: int, used: int, level: str) -> None:
    assert judge_swap(Memory(16 * GIB, GIB, total * GIB, used * GIB)).level == level


@pytest.mark.parametrize(("seen", "level"), [(True, "ok"), (False, "warning"), (None, "warning")])
def test_a_clock_that_nobody_keeps_right_is_told(seen: bool | None, level: str) -> None:
    assert judge_clock(is_synchronised=seen).level == level


def test_the_rest_says_what_is_lacking() -> None:
    assert judge_cgroup(has_leaf=True).level == "ok"
    assert judge_cgroup(has_leaf=False).level == "warning"
    assert judge_python(None, has_torch=False).level == "problem"
    assert judge_python("/usr/bin/python3", has_torch=False).level == "warning"
    assert judge_python("/usr/bin/python3", has_torch=True).level == "ok"


def test_a_daemon_is_missed_only_where_none_was_named_to_run_without() -> None:
    assert judge_daemon("/run/s", None, is_needed=True).level == "warning"
    assert judge_daemon("/run/s", None, is_needed=False).level == "ok"
    assert judge_daemon("/run/s", "0.1.0", is_needed=True).level == "ok"
